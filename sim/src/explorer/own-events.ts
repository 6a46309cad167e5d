import { registrationOp } from './cluster-requests.ts';
import type { DurableImage } from './durable-image.ts';
import { type CrashOutcome, kept, type Local, type LocalEvent, lost, timerBit, timerNames } from './local.ts';
import { firstView, lastView, replicaCount, type World } from './world.ts';

// What may happen at one replica without any message: timers, ends of disk work, crashes.

/** Which of the timers that are set may fire, within the bounds of the world. */
function mayFire({ replica: r }: Local, timer: (typeof timerNames)[number], world: World): boolean {
  switch (timer) {
    case 'heartbeat-timeout':
    case 'view-change':
      return r.view < lastView(world);
    case 'heartbeat':
      // The first opened the view; in view 1 another one has told of the registration.
      return r.heartbeatNumber - (r.view === firstView ? 1 : 0) <= world.heartbeats;
    case 'repair': {
      const attempts = [...r.fetches.values()].map((fetch) => fetch.attempts);
      if (r.headerFetch !== null) attempts.push(r.headerFetch.attempts);
      return Math.max(0, ...attempts) < world.repairAttempts;
    }
    default:
      return true;
  }
}

export function ownEvents(local: Local, world: World): readonly Exclude<LocalEvent, { type: 'deliver' }>[] {
  const { timers, writes, superblockWrite, reads } = local;
  const due = timerNames.filter((timer) => (timers & timerBit(timer)) !== 0 && mayFire(local, timer, world));
  return [
    ...(superblockWrite === null ? [] : [{ type: 'superblock-written' } as const]),
    // The log completes appends in the order in which they were made.
    ...writes.slice(0, 1).map(({ header }) => ({ type: 'log-written', op: header.op, id: header.id }) as const),
    ...reads.map(({ op, id }) => ({ type: 'read-done', op, id }) as const),
    ...due.map((timer) => ({ type: 'timer', timer }) as const),
  ];
}

/** Each pending write is kept or lost. */
function writeOutcomes(count: number): readonly string[] {
  let outcomes: readonly string[] = [''];
  for (let i = 0; i < count; i++) outcomes = outcomes.flatMap((before) => [before + kept, before + lost]);
  return outcomes;
}

/**
 * Ops whose header record a crash may have torn. The record of a prepare is begun when the prepare is durable; one that
 * is missing after a crash is written again when the log is opened, as if nothing had happened. So is a torn one,
 * unless something appended later was lost too: what that left behind might be a newer prepare of the same op.
 */
function tearable({ image, writes }: Local, outcome: string): readonly number[] {
  const lastLost = outcome.lastIndexOf(lost);
  if (lastLost < 0) return [];
  const older = writes.slice(0, lastLost).filter((_, i) => outcome.charAt(i) === kept);
  return [...intactOps(image).filter((op) => op > registrationOp), ...older.map(({ header }) => header.op)];
}

const intactOps = (image: DurableImage): readonly number[] =>
  [...image.slots].filter(([, slot]) => slot.kind === 'intact').map(([op]) => op);

/**
 * Crash and restart are one event. What happens while a replica is down cannot be told from what happens just before
 * it crashes, for it hears and does nothing in between; and one that stays down is one whose events never come.
 */
export function crashes(local: Local, world: World, mayRot: boolean): readonly CrashOutcome[] {
  const { image, writes, superblockWrite, replica } = local;
  const superblocks = superblockWrite === null ? [false] : [false, true];
  const outcomes = superblocks.flatMap((superblockKept) =>
    writeOutcomes(writes.length).flatMap((fates) =>
      [0, ...tearable(local, fates)].map((torn) => ({ superblockKept, writes: fates, torn, rotted: 0 })),
    ),
  );
  const rot = mayRot ? intactOps(image) : [];
  const all = outcomes.flatMap((outcome) => [outcome, ...rot.map((rotted) => ({ ...outcome, rotted }))]);
  return all.filter(({ superblockKept }) => {
    const { view, logView } = superblockKept && superblockWrite !== null ? superblockWrite : image.superblock;
    // A restarted primary enters the next view; the world ends with its last.
    const entersNext = view === logView && view % replicaCount === replica.self;
    return view < lastView(world) || !entersNext;
  });
}
