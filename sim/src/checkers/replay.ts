import { bytesEqual, concatBytes } from '@kimberlite/base';
import { encode, type KernelState, recomputeStateHash } from '@kimberlite/kernel';
import { createReplay, type Replica } from '@kimberlite/vsr';
import { createKernelStateMachine } from '@kimberlite/wire';
import type { Checker, Fail, World } from './checker.ts';
import type { Commits } from './commits.ts';
import { lookUp } from './platters.ts';
import type { KnownPrepare, Prepares } from './prepares.ts';

const bytesOf = (state: KernelState): Uint8Array => concatBytes(encode(state));

/**
 * Replay equals original: the log alone, as it lies on the disks at the end, gives byte for byte the state that every
 * replica has, and the hash kept command by command is the one computed from nothing.
 */
export function replay(world: World, prepares: Prepares, commits: Commits, fail: Fail): Checker {
  /** The prepare at that op, if it lies whole on any disk. */
  const onAnyDisk = (op: number): KnownPrepare | null => {
    const id = commits.at(op)?.id;
    const known = id === undefined ? undefined : prepares.get(id);
    if (known === undefined || known.bytes === null) return null;
    for (let replica = 0; replica < world.nodes; replica++) {
      if (lookUp(world.platter(replica), op, known.bytes) === 'synced') return known;
    }
    return null;
  };

  /** State after that op; null when its log is not whole anywhere. */
  const stateAt = (applied: number): KernelState | null => {
    const machine = createKernelStateMachine();
    let state = machine.initial();
    const played = createReplay<KernelState>({
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
      const done = played.apply({ header: known.header, bytes: known.bytes });
      if (!done.ok) fail('replay', `the log on the disks cannot be played: ${done.error}`);
    }
    return state;
  };

  const compare = (replica: Replica<KernelState>, wanted: Uint8Array): void => {
    if (bytesEqual(bytesOf(replica.state), wanted)) return;
    fail('replay', `replica ${replica.self} ends at op ${replica.applied} in another state than a replay of the log`);
  };

  return {
    name: 'replay',
    ended: ({ replicas }) => {
      const [first] = replicas;
      if (first === undefined) return;
      const state = stateAt(first.applied);
      if (state === null) return;
      const wanted = bytesOf(state);
      for (const replica of replicas) if (replica.applied === first.applied) compare(replica, wanted);
      const computed = recomputeStateHash(state);
      const kept = first.machine.stateHash(first.state);
      if (computed !== kept) fail('replay', `the state hash is ${kept}; computed from the state it is ${computed}`);
    },
  };
}
