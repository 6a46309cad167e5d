import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { nodeHasher } from '@kimberlite/node';
import {
  type CampaignOptions,
  type FaultKind,
  faultKinds,
  replayCommand,
  type RunOptions,
  type RunResult,
  runSeed,
  type SimulationProgress,
  type SimulationReport,
  simulate,
} from '@kimberlite/sim';
import type { Command } from 'commander';
import { type Context, examples, printJson, wholeNumber, withJson } from '../context.ts';
import { UsageFailure } from '../failure.ts';
import { createWorkerRunner } from '../sim/runners.ts';
import { progressLine, summaryLines } from '../sim/summary.ts';
import { line, type Terminal } from '../terminal.ts';
import { addExplore } from './explore.ts';
import { addSimCanaries } from './sim-canaries.ts';
import { replaySchedule, reportFailure, shrinkSecondsDefault } from './sim-failure.ts';

interface Flags {
  readonly seed?: number;
  readonly runs?: number;
  readonly minutes?: number;
  readonly nodes?: number;
  readonly faults?: readonly FaultKind[];
  readonly jobs?: number;
  readonly json?: boolean;
  readonly replay?: string;
  readonly out?: string;
  readonly shrink: number;
}

/** Failures shown with their trace and shrunk; the seeds of the others are enough to come back to them. */
const explainedMax = 1;
const jobsMax = 256;
/** The progress line is drawn over itself no more often than this. */
const drawEveryMs = 100;
/** Where nothing can be drawn over, a line is written so often. */
const writeEveryMs = 60_000;

const isFaultKind = (text: string): text is FaultKind => faultKinds.some((kind) => kind === text);

function parseFaults(text: string): readonly FaultKind[] {
  return text.split(',').map((kind) => {
    if (!isFaultKind(kind)) throw new UsageFailure(`--faults knows no "${kind}"; there are ${faultKinds.join(', ')}.`);
    return kind;
  });
}

export function addSim(program: Command, context: Context): void {
  const command = withJson(program.command('sim'))
    .summary('the deterministic simulator')
    .description(
      'Runs whole clusters in one process, over a simulated network, clock and disk, under faults drawn from a seed.\n' +
        'The same seed gives the same run, event by event. Ctrl-C ends a campaign and prints what it has so far.\n' +
        'Exit code 1 if a run fails.',
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
    .option('--faults <list>', `kinds of fault, with commas between (default: drawn from the seed)`, parseFaults)
    .option('--jobs <n>', 'runs at once (default: one for each core)', wholeNumber('--jobs', 1, jobsMax))
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
    ['only crashes and partitions, on five replicas', 'kimberlite sim --runs 100 --nodes 5 --faults crash,partition'],
    ['a shrunk run again, with its page', 'kimberlite sim --replay seed-4711-stale-read.json --out .'],
    ['all night', 'kimberlite sim --minutes 480 --json'],
  ]);
  addSimCanaries(command, context);
  addExplore(command, context);
}

async function act(context: Context, flags: Flags): Promise<0 | 1> {
  const { terminal } = context;
  const { nodes, faults, out } = flags;
  const execute = (of: number, options: RunOptions): RunResult => runSeed(of, options, nodeHasher);
  const left = out === undefined ? {} : { out };
  if (flags.replay !== undefined) return replaySchedule(context, flags.replay, execute, left);
  const campaign: CampaignOptions = {
    ...(nodes === undefined ? {} : { nodes }),
    ...(faults === undefined ? {} : { faults }),
  };
  const abort = new AbortController();
  // Once: what is under way ends and is counted; a second Ctrl-C ends the process.
  process.once('SIGINT', () => abort.abort());
  const { signal } = abort;
  const report = await run(terminal, flags, campaign, signal);
  for (const failure of report.failures.slice(0, explainedMax)) {
    const again = { seed: failure.seed, options: campaign, execute, replay: replayCommand(failure.seed, campaign) };
    await reportFailure(context, again, { ...left, shrinkSeconds: flags.shrink, signal });
  }
  if (flags.json === true) printJson(context, report);
  else printReport(terminal, report);
  return report.failures.length === 0 ? 0 : 1;
}

async function run(
  terminal: Terminal,
  flags: Flags,
  campaign: CampaignOptions,
  signal: AbortSignal,
): Promise<SimulationReport> {
  const { runs, minutes } = flags;
  const single = runs === undefined ? minutes === undefined : runs === 1;
  const jobs = single ? 1 : (flags.jobs ?? availableParallelism());
  const workers = jobs === 1 ? null : createWorkerRunner(campaign, jobs);
  const seed = flags.seed ?? randomInt(2 ** 32);
  if (!single) line(terminal.err, `seeds from ${seed} on, ${jobs} at once; Ctrl-C ends it and prints what there is`);
  const report = await simulate({
    ...campaign,
    seed,
    hasher: nodeHasher,
    signal,
    ...(workers === null ? {} : { runner: workers }),
    ...(runs === undefined ? {} : { runs }),
    ...(minutes === undefined ? {} : { minutes }),
    onProgress: createProgress(terminal),
  });
  await workers?.close();
  if (terminal.interactive) terminal.err('\r\u001b[K');
  return report;
}

function createProgress(terminal: Terminal): (progress: SimulationProgress) => void {
  const everyMs = terminal.interactive ? drawEveryMs : writeEveryMs;
  let lastMs = performance.now();
  return (progress) => {
    if (performance.now() - lastMs < everyMs) return;
    lastMs = performance.now();
    if (terminal.interactive) terminal.err(`\r\u001b[K${progressLine(progress)}`);
    else line(terminal.err, progressLine(progress));
  };
}

function printReport(terminal: Terminal, report: SimulationReport): void {
  const { colors } = terminal;
  if (report.runs > 1) for (const text of summaryLines(report)) line(terminal.out, text);
  for (const { seed: failed, kind, message } of report.failures) {
    line(terminal.out, `${colors.red('✗')} seed ${failed}: ${kind}: ${message}`);
  }
  const verdict = report.failures.length === 0 ? colors.green('✓') : colors.red('✗');
  const seeds = report.runs <= 1 ? `seed ${report.seed}` : `seeds ${report.seed} to ${report.seed + report.runs - 1}`;
  const times = `${report.simulatedSeconds.toFixed(0)} simulated seconds in ${report.wallSeconds.toFixed(1)}`;
  line(
    terminal.out,
    `${verdict} ${report.passed} of ${report.runs} runs passed (${seeds}), ${times}, trace ${report.traceHash}`,
  );
}
