import { concatBytes, err, ok, type Result, toHex } from '@kimberlite/base';
import type { StateMachine } from '@kimberlite/vsr';

/** Everything applied, oldest first. Small enough to be copied, and a request applied twice can be seen in it. */
export interface ListState {
  readonly applied: readonly string[];
  /** Of the last op: makes equal lists of different histories different. */
  readonly digest: string;
}

const initial: ListState = { applied: [], digest: '' };

const codesOf = (text: string): Uint8Array => Uint8Array.from(text, (unit) => unit.charCodeAt(0));

function decode(pieces: readonly Uint8Array[]): Result<ListState, string> {
  let text = '';
  for (const code of concatBytes(pieces)) text += String.fromCharCode(code);
  const [digest, end, ...more] = text.split('\n');
  if (digest === undefined || end !== '' || more.length > 0) return err('a list is one line');
  const applied: string[] = [];
  for (const entry of digest.split(',').slice(0, -1)) {
    const [, body] = entry.split('=');
    if (body === undefined) return err(`"${entry}" is no entry of a list`);
    applied.push(body);
  }
  return ok({ applied, digest });
}

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
  // The digest has the bodies in it. The line end tells a list that is cut off from a shorter one.
  encode: ({ digest }) => [codesOf(`${digest}\n`)],
  decoder: () => {
    const pieces: Uint8Array[] = [];
    return {
      push: (bytes) => {
        pieces.push(bytes.slice());
        return ok(undefined);
      },
      finish: () => decode(pieces),
    };
  },
};
