import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeReport } from './report.ts';
import { acknowledgedMinDefault, DrillError, roundsDefault, runDrill } from './run-drill.ts';
import { isScenario, scenarios } from './scenario.ts';

// `kimberlite drill` with everything that can be turned, for those who work on Kimberlite itself.

const usage = `usage: node packages/drill/dist/main.js SCENARIO [options]

A failover drill: a cluster of real processes under load, faults from outside, and in the end a verdict on
everything the clients were told.

scenarios: ${Object.keys(scenarios).join(', ')}
  --rounds N           faults to inject (default ${roundsDefault})
  --nodes N            3 or 5 (default 3; kill-two needs 5)
  --acknowledged N     acknowledged writes and reads, each, before and after every fault (default ${acknowledgedMinDefault})
  --clients N          SDK clients (default 4)
  --concurrency N      calls each keeps in flight (default 8)
  --pause-ms N         how long a stopped process stays stopped at least
  --bin FILE           the kimberlite.js to start nodes with (default: this repository's)
  --out DIR            keep data and node logs there (default: a temporary directory, removed after a pass)
  --json               one JSON document on stdout`;

function parse() {
  return parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      nodes: { type: 'string' },
      acknowledged: { type: 'string' },
      clients: { type: 'string' },
      concurrency: { type: 'string' },
      'pause-ms': { type: 'string' },
      bin: { type: 'string' },
      out: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
}

/** Only what was given: the defaults are not ours. */
function numbersOf(values: ReturnType<typeof parse>['values']): Record<string, number> {
  const given = {
    rounds: values.rounds,
    nodes: values.nodes,
    acknowledgedMin: values.acknowledged,
    clients: values.clients,
    concurrency: values.concurrency,
    pauseMs: values['pause-ms'],
  };
  return Object.fromEntries(
    Object.entries(given).flatMap(([key, text]) => (text === undefined ? [] : [[key, Number(text)]])),
  );
}

async function main(): Promise<number> {
  const { values, positionals } = parse();
  const [name] = positionals;
  if (values.help || name === undefined || !isScenario(name)) {
    process.stderr.write(`${usage}\n`);
    return values.help ? 0 : 2;
  }
  const bin = values.bin ?? join(dirname(fileURLToPath(import.meta.url)), '../../cli/bin/kimberlite.js');
  if (!existsSync(bin)) {
    process.stderr.write(`there is no ${bin}; name one with --bin\n`);
    return 2;
  }
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => abort.abort());
  try {
    const { report, kept } = await runDrill(name, {
      bin,
      ...numbersOf(values),
      ...(values.out === undefined ? {} : { out: values.out }),
      signal: abort.signal,
      onProgress: (line) => process.stderr.write(`${line}\n`),
    });
    if (kept !== null) process.stderr.write(`data and node logs: ${kept}\n`);
    process.stdout.write(`${values.json ? JSON.stringify(report) : describeReport(report)}\n`);
    return report.verdict === 'pass' ? 0 : 1;
  } catch (error) {
    if (!abort.signal.aborted && !(error instanceof DrillError)) throw error;
    process.stderr.write(`${abort.signal.aborted ? 'interrupted' : (error as Error).message}\n`);
    return 1;
  }
}

process.exitCode = await main();
