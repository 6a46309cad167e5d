import { nodeHasher } from '@kimberlite/node';
import {
  type AlwaysProperty,
  alwaysProperties,
  checkWorld,
  Convergence,
  type ConvergenceReport,
  Exploration,
  explainReplay,
  explainViolation,
  isAlwaysProperty,
  type KnownWorld,
  knownWorlds,
  parseSchedule,
  RandomWalks,
  replaySchedule,
  reportConvergence,
  reportExploration,
  reportWalks,
  type WalkReport,
  type World,
  worldBounds,
  type WorldReport,
} from '@kimberlite/sim';
import type { Command } from 'commander';
import { blockFiles } from '../block-files.ts';
import { type Context, type ExitCode, examples, printJson, wholeNumber, withJson } from '../context.ts';
import { type ExplorerReport, printReports } from '../explorer-table.ts';
import { UsageFailure } from '../failure.ts';
import { line, type Terminal } from '../terminal.ts';

type Bound = keyof typeof worldBounds;

interface Flags extends Partial<Record<Bound, number>> {
  readonly world?: readonly string[];
  readonly all?: boolean;
  readonly resends?: boolean;
  readonly promptLog?: boolean;
  readonly promptSuperblock?: boolean;
  readonly statesMax?: number;
  readonly minutes?: number;
  readonly converge?: boolean;
  readonly walks?: number;
  readonly seed?: number;
  readonly depth?: number;
  readonly ignore?: readonly AlwaysProperty[];
  readonly replay?: string;
  readonly json?: boolean;
}

/** States expanded, or walks walked, between two looks at the clock. */
const statesPerSlice = 2000;
const walksPerSlice = 5;
const walkDepthDefault = 200;
/** States that fit into a few gigabytes with everything that leads from one to another. */
const convergenceStatesDefault = 4_000_000;

const collect = <T>(item: T, before: readonly T[] | undefined): readonly T[] => [...(before ?? []), item];

function property(text: string, before: readonly AlwaysProperty[] | undefined): readonly AlwaysProperty[] {
  if (isAlwaysProperty(text)) return collect(text, before);
  throw new UsageFailure(`--ignore takes one of ${Object.keys(alwaysProperties).join(', ')}, not "${text}".`);
}

const flagOf = (bound: Bound): string => `--${bound.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

export function addExplore(sim: Command, context: Context): void {
  const command = withJson(sim.command('explore'))
    .summary('every schedule of a small world')
    .description(
      'Visits every state that three replicas can come to within the bounds of a world, breadth-first, and prints what\n' +
        'it visited. A violation comes with a shortest schedule. Without a world: all quick ones. Bounds without a world\n' +
        'make one. Exit code 1 for a violation, or for a world in which something expected was never seen.\n\n' +
        `Worlds: ${knownWorlds.map(({ world }) => world.name).join(', ')}`,
    )
    .option('--world <name>', 'a world by its name; may be repeated', collect<string>)
    .option('--all', 'every named world, also those that take hours')
    .option('--resends', 'with the timers that only send again')
    .option('--prompt-log', 'writes and reads of the log take no time')
    .option('--prompt-superblock', 'writes of the superblock take no time')
    .option('--states-max <n>', 'stops a world at so many states', wholeNumber('--states-max', 1, 4_000_000_000))
    .option('--minutes <n>', 'stops a world after so long', wholeNumber('--minutes', 1, 100_000))
    .option('--converge', 'looks for states from which the replicas can never come to agree again')
    .option('--walks <n>', 'so many random walks instead of every schedule', wholeNumber('--walks', 1, 1_000_000_000))
    .option('--seed <n>', 'of the walks (default: 1)', wholeNumber('--seed', 0, 2 ** 31))
    .option('--depth <n>', `events of a walk at most (default: ${walkDepthDefault})`, wholeNumber('--depth', 1, 10_000))
    .option('--ignore <property>', 'goes on past violations of it; may be repeated', property)
    .option('--replay <schedule>', 'runs one schedule of a world again and shows it')
    .action(async (_: unknown, self: Command) => {
      // `--json` and the like may stand in front of `explore` as well.
      process.exitCode = await act(context, self.optsWithGlobals<Flags>());
    });
  for (const [name, most] of Object.entries(worldBounds)) {
    const flag = flagOf(name as Bound);
    command.option(`${flag} <n>`, `bound of the world: 0 to ${most}`, wholeNumber(flag, 0, most));
  }
  examples(command, [
    ['every quick world', 'kimberlite sim explore'],
    ['one of the larger ones, for an hour', 'kimberlite sim explore --world two-ops-crash --minutes 60'],
    ['a world of your own', 'kimberlite sim explore --requests 2 --view-changes 1 --crashes 1 --prompt-log'],
    ['beyond what can be visited', 'kimberlite sim explore --requests 3 --view-changes 3 --crashes 2 --walks 10000'],
  ]);
}

/** The worlds that are meant: by name, by bounds, or the quick ones. */
function worldsOf(flags: Flags): readonly KnownWorld[] {
  const own = ownWorld(flags);
  if (own !== null) return [{ world: own, expects: [], quick: false }];
  if (flags.world === undefined) return knownWorlds.filter(({ quick }) => quick || flags.all === true);
  return flags.world.map((name) => {
    const known = knownWorlds.find(({ world }) => world.name === name);
    if (known !== undefined) return known;
    throw new UsageFailure(
      `There is no world "${name}". There are: ${knownWorlds.map((k) => k.world.name).join(', ')}`,
    );
  });
}

function ownWorld(flags: Flags): World | null {
  const names = Object.keys(worldBounds) as Bound[];
  const given = names.some((name) => flags[name] !== undefined) || flags.promptLog === true;
  if (!given && flags.promptSuperblock !== true && flags.resends !== true) return null;
  if (flags.world !== undefined) throw new UsageFailure('Give a world by its name or by its bounds, not both.');
  const bound = (name: Bound, otherwise: number): number => flags[name] ?? otherwise;
  const crashes = bound('crashes', 0);
  if (bound('rot', 0) > crashes)
    throw new UsageFailure('--rot is at most --crashes: a prepare rots while a replica is down.');
  return checkWorld({
    name: 'own',
    requests: Math.max(1, bound('requests', 1)),
    retries: bound('retries', 0),
    viewChanges: bound('viewChanges', 1),
    crashes,
    rot: bound('rot', 0),
    heartbeats: bound('heartbeats', 0),
    repairAttempts: bound('repairAttempts', 0),
    slowLog: flags.promptLog !== true,
    slowSuperblock: flags.promptSuperblock !== true,
    resends: flags.resends === true,
  });
}

async function act(context: Context, flags: Flags): Promise<ExitCode> {
  const worlds = worldsOf(flags);
  if (flags.replay !== undefined) return replay(context, flags, worlds, flags.replay);
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());
  const reports: ExplorerReport[] = [];
  for (const known of worlds) {
    if (abort.signal.aborted) break;
    const report = await run(context, flags, known, abort);
    reports.push(report);
    const { violation } = report;
    if (violation === null) continue;
    line(context.terminal.err, explainViolation(report, violation));
    line(
      context.terminal.err,
      `replay: kimberlite sim explore ${worldFlags(flags, report.world)} --replay ${violation.schedule}`,
    );
  }
  const ok = reports.every((report) => report.ok);
  if (flags.json === true) printJson(context, { ok, reports });
  else printReports(context.terminal, reports);
  return ok ? 0 : 1;
}

async function run(context: Context, flags: Flags, known: KnownWorld, abort: AbortController): Promise<ExplorerReport> {
  if (flags.walks !== undefined) return await walk(context, flags, known, abort);
  if (flags.converge === true) return await converge(context, flags, known, abort);
  return await explore(context, flags, known, abort);
}

/** The flags that name this world again. */
function worldFlags(flags: Flags, world: World): string {
  const ignored = (flags.ignore ?? []).map((name) => `--ignore ${name}`);
  if (world.name !== 'own') return [`--world ${world.name}`, ...ignored].join(' ');
  const bounds = Object.keys(worldBounds).map((name) => `${flagOf(name as Bound)} ${world[name as Bound]}`);
  const switches = [
    [world.resends, '--resends'],
    [!world.slowLog, '--prompt-log'],
    [!world.slowSuperblock, '--prompt-superblock'],
  ] as const;
  const on = switches.flatMap(([isOn, flag]) => (isOn ? [flag] : []));
  return [...bounds, ...on, ...ignored].join(' ');
}

/** Runs slice after slice, giving way to signals between them, until it is done, time is up, or somebody wants it to stop. */
async function inSlices(options: {
  readonly flags: Flags;
  readonly abort: AbortController;
  readonly isDone: () => boolean;
  readonly slice: (seconds: number) => void;
}): Promise<number> {
  const { flags, abort, isDone, slice } = options;
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  const secondsMax = flags.minutes === undefined ? Number.POSITIVE_INFINITY : flags.minutes * 60;
  while (!isDone() && !abort.signal.aborted && seconds() < secondsMax) {
    slice(seconds());
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return seconds();
}

const draw = (terminal: Terminal, text: string): void => {
  if (terminal.interactive) terminal.err(`\r\u001b[K${text}`);
};

async function explore(
  { terminal }: Context,
  flags: Flags,
  { world, expects }: KnownWorld,
  abort: AbortController,
): Promise<WorldReport> {
  const spill = blockFiles();
  try {
    const exploration = new Exploration({
      world,
      hasher: nodeHasher,
      spill,
      ignore: flags.ignore ?? [],
      ...(flags.statesMax === undefined ? {} : { statesMax: flags.statesMax }),
    });
    const seconds = await inSlices({
      flags,
      abort,
      isDone: () => exploration.isDone || exploration.isFull,
      slice: (now) => {
        exploration.advance(statesPerSlice);
        const { states, depth, frontier } = exploration.counts;
        draw(terminal, `${world.name}: ${states} states, ${frontier} to go, depth ${depth}, ${now.toFixed(0)} s`);
      },
    });
    draw(terminal, '');
    return reportExploration(exploration, expects, seconds);
  } finally {
    spill.close();
  }
}

async function converge(
  { terminal }: Context,
  flags: Flags,
  { world }: KnownWorld,
  abort: AbortController,
): Promise<ConvergenceReport> {
  const { statesMax = convergenceStatesDefault, ignore = [] } = flags;
  const convergence = new Convergence({ world, hasher: nodeHasher, statesMax, ignore });
  const seconds = await inSlices({
    flags,
    abort,
    isDone: () => convergence.isDone || convergence.isFull,
    slice: (now) => {
      convergence.advance(statesPerSlice);
      draw(terminal, `${world.name}: ${convergence.counts.states} states, ${now.toFixed(0)} s`);
    },
  });
  draw(terminal, '');
  return reportConvergence(convergence, seconds);
}

async function walk(
  { terminal }: Context,
  flags: Flags,
  { world }: KnownWorld,
  abort: AbortController,
): Promise<WalkReport> {
  const { seed = 1, depth = walkDepthDefault, ignore = [], walks = 1 } = flags;
  const options = { world, hasher: nodeHasher, seed, depthMax: depth, ignore };
  const walking = new RandomWalks(options);
  const seconds = await inSlices({
    flags,
    abort,
    isDone: () => walking.finding !== null || walking.counts.walks >= walks,
    slice: (now) => {
      walking.advance(Math.min(walksPerSlice, walks - walking.counts.walks));
      draw(terminal, `${world.name}: ${walking.counts.walks} of ${walks} walks, ${now.toFixed(0)} s`);
    },
  });
  draw(terminal, '');
  return reportWalks(walking, options, seconds);
}

function replay(context: Context, flags: Flags, worlds: readonly KnownWorld[], text: string): ExitCode {
  const [known] = worlds;
  if (known === undefined || worlds.length > 1)
    throw new UsageFailure('--replay needs the one world the schedule is of.');
  const schedule = parseSchedule(text);
  if (schedule === null) throw new UsageFailure('--replay takes the words that a violation was printed with.');
  const options = { world: known.world, hasher: nodeHasher, ignore: flags.ignore ?? [] };
  const { events, violation, impossible } = replaySchedule(options, schedule);
  const ok = violation === null && impossible === null;
  if (flags.json === true) printJson(context, { ok, events, violation, impossible });
  else line(context.terminal.out, explainReplay(known, { events, violation, impossible }));
  return ok ? 0 : 1;
}
