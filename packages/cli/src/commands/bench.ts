import type { Command } from 'commander';
import { runBench } from '../bench/load.ts';
import type { BenchDocument, BenchMode, Measure } from '../bench/measure.ts';
import {
  type ClusterOptions,
  type Context,
  endpointsOf,
  examples,
  printJson,
  wholeNumber,
  withCluster,
} from '../context.ts';
import { fail, UsageFailure } from '../failure.ts';
import { line, type Terminal } from '../terminal.ts';

interface Flags extends ClusterOptions {
  readonly clients: number;
  readonly connections: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly valueBytes: number;
  readonly mode: BenchMode;
}

function benchMode(text: string): BenchMode {
  if (text === 'write' || text === 'read' || text === 'mixed') return text;
  throw new UsageFailure(`--mode is write, read or mixed, not "${text}".`);
}

export function addBench(program: Command, context: Context): void {
  const command = withCluster(program.command('bench'))
    .summary('load, throughput and latency percentiles')
    .description(
      'Puts load on a cluster, in a tenant of its own that is deleted afterwards. Writes are upserts, each durable\n' +
        'on a quorum before it counts; reads are linearizable. Percentiles are over acknowledged calls. The first\n' +
        'seconds are not counted: they show how fast processes start, not how fast they are.',
    )
    .option('--clients <n>', 'calls in flight at a time', wholeNumber('--clients', 1, 100_000), 100)
    .option('--connections <n>', 'connections they share', wholeNumber('--connections', 1, 1000), 1)
    .option('--seconds <s>', 'how long to measure', wholeNumber('--seconds', 1, 86_400), 10)
    .option('--warm-up <s>', 'the same load before that, not counted', wholeNumber('--warm-up', 0, 3600), 1)
    .option('--value-bytes <b>', 'size of the value in a row', wholeNumber('--value-bytes', 0, 65_536), 100)
    .option('--mode <mode>', 'write, read or mixed (half and half)', benchMode, 'write' as const)
    .action(async (flags: Flags) => {
      if (flags.connections > flags.clients) {
        throw new UsageFailure(
          `--connections ${flags.connections} would leave connections idle: there are ${flags.clients} --clients.`,
        );
      }
      await act(context, flags);
    });
  examples(command, [
    ['a hundred writers for ten seconds', 'kimberlite bench'],
    ['latency of a single reader', 'kimberlite bench --mode read --clients 1'],
    ['a thousand calls over ten connections', 'kimberlite bench --clients 1000 --connections 10 --json'],
  ]);
}

async function act(context: Context, flags: Flags): Promise<void> {
  const { clients, connections, seconds, warmUp: warmUpSeconds, valueBytes, mode } = flags;
  const { terminal } = context;
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  process.once('SIGINT', stop);
  const draw = terminal.interactive ? progressLine(terminal) : { update: () => undefined, end: () => undefined };
  try {
    const endpoints = endpointsOf(context, flags);
    const options = { endpoints, clients, connections, warmUpSeconds, seconds, valueBytes, mode, signal: abort.signal };
    const document = await runBench({ ...options, onProgress: draw.update });
    draw.end();
    if (document.acknowledged === 0) {
      throw fail(
        'NothingAcknowledged',
        abort.signal.aborted && document.errors === 0
          ? 'Stopped before the measurement began.'
          : `Not one call was acknowledged; errors seen: ${JSON.stringify(document.errorCodes)}.`,
      );
    }
    if (flags.json === true) printJson(context, document);
    else printBench(terminal, document);
  } finally {
    process.off('SIGINT', stop);
  }
}

function progressLine(terminal: Terminal): { update: (measure: Measure, elapsedMs: number) => void; end: () => void } {
  let before = { total: 0, elapsedMs: 0 };
  return {
    update: (measure, elapsedMs) => {
      const rate = (Math.max(0, measure.total - before.total) * 1000) / Math.max(1, elapsedMs - before.elapsedMs);
      before = { total: measure.total, elapsedMs };
      const errors = measure.errors > 0 ? `  ${measure.errors} errors` : '';
      const p99 = measure.percentileMs(99).toFixed(2);
      const when = elapsedMs < 0 ? 'warming up' : `${(elapsedMs / 1000).toFixed(1)} s`;
      terminal.err(`\r\u001b[K${when}  ${Math.round(rate)} ops/s  p99 ${p99} ms${errors}`);
    },
    end: () => terminal.err('\r\u001b[K'),
  };
}

function printBench(terminal: Terminal, d: BenchDocument): void {
  const { bold, red } = terminal.colors;
  line(terminal.out, `${d.mode}, ${d.clients} calls in flight over ${d.connections} connection(s), ${d.seconds} s`);
  line(
    terminal.out,
    `${bold(String(d.opsPerSecond))} ops/s  (${d.acknowledged} acknowledged: ${d.reads} reads, ${d.writes} writes)`,
  );
  line(terminal.out, `latency ms  p50 ${d.p50Ms}  p99 ${d.p99Ms}  p99.9 ${d.p999Ms}  max ${d.maxMs}  mean ${d.meanMs}`);
  if (d.errors > 0) line(terminal.out, red(`${d.errors} errors: ${JSON.stringify(d.errorCodes)}`));
}
