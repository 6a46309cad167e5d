import { toHex } from '@kimberlite/base';
import type { StateMachine } from '@kimberlite/vsr';

/** Everything applied, oldest first. Small enough to be copied, and a request applied twice can be seen in it. */
export interface ListState {
  readonly applied: readonly string[];
  /** Of the last op: makes equal lists of different histories different. */
  readonly digest: string;
}

const initial: ListState = { applied: [], digest: '' };

export const listMachine: StateMachine<ListState> = {
  initial: () => initial,
  apply: (state, { op, timestamp, body }) => {
    const applied = [...state.applied, toHex(body)];
    return {
      state: { applied, digest: `${state.digest}${op}@${timestamp}=${toHex(body)},` },
      reply: Uint8Array.of(applied.length),
      effects: [],
    };
  },
  query: (state) => Uint8Array.of(state.applied.length),
  position: (state) => state.applied.length,
  stateHash: (state) => state.digest,
};
