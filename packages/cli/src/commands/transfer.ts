import type { Command } from 'commander';
import {
  type ClusterOptions,
  type Context,
  endpointsOf,
  examples,
  printJson,
  wholeNumber,
  withCluster,
} from '../context.ts';
import type { Endpoints } from '../endpoints.ts';
import { fail } from '../failure.ts';
import { askPrimary, pause, statusOf } from '../operate.ts';
import { line } from '../terminal.ts';

/** Times that somebody is asked to hand over, at most: the next in turn takes over each time. */
const stepsMax = 12;
const replicaMax = 5;
/** A view change takes a few hundred milliseconds. */
const waitMs = 3000;
const lookMs = 50;

export function addTransfer(program: Command, context: Context): void {
  const command = withCluster(program.command('transfer'))
    .summary('make another node the primary')
    .option('--to <replica>', 'which one (default: the next in turn)', wholeNumber('--to', 0, replicaMax))
    .description(
      'The primary asks the others to take over and goes on as a backup. Nothing acknowledged is lost, and clients go on\n' +
        'by themselves. The nodes take turns, so reaching a certain one may take several steps.',
    )
    .action(async (options: ClusterOptions & { to?: number }) => {
      const endpoints = endpointsOf(context, options);
      const { from, to } = await transfer(endpoints, options.to);
      if (options.json === true) return printJson(context, { ok: true, from, to });
      const what =
        from === to ? `Replica ${to} is the primary already.` : `Replica ${to} is the primary now, after ${from}.`;
      line(context.terminal.out, what);
    });
  examples(command, [
    ['before the machine of the primary is taken down', 'kimberlite transfer'],
    ['to a certain node', 'kimberlite transfer --to 2'],
  ]);
}

async function transfer(endpoints: Endpoints, wanted: number | undefined): Promise<{ from: number; to: number }> {
  const { primary: from, replicas } = await statusOf(endpoints);
  if (from === null)
    throw fail('NoPrimary', 'There is no primary just now.', 'Wait for `kimberlite status` to show one.');
  if (wanted !== undefined && !replicas.some(({ replica }) => replica === wanted)) {
    throw fail('NoSuchReplica', `The cluster has replicas ${replicas.map(({ replica }) => replica).join(', ')}.`);
  }
  let now = from;
  for (let step = 0; step < stepsMax; step++) {
    if (wanted === undefined ? now !== from : now === wanted) return { from, to: now };
    const answer = await askPrimary(endpoints, '/transfer');
    if (answer['ok'] !== true && replicas.length === 1) throw fail('CannotTransfer', String(answer['reason']));
    now = await nextPrimary(endpoints, now);
  }
  const fix = 'Is that node up, and has it caught up? `kimberlite status` shows it.';
  throw fail('CannotTransfer', `Replica ${wanted ?? 'of another machine'} did not take over.`, fix);
}

/** Who is primary next; the same one if nothing came of it in time. */
async function nextPrimary(endpoints: Endpoints, before: number): Promise<number> {
  const until = Date.now() + waitMs;
  while (Date.now() < until) {
    const { primary } = await statusOf(endpoints);
    if (primary !== null && primary !== before) return primary;
    await pause(lookMs);
  }
  return before;
}
