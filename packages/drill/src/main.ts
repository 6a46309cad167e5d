import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runScenario, type ScenarioName, scenarios } from './scenario.ts';

const usage = `usage: node packages/drill/dist/main.js SCENARIO [options]

A failover drill: a cluster of real processes under load, faults from outside, and in the end a verdict on
everything the clients were told.

scenarios: ${Object.keys(scenarios).join(', ')}
  --rounds N           faults to inject (default 3)
  --nodes N            3 or 5 (default 3; kill-two needs 5)
  --acknowledged N     acknowledged writes and reads, each, before and after every fault (default 1000)
  --clients N          SDK clients (default 4)
  --concurrency N      calls each keeps in flight (default 8)
  --pause-ms N         how long a stopped process stays stopped
  --bin FILE           the kimberlite.js to start nodes with (default: this repository's)
  --out DIR            keep data and node logs there (default: a temporary directory, removed after a pass)
  --json               one JSON document on stdout`;

const isScenario = (name: string | undefined): name is ScenarioName => name !== undefined && name in scenarios;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      nodes: { type: 'string' },
      acknowledged: { type: 'string', default: '1000' },
      clients: { type: 'string', default: '4' },
      concurrency: { type: 'string', default: '8' },
      'pause-ms': { type: 'string' },
      bin: { type: 'string' },
      out: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [name] = positionals;
  if (values.help || !isScenario(name)) {
    process.stderr.write(`${usage}\n`);
    return values.help ? 0 : 2;
  }
  const bin = values.bin ?? join(dirname(fileURLToPath(import.meta.url)), '../../cli/bin/kimberlite.js');
  if (!existsSync(bin)) {
    process.stderr.write(`there is no ${bin}; name one with --bin\n`);
    return 2;
  }
  const directory = values.out ?? mkdtempSync(join(tmpdir(), 'kimberlite-drill-'));
  const pauseMs = values['pause-ms'];
  const report = await runScenario(name, {
    bin,
    directory,
    nodes: Number(values.nodes ?? (name === 'kill-two' ? 5 : 3)),
    rounds: Number(values.rounds),
    acknowledgedMin: Number(values.acknowledged),
    clients: Number(values.clients),
    concurrency: Number(values.concurrency),
    ...(pauseMs === undefined ? {} : { pauseMs: Number(pauseMs) }),
    onProgress: (line) => process.stderr.write(`${line}\n`),
  });
  const pass = report.verdict === 'pass';
  if (pass && values.out === undefined) rmSync(directory, { recursive: true });
  else process.stderr.write(`data and node logs: ${directory}\n`);
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(`${describeReport(report)}\n`);
  return pass ? 0 : 1;
}

function describeReport(report: Awaited<ReturnType<typeof runScenario>>): string {
  const { writeGapMs: gap } = report;
  return [
    `${report.scenario}: ${report.verdict.toUpperCase()} after ${report.faults.length} faults`,
    `  acknowledged ${report.acknowledged} · lost ${report.lost} · duplicated ${report.duplicated} · unknown ${report.unknown} · not applied ${report.notApplied}`,
    `  linearizable ${report.linearizable ? 'yes' : 'NO'} (${report.probeReads} reads straight from single nodes among them)`,
    `  write gap: median ${gap.p50.toFixed(0)} ms, worst ${gap.max.toFixed(0)} ms`,
    ...report.problems.map((problem) => `  ! ${problem}`),
  ].join('\n');
}

process.exitCode = await main();
