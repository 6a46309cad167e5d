import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { type Context, examples, printJson, wholeNumber } from '../context.ts';
import { fail, UsageFailure } from '../failure.ts';
import { table } from '../rows-table.ts';
import { line, type Terminal } from '../terminal.ts';

interface Flags {
  readonly json?: boolean;
  readonly only?: string;
  readonly fast?: boolean;
  readonly repeat?: number;
  readonly jobs?: number;
  readonly seed?: number;
  readonly replay?: string;
  readonly out?: string;
  readonly shrink?: number;
}

// The canaries ship with nobody: they plant bugs in the built output of the checkout they lie in. So nothing is
// imported from them here; this is as much of their report as is printed.
interface Result {
  readonly pitfall: string;
  readonly canary: string;
  readonly name: string;
  readonly checker: string;
  readonly caught: boolean;
  readonly medianSeeds: number | null;
  readonly hunts: readonly {
    readonly seeds: number;
    readonly found: number | null;
    readonly message: string;
    readonly others: Readonly<Record<string, number>>;
  }[];
  readonly seconds: number;
}

interface Report {
  readonly results: readonly Result[];
  readonly caught: number;
  readonly of: number;
  readonly notPlanted: readonly { readonly pitfall: string; readonly reason: string }[];
  readonly seconds: number;
}

interface Canaries {
  readonly canaries: readonly { readonly id: string }[];
  readonly unknownCanaries: (names: readonly string[]) => readonly string[];
  readonly runCanaries: (options: {
    readonly only?: readonly string[];
    readonly fast?: boolean;
    readonly repeat?: number;
    readonly jobs?: number;
    readonly onResult?: (result: Result, done: number, of: number) => void;
  }) => Promise<Report>;
  readonly lookInto: (
    id: string,
    task:
      | { readonly type: 'seed'; readonly seed: number; readonly out?: string; readonly shrinkSeconds?: number }
      | { readonly type: 'replay'; readonly file: string; readonly out?: string },
  ) => Promise<number>;
}

export function addSimCanaries(sim: Command, context: Context): void {
  const command = sim
    .command('canaries')
    .summary('plants the known bugs, one at a time, and sees that each is found')
    .description(
      'Plants the bugs of sim/PITFALLS.md in copies of the built output and runs seeds until the checker named\n' +
        'beforehand finds each. Works in a checkout of the repository only. Exit code 1 if one is not found.\n\n' +
        'With --seed or --replay, and one canary named by --only, that run is looked into instead, as `kimberlite sim`\n' +
        'does with a run that failed: its last events, a smaller run, its schedule and its page (--shrink, --out).',
    )
    .option('--only <ids>', 'pitfalls or canaries, as in 9,12a,60b.2')
    .option('--fast', 'only those that run with every test')
    .option('--repeat <n>', 'hunts a canary, from other seeds each (default: 1)', wholeNumber('--repeat', 1, 100))
    .option('--jobs <n>', 'canaries at a time (default: one a processor)', wholeNumber('--jobs', 1, 256))
    .option('--json', 'one JSON document on stdout, nothing else there')
    .action(async (_flags: Flags, self: Command) => {
      process.exitCode = await act(context, self.optsWithGlobals<Flags>());
    });
  examples(command, [
    ['all of them: some minutes', 'kimberlite sim canaries'],
    ['one, and how many seeds it takes', 'kimberlite sim canaries --only 49 --repeat 5'],
    ['what one looks like when it is found', 'kimberlite sim canaries --only 42 --seed 1 --out .'],
  ]);
}

async function load(): Promise<Canaries> {
  const entry = new URL('../../../../sim/canaries/dist/index.js', import.meta.url);
  if (!existsSync(fileURLToPath(entry))) {
    throw fail(
      'NoCheckout',
      'The canaries are not here: they plant bugs in the built output of a checkout of the repository.',
      'Clone the repository, run `npm run build` there, and then: npx kimberlite sim canaries',
    );
  }
  return (await import(entry.href)) as Canaries;
}

async function act(context: Context, flags: Flags): Promise<0 | 1> {
  const { terminal } = context;
  const { runCanaries, lookInto, canaries, unknownCanaries } = await load();
  const only = flags.only?.split(',');
  const unknown = unknownCanaries(only ?? []);
  if (unknown.length > 0) {
    const known = canaries.map(({ id }) => id).join(' ');
    throw new UsageFailure(`No canary is called ${unknown.join(', ')}.\nThere are ${known}.`);
  }
  const task = taskOf(flags);
  if (task !== null) return (await lookInto(onlyOne(flags), task)) === 0 ? 0 : 1;
  const report = await runCanaries({
    ...(only === undefined ? {} : { only }),
    ...(flags.fast === undefined ? {} : { fast: flags.fast }),
    ...(flags.repeat === undefined ? {} : { repeat: flags.repeat }),
    ...(flags.jobs === undefined ? {} : { jobs: flags.jobs }),
    onResult: (result, done, of) => {
      if (flags.json !== true) line(terminal.err, `${done} of ${of}: ${result.canary} ${verdictOf(terminal, result)}`);
    },
  });
  if (flags.json === true) printJson(context, report);
  else print(terminal, report);
  return report.caught === report.of ? 0 : 1;
}

function taskOf({ seed, replay, out, shrink }: Flags): Parameters<Canaries['lookInto']>[1] | null {
  const left = out === undefined ? {} : { out };
  if (replay !== undefined) return { type: 'replay', file: replay, ...left };
  if (seed === undefined) return null;
  return { type: 'seed', seed, ...left, ...(shrink === undefined ? {} : { shrinkSeconds: shrink }) };
}

function onlyOne({ only }: Flags): string {
  if (only !== undefined && !only.includes(',')) return only;
  throw new UsageFailure('--seed and --replay look into one canary: name it with --only, as the table has it.');
}

/** The first that was found by a run, for somebody who wants to see one. */
function hint({ results }: Report): string | null {
  const result = results.find(({ caught, checker }) => caught && checker !== 'performance');
  const found = result?.hunts.find((one) => one.found !== null)?.found ?? null;
  return result === undefined || found === null
    ? null
    : `look into one: kimberlite sim canaries --only ${result.canary} --seed ${found}`;
}

const verdictOf = ({ colors }: Terminal, { caught, medianSeeds, hunts }: Result): string =>
  caught
    ? `found after ${medianSeeds}`
    : colors.red(`not found in ${hunts.map(({ seeds, others }) => `${seeds} (${endsOf(others)})`).join(', ')}`);

/** How the seeds ended that did not count. */
const endsOf = (others: Readonly<Record<string, number>>): string =>
  Object.entries(others)
    .map(([end, count]) => `${count} ${end}`)
    .join(', ');

function print(terminal: Terminal, report: Report): void {
  const { colors } = terminal;
  const rows = report.results.map((result) => [
    result.pitfall,
    result.canary,
    result.caught ? String(result.medianSeeds) : colors.red('not found'),
    result.checker,
    result.seconds.toFixed(1),
    result.name,
  ]);
  line(terminal.out, table(terminal, ['pitfall', 'canary', 'seeds', 'checker', 'seconds', 'planted'], rows));
  if (report.notPlanted.length > 0) {
    line(terminal.out);
    const reasons = report.notPlanted.map(({ pitfall, reason }) => [pitfall, reason]);
    line(terminal.out, table(terminal, ['pitfall', 'why it is not planted'], reasons));
  }
  line(terminal.out);
  const mark = report.caught === report.of ? colors.green('✓') : colors.red('✗');
  line(terminal.out, `${mark} ${report.caught} of ${report.of} found, in ${report.seconds.toFixed(0)} s`);
  const next = hint(report);
  if (next !== null) line(terminal.out, next);
}
