import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  buildReport,
  type Candidate,
  type Execute,
  formatEvent,
  formatSchedule,
  optionsOf,
  type PageParts,
  parseRunSchedule,
  type RecordedRun,
  recordRun,
  renderReport,
  type RunOptions,
  type RunResult,
  type Schedule,
  scheduleOf,
  shrink,
  type ShrinkProgress,
  type Shrunk,
  type Size,
  sizeOf,
} from '@kimberlite/sim';
import type { Context } from '../context.ts';
import { fail } from '../failure.ts';
import { line } from '../terminal.ts';

/** Lines of the trace that are printed; the file beside them has all. */
const traceLinesPrinted = 30;
/** A shrink that is not done by then keeps what it has; so long unless somebody wants it otherwise. */
export const shrinkSecondsDefault = 60;

export interface FailingRun {
  readonly seed: number;
  /** As the run was started: the same seed with them fails again. */
  readonly options: RunOptions;
  readonly execute: Execute;
  /** The command that runs it again. */
  readonly replay: string;
  /** The command that runs a schedule in a file; left out: `kimberlite sim --replay`. */
  readonly replayFile?: (file: string) => string;
}

const replayFileDefault = (file: string): string => `kimberlite sim --replay ${file}`;

export interface FailureOptions {
  /** Directory for what a failure leaves behind; below the system's temporary one when left out. */
  readonly out?: string;
  /** How long a smaller failing run is looked for; 0: not at all. */
  readonly shrinkSeconds?: number;
  readonly signal?: { readonly aborted: boolean };
}

export interface ReplayOptions {
  /** Directory for the page; left out: none is written. */
  readonly out?: string;
  readonly replayFile?: (file: string) => string;
}

interface Written {
  readonly what: string;
  readonly path: string;
  readonly bytes: number;
}

const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? '' : 's'}`;
const sizeText = ({ events, actions, clients, nodes }: Size): string =>
  [counted(events, 'event'), counted(actions, 'fault'), counted(clients, 'client'), counted(nodes, 'node')].join(', ');

/** Prints what a person needs to look into a failed run, shrinks it, and writes it down. */
export async function reportFailure(context: Context, run: FailingRun, options: FailureOptions): Promise<void> {
  const { terminal } = context;
  const original = recordRun(run.seed, run.options, run.execute);
  const { failure } = original.result;
  if (failure === null) {
    line(terminal.err, `seed ${run.seed} passed this time: the run does not depend on its seed alone`);
    return;
  }
  line(terminal.err, `seed ${run.seed}: ${failure.kind}: ${failure.message}`);
  line(terminal.err, `replay: ${run.replay}`);
  line(terminal.err, `trace ${original.result.traceHash}`);
  // Whatever drew the run is pinned now; what is left, a broken part say, stays with it.
  const { nodes: _nodes, faults: _faults, seconds: _seconds, ...rest } = run.options;
  const execute: Execute = (seed, pinned) => run.execute(seed, { ...rest, ...pinned });
  const shrunk = await shrinkWithProgress(context, original.result, execute, options);
  const smallest = recordRun(shrunk.candidate.seed, optionsOf(shrunk.candidate), execute);
  const written = writeAll(context, { run, original, shrunk, smallest }, options);
  printTrace(context, smallest);
  const [before, after] = [sizeText(shrunk.original), sizeText(shrunk.size)];
  line(terminal.err, `shrunk from ${before} to ${after}, in ${shrunk.runs} runs`);
  printWritten(context, written.files);
  line(terminal.err, `replay the shrunk run: ${written.replay}`);
  line(terminal.err, `trace ${smallest.result.traceHash}`);
}

function printTrace({ terminal }: Context, { events }: RecordedRun): void {
  const failed = events.findIndex(({ kind }) => kind === 'failure');
  const until = failed === -1 ? events.length : failed + 1;
  const kept = events.slice(Math.max(0, until - traceLinesPrinted), until);
  line(terminal.err, `the last ${kept.length} of ${until} events of the shrunk run:`);
  for (const event of kept) line(terminal.err, `  ${formatEvent(event)}`);
}

function printWritten({ terminal }: Context, written: readonly Written[]): void {
  for (const { what, path, bytes } of written) {
    line(terminal.err, `${what}: ${path} (${(bytes / 1024).toFixed(0)} KiB)`);
  }
}

async function shrinkWithProgress(
  { terminal }: Context,
  failing: RunResult,
  execute: Execute,
  { signal, shrinkSeconds = shrinkSecondsDefault }: FailureOptions,
): Promise<Shrunk> {
  const startedMs = performance.now();
  const inTime = (): boolean => performance.now() - startedMs < shrinkSeconds * 1000 && signal?.aborted !== true;
  const steps = shrink(failing, execute, inTime);
  for (;;) {
    const step = steps.next();
    if (step.done === true) {
      if (terminal.interactive) terminal.err('\r\u001b[K');
      return step.value;
    }
    if (terminal.interactive) terminal.err(`\r\u001b[K${progressText(step.value)}`);
    // Ctrl-C is heard between two runs.
    await new Promise<void>((done) => setImmediate(done));
  }
}

const progressText = ({ runs, pass, original, smallest }: ShrinkProgress): string =>
  `shrinking: ${smallest.events} of ${original.events} events, ${smallest.actions} of ${original.actions} faults (run ${runs}, ${pass})`;

interface Everything {
  readonly run: FailingRun;
  readonly original: RecordedRun;
  readonly shrunk: Shrunk;
  readonly smallest: RecordedRun;
}

function writeAll(
  context: Context,
  everything: Everything,
  { out }: FailureOptions,
): { readonly files: readonly Written[]; readonly replay: string } {
  const { run, original, shrunk, smallest } = everything;
  const { failure } = smallest.result;
  if (failure === null) throw fail('NotDeterministic', 'The shrunk run passes when it is run again.');
  const directory = out === undefined ? join(tmpdir(), 'kimberlite-sim') : resolve(context.directory, out);
  mkdirSync(directory, { recursive: true });
  const name = join(directory, `seed-${run.seed}-${failure.kind}`);
  const schedule = scheduleOf({
    candidate: shrunk.candidate,
    failure,
    traceHash: smallest.result.traceHash,
    size: shrunk.size,
    original: { result: original.result, size: shrunk.original },
  });
  const replay = (run.replayFile ?? replayFileDefault)(`${name}.json`);
  const trace = smallest.events.map(formatEvent).join('\n');
  const page = loadPage();
  const files = [
    write('schedule', `${name}.json`, formatSchedule(schedule)),
    write('trace', `${name}.txt`, `${trace}\n`),
    ...(page === null
      ? []
      : [
          write('page', `${name}.html`, pageOf(smallest, replay, schedule, page)),
          write('page of the run before', `${name}-original.html`, pageOf(original, run.replay, schedule, page)),
        ]),
  ];
  return { files, replay };
}

function write(what: string, path: string, content: string): Written {
  const bytes = Buffer.from(content);
  writeFileSync(path, bytes);
  return { what, path, bytes: bytes.length };
}

function pageOf(run: RecordedRun, replay: string, { size, original }: Schedule, page: PageParts): string {
  const { result } = run;
  const [own, shrunk] = [sizeText(sizeOf(result)), sizeText(size)];
  const facts: readonly (readonly [string, string])[] = [
    ['this run', own],
    ['as it was found', `seed ${original.seed}, ${sizeText(original.size)}`],
    ...(own === shrunk ? [] : [['shrunk to', shrunk] as const]),
    ['calls', `${result.stats.calls}`],
    ['trace', result.traceHash],
  ];
  return renderReport(buildReport({ run, replay, facts }), page);
}

/** Null where only the types were built: everything else a failure leaves behind is still there. */
function loadPage(): PageParts | null {
  const { resolve: find } = createRequire(import.meta.url);
  const read = (name: string): string => readFileSync(find(`@kimberlite/sim/report-page/${name}`), 'utf8');
  try {
    return { script: read('main.js'), style: read('page.css') };
  } catch {
    return null;
  }
}

/** Runs what a schedule says; 1 when it fails, as it should, with the trace it had. */
export function replaySchedule(context: Context, file: string, execute: Execute, options: ReplayOptions): 0 | 1 {
  const { terminal } = context;
  const schedule = readSchedule(resolve(context.directory, file));
  const { seed, plan, script, endsWhenCalm, traceHash, failure: expected } = schedule;
  const candidate: Candidate = { seed, plan, script, endsWhenCalm };
  const run = recordRun(seed, optionsOf(candidate), execute);
  const { result } = run;
  printTrace(context, run);
  const verdict = result.failure === null ? 'passed' : `${result.failure.kind}: ${result.failure.message}`;
  line(terminal.out, `${result.failure === null ? '✓' : '✗'} ${verdict}`);
  const same = result.traceHash === traceHash;
  line(terminal.out, `trace ${result.traceHash}, ${same ? 'the same as' : `not ${traceHash}`} in the file`);
  if (result.failure?.kind !== expected.kind) line(terminal.out, `the file has ${expected.kind}: ${expected.message}`);
  const page = loadPage();
  if (page !== null && options.out !== undefined) {
    const directory = resolve(context.directory, options.out);
    mkdirSync(directory, { recursive: true });
    const path = join(directory, `seed-${seed}-${expected.kind}.html`);
    printWritten(context, [
      write('page', path, pageOf(run, (options.replayFile ?? replayFileDefault)(file), schedule, page)),
    ]);
  }
  return result.failure === null ? 0 : 1;
}

function readSchedule(path: string): Schedule {
  let json: string;
  try {
    json = readFileSync(path, 'utf8');
  } catch (error) {
    throw fail('NoSchedule', `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const parsed = parseRunSchedule(json);
  if (parsed.ok) return parsed.value;
  throw fail('BadSchedule', `${path} is no schedule of a run: ${parsed.error}.`);
}
