import { decodePrepare, decodePrepareHeader, sha256Hasher } from '@kimberlite/base';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { decodeBatch, decodeDurableState } from '@kimberlite/vsr';
import {
  readCommands,
  createCodec,
  decodeCommands,
  decodeOutcomes,
  decodeQuery,
  decodeQueryAnswer,
  encodeCommands,
  frameHeaderBytes,
  parseJson,
  validate,
  validateQuery,
} from '@kimberlite/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clientMessage, peerHello, peerMessage, serverMessage } from '../../packages/wire/test/arbitraries.ts';

const codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });
const runs = { numRuns: 2000 };

/** Every decoder that ever sees bytes from outside, by what it takes. */
const frameDecoders = {
  decodePeerMessage: codec.decodePeerMessage,
  decodePeerHello: codec.decodePeerHello,
  decodeClientFrame: codec.decodeClientFrame,
  decodeServerFrame: codec.decodeServerFrame,
};
const bodyDecoders = {
  decodeCommands,
  readCommands,
  decodeQuery,
  decodeOutcomes,
  decodeQueryAnswer,
  decodeBatch,
  decodeDurableState,
  decodePrepare: (bytes: Uint8Array) => decodePrepare(bytes, sha256Hasher),
  decodePrepareHeader: (bytes: Uint8Array) => decodePrepareHeader(bytes, sha256Hasher),
};

function seal(kind: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameHeaderBytes + body.length);
  frame.set(body, frameHeaderBytes);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 0x574c_424b, true);
  view.setUint16(8, 1, true);
  view.setUint8(10, kind);
  view.setUint32(12, body.length, true);
  view.setUint32(4, nodeCrc32(frame.subarray(8)), true);
  return frame;
}

const frames: fc.Arbitrary<Uint8Array> = fc.oneof(
  peerMessage.map((message) => codec.encodePeerMessage(message)),
  peerHello.map((hello) => codec.encodePeerHello(hello)),
  fc.array(clientMessage, { maxLength: 4 }).map((messages) => codec.encodeClientFrame(messages)),
  fc.array(serverMessage, { maxLength: 4 }).map((messages) => codec.encodeServerFrame(messages)),
);

interface Edit {
  readonly at: number;
  readonly bits: number;
  readonly cut: boolean;
}
const edits = fc.array(
  fc.record({ at: fc.nat(), bits: fc.integer({ min: 1, max: 255 }), cut: fc.nat(5).map((n) => n === 0) }),
  { minLength: 1, maxLength: 6 },
);

/** Flips bits, and now and then cuts the end off. */
function edited(bytes: Uint8Array, list: readonly Edit[]): Uint8Array {
  let copy = bytes.slice();
  for (const { at, bits, cut } of list) {
    if (copy.length === 0) return copy;
    if (cut) copy = copy.slice(0, at % copy.length);
    else copy[at % copy.length] = (copy[at % copy.length] ?? 0) ^ bits;
  }
  return copy;
}

describe('no bytes make a decoder throw', () => {
  for (const [name, decode] of Object.entries(frameDecoders)) {
    test(`${name}: damaged frames, and damaged bodies under a right checksum`, () => {
      fc.assert(
        fc.property(frames, edits, fc.constantFrom(1, 2, 3, 4), (frame, list, kind) => {
          expect(decode(edited(frame, list))).toHaveProperty('ok');
          expect(decode(seal(kind, edited(frame.subarray(frameHeaderBytes), list)))).toHaveProperty('ok');
        }),
        runs,
      );
    });
  }
  for (const [name, decode] of Object.entries(bodyDecoders)) {
    test(`${name}: random and damaged bodies`, () => {
      const bodies = fc.oneof(
        fc.uint8Array({ maxLength: 400 }),
        frames.map((frame) => frame.slice(frameHeaderBytes)),
        fc
          .array(fc.anything(), { maxLength: 3 })
          .filter(packs)
          .map((list) => encodeCommands(list as never)),
      );
      fc.assert(
        fc.property(bodies, edits, (body, list) => {
          expect(decode(body)).toHaveProperty('ok');
          expect(decode(edited(body, list))).toHaveProperty('ok');
        }),
        runs,
      );
    });
  }
});

function packs(list: readonly unknown[]): boolean {
  try {
    encodeCommands(list as never);
    return true;
  } catch {
    return false;
  }
}

describe('no value makes the admission throw', () => {
  const anything = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withSparseArray: true,
  });
  const nearCommands = fc.record(
    {
      type: fc.oneof(
        fc.constantFrom(
          'Insert',
          'Update',
          'Upsert',
          'Delete',
          'CreateTable',
          'CreateTenant',
          'CreateIndex',
          'SetBudget',
          'Query',
        ),
        anything,
      ),
      tenantId: fc.oneof(fc.constant(1), anything),
      table: fc.oneof(fc.constant('t'), anything),
      row: anything,
      key: anything,
      set: anything,
      columns: anything,
      primaryKey: anything,
      where: anything,
      orderBy: anything,
    },
    { requiredKeys: [] },
  );

  test('commands and queries', () => {
    fc.assert(
      fc.property(fc.oneof(anything, nearCommands), (value) => {
        expect(validate(value)).toHaveProperty('ok');
        expect(validateQuery(value)).toHaveProperty('ok');
      }),
      runs,
    );
  });

  test('JSON text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.json().map((text) => text.slice(0, -1)),
        ),
        (text) => {
          expect(parseJson(text)).toHaveProperty('ok');
        },
      ),
      runs,
    );
  });
});
