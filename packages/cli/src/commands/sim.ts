import { randomInt } from 'node:crypto';
import { nodeHasher } from '@kimberlite/node';
import {
  type RunOptions,
  type RunResult,
  runSeed,
  type SimulationProgress,
  type SimulationReport,
  simulate,
} from '@kimberlite/sim';
import type { Command } from 'commander';
import { type Context, examples, printJson, wholeNumber, withJson } from '../context.ts';
import { line, type Terminal } from '../terminal.ts';
import { replaySchedule, reportFailure, shrinkSecondsDefault } from './sim-failure.ts';

interface Flags {
  readonly seed?: number;
  readonly runs?: number;
  readonly minutes?: number;
  readonly nodes?: number;
  readonly json?: boolean;
  readonly replay?: string;
  readonly out?: string;
  readonly shrink: number;
}

/** Failures shown with their trace and shrunk; the seeds of the others are enough to come back to them. */
const explainedMax = 1;

export function addSim(program: Command, context: Context): void {
  const command = withJson(program.command('sim'))
    .summary('the deterministic simulator')
    .description(
      'Runs whole clusters in one process, over a simulated network, clock and disk, under faults drawn from a seed.\n' +
        'The same seed gives the same run, event by event. Exit code 1 if a run fails.',
    )
    .option(
      '--seed <n>',
      'of the first run; the next run has the next one (default: drawn)',
      wholeNumber('--seed', 0, 2 ** 48),
    )
    .option(
      '--runs <n>',
      'how many (default: 1, or with --minutes as many as fit)',
      wholeNumber('--runs', 1, 1_000_000_000),
    )
    .option('--minutes <n>', 'how long', wholeNumber('--minutes', 1, 100_000))
    .option('--nodes <n>', 'replicas in each cluster (default: drawn from the seed)', wholeNumber('--nodes', 1, 6))
    .option(
      '--shrink <seconds>',
      'how long a smaller failing run is looked for',
      wholeNumber('--shrink', 0, 100_000),
      shrinkSecondsDefault,
    )
    .option('--replay <file>', 'runs what a schedule says that a failed run left behind')
    .option(
      '--out <dir>',
      'where a failed run leaves its schedule, trace and page (default: below the temporary directory)',
    )
    .action(async (flags: Flags) => {
      process.exitCode = await act(context, flags);
    });
  examples(command, [
    ['a hundred runs', 'kimberlite sim --runs 100'],
    ['one run again, to look into it', 'kimberlite sim --seed 4711'],
    ['a shrunk run again, with its page', 'kimberlite sim --replay seed-4711-stale-read.json --out .'],
    ['all night', 'kimberlite sim --minutes 480 --json'],
  ]);
}

async function act(context: Context, flags: Flags): Promise<0 | 1> {
  const { terminal } = context;
  const { nodes, runs, minutes, out } = flags;
  const execute = (of: number, options: RunOptions): RunResult => runSeed(of, options, nodeHasher);
  const left = out === undefined ? {} : { out };
  if (flags.replay !== undefined) return replaySchedule(context, flags.replay, execute, left);
  const seed = flags.seed ?? randomInt(2 ** 32);
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());
  const report = await simulate({
    seed,
    hasher: nodeHasher,
    signal: abort.signal,
    ...(nodes === undefined ? {} : { nodes }),
    ...(runs === undefined ? {} : { runs }),
    ...(minutes === undefined ? {} : { minutes }),
    ...(terminal.interactive ? { onProgress: (progress: SimulationProgress) => draw(terminal, progress) } : {}),
  });
  if (terminal.interactive) terminal.err('\r\u001b[K');
  for (const failure of report.failures.slice(0, explainedMax)) {
    const options = nodes === undefined ? {} : { nodes };
    const replay = `kimberlite sim --seed ${failure.seed} --runs 1${nodes === undefined ? '' : ` --nodes ${nodes}`}`;
    const run = { seed: failure.seed, options, execute, replay };
    await reportFailure(context, run, { ...left, shrinkSeconds: flags.shrink, signal: abort.signal });
  }
  if (flags.json === true) printJson(context, report);
  else printReport(terminal, report, seed);
  return report.failures.length === 0 ? 0 : 1;
}

function draw(terminal: Terminal, { runs, of, failed, simulatedSeconds }: SimulationProgress): void {
  const total = of === null ? '' : ` of ${of}`;
  terminal.err(`\r\u001b[Krun ${runs}${total}, ${failed} failed, ${Math.round(simulatedSeconds)} simulated seconds`);
}

function printReport(terminal: Terminal, report: SimulationReport, seed: number): void {
  const { colors } = terminal;
  for (const { seed: failed, kind, message } of report.failures) {
    line(terminal.out, `${colors.red('✗')} seed ${failed}: ${kind}: ${message}`);
  }
  const verdict = report.failures.length === 0 ? colors.green('✓') : colors.red('✗');
  const seeds = report.runs <= 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + report.runs - 1}`;
  const times = `${report.simulatedSeconds.toFixed(0)} simulated seconds in ${report.wallSeconds.toFixed(1)}`;
  line(
    terminal.out,
    `${verdict} ${report.passed} of ${report.runs} runs passed (${seeds}), ${times}, trace ${report.traceHash}`,
  );
}
