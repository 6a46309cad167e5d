import { type Checksum, type ClientId, concatBytes, op, type SessionNumber, type Timestamp } from '@kimberlite/base';
import { expect, test } from 'vitest';
import { listMachine } from '../src/explorer/list-machine.ts';

const after = (...bodies: readonly number[]): ReturnType<typeof listMachine.initial> =>
  bodies.reduce((state, body, i) => {
    const [client, checksum] = ['0'.repeat(32) as ClientId, '0'.repeat(32) as Checksum];
    const when = { op: op(i + 1), timestamp: (i + 1) as Timestamp };
    const request = { ...when, client, session: 1 as SessionNumber, checksum, body: Uint8Array.of(body) };
    return listMachine.apply(state, request).state;
  }, listMachine.initial());

function decodeAll(bytes: Uint8Array, size: number): ReturnType<ReturnType<typeof listMachine.decoder>['finish']> {
  const { push, finish } = listMachine.decoder();
  for (let at = 0; at < bytes.length; at += size) expect(push(bytes.subarray(at, at + size)).ok).toBe(true);
  return finish();
}

test.each([1, 4, 1_000])('the list gives itself back from pieces of %i bytes', (size) => {
  for (const state of [after(), after(7), after(1, 0, 255)]) {
    expect(decodeAll(concatBytes([...listMachine.encode(state)]), size)).toEqual({ ok: true, value: state });
  }
});

test('a list that is cut off or has something else in it is none', () => {
  const bytes = concatBytes([...listMachine.encode(after(1, 2))]);
  for (let end = 0; end < bytes.length; end++) expect(decodeAll(bytes.subarray(0, end), 4).ok).toBe(false);
  expect(decodeAll(Uint8Array.of(65, 44, 10), 4).ok).toBe(false);
});
