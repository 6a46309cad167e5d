import type { AppliedRequest } from '@kimberlite/vsr';
import { createKernelStateMachine } from '@kimberlite/wire';
import type { Checker, Fail } from './checker.ts';

/** A fresh state machine fed with what was executed ends in the state every replica has. */
export function replay(fail: Fail): Checker {
  const requests = new Map<number, AppliedRequest>();
  return {
    name: 'replay',
    executed: ({ position, request }) => {
      if (!requests.has(position)) requests.set(position, request);
    },
    ended: ({ replicas }) => {
      const machine = createKernelStateMachine();
      let state = machine.initial();
      const hashes = new Map<number, string>([[0, machine.stateHash(state)]]);
      for (const position of [...requests.keys()].sort((a, b) => a - b)) {
        const request = requests.get(position);
        if (request === undefined) continue;
        state = machine.apply(state, request).state;
        hashes.set(machine.position(state), machine.stateHash(state));
      }
      for (const replica of replicas) {
        const position = replica.machine.position(replica.state);
        const hash = replica.machine.stateHash(replica.state);
        const replayed = hashes.get(position);
        if (replayed !== hash) {
          fail(
            'replay',
            `replica ${replica.self} at position ${position} has state ${hash}; a replay gives ${replayed}`,
          );
        }
      }
    },
  };
}
