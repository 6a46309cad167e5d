import type { Checker, Fail, SuperblockView, World } from './checker.ts';

type Numbers = { view: number; logView: number; commit: number; checkpoint: number };
const numberNames = ['view', 'logView', 'commit', 'checkpoint'] as const;

/**
 * View, log view, commit number and checkpoint never go back (pitfall 3): not in the superblocks a replica writes, not
 * in what it says during one boot, and never below what its disk held when it booted, whatever it has read of it.
 */
export function neverBack(world: World, fail: Fail): Checker {
  /** The highest said in this boot; at its start, what the disk held. */
  const said: (Numbers | undefined)[] = [];
  const written: (Numbers | undefined)[] = [];

  const numbersOf = (kept: SuperblockView): Numbers => ({
    view: kept.view,
    logView: kept.logView,
    commit: kept.commit,
    checkpoint: kept.checkpoint,
  });

  const say = (replica: number, numbers: Numbers, name: keyof Numbers, value: number, type: string): void => {
    if (value < numbers[name]) {
      fail('never-back', `replica ${replica} sends ${type} with ${name} ${value} after ${numbers[name]}`);
    }
    numbers[name] = value;
  };

  return {
    name: 'never-back',
    booted: (replica) => {
      said[replica] = numbersOf(world.superblock(replica));
    },
    sentTypes: [
      'prepare',
      'prepare-ok',
      'heartbeat',
      'heartbeat-ok',
      'start-view-change',
      'do-view-change',
      'start-view',
      'request-start-view',
    ],
    sent: (replica, message) => {
      const numbers = (said[replica] ??= numbersOf(world.superblock(replica)));
      const { type } = message;
      if ('view' in message) say(replica, numbers, 'view', message.view, type);
      if ('commit' in message) say(replica, numbers, 'commit', message.commit, type);
      if ('checkpoint' in message) {
        const { checkpoint } = message;
        const op = typeof checkpoint === 'number' ? checkpoint : checkpoint?.op;
        // Whoever fetches a checkpoint, or cannot read its own, says nothing of any.
        if (op !== undefined) say(replica, numbers, 'checkpoint', op, type);
      }
      if ('logView' in message) say(replica, numbers, 'logView', message.logView, type);
    },
    superblockWritten: (replica, kept) => {
      const before = written[replica] ?? numbersOf(world.superblock(replica));
      for (const name of numberNames) {
        if (kept[name] >= before[name]) continue;
        fail('never-back', `replica ${replica} writes a superblock with ${name} ${kept[name]} after ${before[name]}`);
      }
      written[replica] = numbersOf(kept);
    },
    wiped: (replica) => {
      said[replica] = undefined;
      written[replica] = undefined;
    },
    down: (replica) => {
      said[replica] = undefined;
      // What was written and not synced may be lost; what was synced is compared from here on.
      written[replica] = undefined;
    },
  };
}
