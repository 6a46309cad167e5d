import { bytesEqual, concatBytes, replicasMax } from '@kimberlite/base';
import { encode, type KernelState, recomputeStateHash } from '@kimberlite/kernel';
import { createReplay, type Replica } from '@kimberlite/vsr';
import { createKernelStateMachine } from '@kimberlite/wire';
import type { Checker, Fail, World } from './checker.ts';
import type { Commits } from './commits.ts';
import type { Disks } from './platters.ts';
import type { KnownPrepare, Prepares } from './prepares.ts';

const bytesOf = (state: KernelState): Uint8Array => concatBytes(encode(state));

/**
 * Replay equals original: the log alone, as it lies on the disks at the end, gives byte for byte the state that every
 * replica has, and the hash kept command by command is the one computed from nothing. Every restart plays the log too,
 * and the ledger compares it request by request; so a run that had late ones need not play it once more.
 */
export function replay(world: World, disks: Disks, prepares: Prepares, commits: Commits, fail: Fail): Checker {
  /** By replica: ops that were committed when it booted, and that it has played since. */
  const played: number[] = [];

  /** The prepare at that op, if it lies whole on any disk. */
  const onAnyDisk = (op: number): KnownPrepare | null => {
    const id = commits.at(op)?.id;
    const known = id === undefined ? undefined : prepares.get(id);
    if (known === undefined || known.bytes === null) return null;
    for (let replica = 0; replica < replicasMax; replica++) {
      if (disks.lookUp(replica, op, known.bytes) === 'synced') return known;
    }
    return null;
  };

  /** State after that op; null when its log is not whole anywhere. */
  const stateAt = (applied: number): KernelState | null => {
    const machine = createKernelStateMachine();
    let state = machine.initial();
    const player = createReplay<KernelState>({
      cluster: world.cluster,
      hasher: world.hasher,
      stateMachine: {
        ...machine,
        apply: (before, request) => {
          const result = machine.apply(before, request);
          state = result.state;
          return result;
        },
      },
    });
    for (let op = 1; op <= applied; op++) {
      const known = onAnyDisk(op);
      if (known === null || known.bytes === null) return null;
      const done = player.apply({ header: known.header, bytes: known.bytes });
      if (!done.ok) fail('replay', `the log on the disks cannot be played: ${done.error}`);
    }
    return state;
  };

  /** The log on the disks, played from the start, gives the very bytes that the replica has. */
  const playAgain = (replica: Replica<KernelState>): void => {
    const state = stateAt(replica.applied);
    if (state === null || bytesEqual(bytesOf(state), bytesOf(replica.state))) return;
    fail('replay', `replica ${replica.self} ends at op ${replica.applied} in another state than a replay of the log`);
  };

  return {
    name: 'replay',
    booted: (replica) => {
      played[replica] = commits.highest;
    },
    ended: ({ replicas }) => {
      const [first] = replicas;
      if (first === undefined) return;
      const kept = first.machine.stateHash(first.state);
      for (const { self, applied, machine, state } of replicas) {
        const hash = machine.stateHash(state);
        if (applied !== first.applied || hash === kept) continue;
        fail('replay', `replica ${self} ends at op ${applied} with state ${hash}; replica ${first.self} has ${kept}`);
      }
      const computed = recomputeStateHash(first.state);
      if (computed !== kept) fail('replay', `the state hash is ${kept}; computed from the state it is ${computed}`);
      // Whoever started over with most of the log has played it already, and the ledger has compared every step.
      const most = commits.highest / 2;
      if (!replicas.some(({ self }) => (played[self] ?? 0) > most)) playAgain(first);
    },
  };
}
