import type { CrashOutcome, Local, LocalEvent } from './local.ts';
import { kept, lost, timerBit, timerNames, torn } from './local.ts';
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

/**
 * Every way in which a crash may leave the writes that were under way. A header record is written after its body is
 * synced, so it can be torn; that matters only when a body appended later is lost too, and might be taken for a newer
 * prepare of the same op. Otherwise opening the log writes the record again, as if the write had been kept.
 */
function writeOutcomes(count: number): readonly string[] {
  let outcomes: readonly string[] = [''];
  for (let i = 0; i < count; i++) outcomes = outcomes.flatMap((before) => [kept, lost, torn].map((fate) => before + fate));
  return outcomes.filter((outcome) => {
    const at = outcome.lastIndexOf(torn);
    return at < 0 || outcome.indexOf(lost, at) > 0;
  });
}

/**
 * Crash and restart are one event. What happens while a replica is down cannot be told from what happens just before
 * it crashes, for it hears and does nothing in between; and one that stays down is one whose events never come.
 */
export function crashes(local: Local, world: World, mayRot: boolean): readonly CrashOutcome[] {
  const { image, writes, superblockWrite, replica } = local;
  const superblocks = superblockWrite === null ? [false] : [false, true];
  const outcomes = superblocks.flatMap((superblockKept) =>
    writeOutcomes(writes.length).map((fates) => ({ superblockKept, writes: fates, rotted: 0 })),
  );
  const intact = [...image.slots].filter(([, slot]) => slot.kind === 'intact').map(([op]) => op);
  const all = mayRot ? outcomes.flatMap((outcome) => [outcome, ...intact.map((rotted) => ({ ...outcome, rotted }))]) : outcomes;
  return all.filter(({ superblockKept }) => {
    const { view, logView } = superblockKept && superblockWrite !== null ? superblockWrite : image.superblock;
    // A restarted primary enters the next view; the world ends with its last.
    const entersNext = view === logView && view % replicaCount === replica.self;
    return view < lastView(world) || !entersNext;
  });
}
