import { concatBytes, err, hexInto, ok, op as toOp, type Result, toHex } from '@kimberlite/base';
import type { StateMachine } from '../src/index.ts';

/** A list of everything applied, newest first; immutable, so that old states stay valid. */
export interface ByteState {
  readonly position: number;
  readonly hash: number;
  readonly body: string;
  /** Of position, hash and body, as they were when the state was made. */
  readonly seal: number;
  readonly before: ByteState | null;
}

export const textOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
export const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

const mix = (hash: number, text: string): number => {
  let h = hash;
  for (let i = 0; i < text.length; i++) h = (Math.imul(h, 31) + text.charCodeAt(i)) >>> 0;
  return h;
};

const sealOf = ({ position, hash, body }: Omit<ByteState, 'seal'>): number => mix(position, `${hash}${body}`);
const sealed = (state: Omit<ByteState, 'seal'>): ByteState => ({ ...state, seal: sealOf(state) });

const initial: ByteState = sealed({ position: 0, hash: 7, body: '', before: null });

/** A line for each body and the hash behind it, oldest first. */
function* encode(state: ByteState): Generator<Uint8Array> {
  const states: ByteState[] = [];
  for (let s: ByteState | null = state; s !== null && s.before !== null; s = s.before) states.push(s);
  for (const { hash, body } of states.reverse()) yield bytesOf(`${hash} ${toHex(bytesOf(body))}\n`);
}

function decode(pieces: readonly Uint8Array[]): Result<ByteState, string> {
  const lines = textOf(concatBytes(pieces)).split('\n');
  if (lines.pop() !== '') return err('the last line is cut off');
  let state = initial;
  for (const line of lines) {
    const [, hash, hex] = /^(\d+) ((?:[0-9a-f]{2})*)$/.exec(line) ?? [];
    if (hash === undefined || hex === undefined) return err(`line ${state.position + 1} is no body`);
    const body = new Uint8Array(hex.length / 2);
    hexInto(hex, body, 0);
    state = sealed({ position: state.position + 1, hash: Number(hash), body: textOf(body), before: state });
  }
  return ok(state);
}

/** Applies by remembering; rejects a body that begins with "bad", which is an outcome all the same. */
export const byteMachine: StateMachine<ByteState> = {
  initial: () => initial,
  apply: (state, request) => {
    const body = textOf(request.body);
    if (body.startsWith('bad')) return { state, reply: bytesOf(`no ${body}`), effects: [] };
    const position = state.position + 1;
    const hash = mix(state.hash, `${request.op}${request.timestamp}${body}`);
    const next = sealed({ position, hash, body, before: state });
    return { state: next, reply: bytesOf(`${position} ${body}`), effects: [body] };
  },
  query: (state) => bytesOf(`${state.position} ${state.body}`),
  position: (state) => state.position,
  stateHash: (state) => state.hash.toString(16).padStart(8, '0'),
  encode,
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
  auditor: () => ({
    next: (state) => {
      for (let s: ByteState | null = state; s !== null; s = s.before) {
        if (s.seal !== sealOf(s)) return { type: 'damaged', where: `position ${s.position}` };
      }
      return { type: 'whole' };
    },
  }),
};

export const bodiesOf = (state: ByteState): readonly string[] => {
  const bodies: string[] = [];
  for (let s: ByteState | null = state; s !== null && s.before !== null; s = s.before) bodies.push(s.body);
  return bodies.reverse();
};

export { toOp };
