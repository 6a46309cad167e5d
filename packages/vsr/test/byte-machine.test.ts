import { type Checksum, type ClientId, concatBytes, type SessionNumber, type Timestamp } from '@kimberlite/base';
import { expect, test } from 'vitest';
import { byteMachine, bytesOf, toOp } from './byte-machine.ts';

const after = (...bodies: readonly string[]): ReturnType<typeof byteMachine.initial> =>
  bodies.reduce((state, body, i) => {
    const [client, checksum] = ['0'.repeat(32) as ClientId, '0'.repeat(32) as Checksum];
    const when = { op: toOp(i + 1), timestamp: (i + 1) as Timestamp };
    const request = { ...when, client, session: 1 as SessionNumber, checksum, body: bytesOf(body) };
    return byteMachine.apply(state, request).state;
  }, byteMachine.initial());

function decodeAll(bytes: Uint8Array, size: number): ReturnType<ReturnType<typeof byteMachine.decoder>['finish']> {
  const { push, finish } = byteMachine.decoder();
  for (let at = 0; at < bytes.length; at += size) {
    const pushed = push(bytes.subarray(at, at + size));
    if (!pushed.ok) return pushed;
  }
  return finish();
}

test.each([1, 5, 1_000])('the machine of the tests gives its state back from pieces of %i bytes', (size) => {
  for (const state of [after(), after('a'), after('one', 'line\n', '', '\u00ff\u0000 7')]) {
    expect(decodeAll(concatBytes([...byteMachine.encode(state)]), size)).toEqual({ ok: true, value: state });
  }
});

test('damaged bytes are an error', () => {
  const bytes = concatBytes([...byteMachine.encode(after('one', 'two'))]);
  expect(decodeAll(bytes.subarray(0, -1), 3).ok).toBe(false);
  expect(decodeAll(bytesOf('7 xyz\n'), 3).ok).toBe(false);
});
