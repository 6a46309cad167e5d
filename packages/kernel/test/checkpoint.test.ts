import { bytesEqual, concatBytes, unreachable } from '@kimberlite/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applyBatch,
  type Command,
  type CommandInput,
  chunkBytes,
  decode,
  decoder,
  encode,
  encodeChunks,
  initialState,
  type KernelState,
  recomputeStateHash,
  recordBytesMax,
  rowBytesMax,
  stateHash,
} from '../src/index.ts';
import type { OrderedMap } from '../src/ordered-map.ts';
import { accept, commands, committed } from './arbitrary.ts';
import { goldenCommands, goldenHash, goldenState } from './golden-state.ts';

const whole = (state: KernelState): Uint8Array => concatBytes(encode(state));
const after = (list: readonly Command[], from = initialState()): KernelState =>
  applyBatch(from, committed(from, list)).state;
const made = (...inputs: readonly CommandInput[]): KernelState => after(inputs.map(accept));

/** Cuts bytes where the list says, any number of times at one place. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
  const ends = [...sorted, bytes.length];
  return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : (ends[i - 1] as number), end));
}

/** The pieces as they would come, each in a buffer that is used again for the next. */
function decodeAll(pieces: readonly Uint8Array[]): ReturnType<typeof decode> {
  const { push, finish } = decoder();
  for (const piece of pieces) {
    const lent = new Uint8Array(piece);
    const pushed = push(lent);
    lent.fill(0xa5);
    if (!pushed.ok) return pushed;
  }
  return finish();
}

function entriesOf<V>(map: OrderedMap<V>, show: (value: V) => unknown = (value) => value): unknown[] {
  const entries: unknown[] = [];
  for (const at = map.ascend(); at.key !== undefined; at.next()) entries.push([at.key, show(at.value)]);
  return entries;
}

/** Everything a state holds, the derived included. */
const contents = (state: KernelState): unknown => ({
  ...state,
  metrics: null,
  tenants: entriesOf(state.tenants, (tenant) => ({ ...tenant, edit: null })),
  tables: entriesOf(state.tables, (table) => ({ ...table, edit: null, rows: entriesOf(table.rows) })),
  indexes: entriesOf(state.indexes, (index) => ({ ...index, edit: null, entries: entriesOf(index.entries) })),
  idempotency: entriesOf(state.idempotency, (window) => ({
    ...window,
    edit: null,
    byId: entriesOf(window.byId),
    byPosition: entriesOf(window.byPosition),
  })),
});

const places = fc.array(fc.nat(), { maxLength: 40, size: 'max' });

describe('the encoded state', () => {
  test('is what it was: states of this version stay readable', () => {
    const bytes = Buffer.from(goldenState, 'base64');
    const state = after(goldenCommands.map(accept));
    expect(Buffer.from(whole(state)).toString('base64')).toBe(goldenState);
    const read = decode([bytes]);
    expect(read.ok && stateHash(read.value)).toBe(goldenHash);
    expect(read.ok && contents(read.value)).toEqual(contents(state));
  });

  test('gives an equal state back, however it is split', () => {
    fc.assert(
      fc.property(commands(40), places, (list, at) => {
        const state = after(list);
        const bytes = whole(state);
        const read = decodeAll(cut(bytes, at));
        expect(read.ok ? '' : read.error).toBe('');
        if (!read.ok) return;
        expect(contents(read.value)).toEqual(contents(state));
        expect(stateHash(read.value)).toBe(stateHash(state));
        expect(recomputeStateHash(read.value)).toBe(stateHash(state));
        expect(whole(read.value)).toEqual(bytes);
      }),
      { numRuns: 80 },
    );
  });

  test('comes byte by byte too, in records far larger than a piece', () => {
    const columns = { id: 'int', text: 'text', data: 'bytes' } as const;
    const state = made(
      { type: 'CreateTenant', tenantId: 1, name: 'one' },
      { type: 'CreateTable', tenantId: 1, table: 't', columns, primaryKey: ['id'] },
      { type: 'Insert', tenantId: 1, table: 't', row: { id: 1, text: 'é\u{1f600}'.repeat(1_500), data: '' } },
      { type: 'Insert', tenantId: 1, table: 't', row: { id: 2, text: '', data: new Uint8Array(5_000).fill(7) } },
    );
    const bytes = whole(state);
    const read = decodeAll(Array.from(bytes, (byte) => Uint8Array.of(byte)));
    expect(read.ok && contents(read.value)).toEqual(contents(state));
  });

  test('is that of the state it was asked of, whatever is applied while it is drawn', () => {
    fc.assert(
      fc.property(commands(40), commands(40), fc.integer({ min: 1, max: 7 }), (list, later, size) => {
        const state = after([...wide, ...list]);
        const [bytes, was] = [whole(state), contents(state)];
        const drawn: Uint8Array[] = [];
        let now = state;
        let next = 0;
        for (const chunk of encodeChunks(state)) {
          drawn.push(chunk);
          now = after([...later.slice(next, next + size), ...wideChanged], now);
          next += size;
        }
        expect(drawn.length).toBeGreaterThan(2);
        expect(bytesEqual(concatBytes(drawn), bytes)).toBe(true);
        expect(contents(state)).toEqual(was);
        expect(bytesEqual(whole(now), bytes)).toBe(false);
      }),
      { numRuns: 20 },
    );
  });
});

const wideTable = { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] } as const;
const wideText = (i: number): string => String.fromCharCode(97 + (i % 26)).repeat(rowBytesMax / 4);
/** A table of a few chunks, and a change in it. */
const wide = [
  { type: 'CreateTenant', tenantId: 7, name: 'seven' },
  { type: 'CreateTable', tenantId: 7, table: 'wide', ...wideTable },
  ...Array.from({ length: 4 }, (_, id) => ({
    type: 'Insert',
    tenantId: 7,
    table: 'wide',
    row: { id, text: wideText(id) },
  })),
].map(accept);
const wideChanged = [
  { type: 'Update', tenantId: 7, table: 'wide', key: { id: 3 }, set: { text: 'changed' } },
  { type: 'Delete', tenantId: 7, table: 'wide', key: { id: 2 } },
].map(accept);

describe('chunks', () => {
  test('are bounded, and so is what is made for each', () => {
    const state = after(wide);
    for (const chunk of encode(state)) expect(chunk.length).toBeLessThan(chunkBytes + rowBytesMax + 100);
    const chunks = encodeChunks(state);
    const first = chunks.next();
    expect(first.done === true ? 0 : first.value.length).toBeLessThan(whole(state).length / 2);
  });

  test('are made in slices also where tables have no rows', () => {
    const tables = 5_000;
    const state = made(
      ...Array.from({ length: 5 }, (_, i): CommandInput => ({ type: 'CreateTenant', tenantId: i + 1, name: 't' })),
      ...Array.from({ length: tables }, (_, i): CommandInput => {
        const table = `t${i}`;
        return { type: 'CreateTable', tenantId: 1 + (i % 5), table, columns: { id: 'int' }, primaryKey: ['id'] };
      }),
      // The last of all tables.
      { type: 'Insert', tenantId: 5, table: 't999', row: { id: 1 } },
    );
    const chunks = encode(state);
    // All chunks are full but two: the one that ends where many tables without rows were passed, and the last.
    const full = chunks.filter((chunk) => chunk.length >= chunkBytes).length;
    expect(chunks.length).toBe(full + 2);
    const read = decode(chunks);
    expect(read.ok && read.value.tables.size).toBe(tables);
  });
});

describe('damaged bytes', () => {
  interface Damage {
    readonly kind: 'flip' | 'cut' | 'drop' | 'twice' | 'zero' | 'ones';
    readonly at: number;
    readonly length: number;
    readonly mask: number;
  }
  const damage: fc.Arbitrary<Damage> = fc.record({
    kind: fc.constantFrom<Damage['kind']>('flip', 'cut', 'drop', 'twice', 'zero', 'ones'),
    at: fc.nat(),
    length: fc.integer({ min: 1, max: 300 }),
    mask: fc.integer({ min: 1, max: 255 }),
  });

  function damaged(bytes: Uint8Array, { kind, at, length, mask }: Damage): Uint8Array {
    const start = at % bytes.length;
    const end = Math.min(start + length, bytes.length);
    const copy = bytes.slice();
    switch (kind) {
      case 'flip':
        copy[start] = (copy[start] as number) ^ mask;
        return copy;
      case 'cut':
        return copy.subarray(0, start);
      case 'drop':
        return concatBytes([bytes.subarray(0, start), bytes.subarray(end)]);
      case 'twice':
        return concatBytes([bytes.subarray(0, end), bytes.subarray(start)]);
      case 'zero':
        return copy.fill(0, start, end);
      case 'ones':
        return copy.fill(0xff, start, end);
      default:
        return unreachable(kind);
    }
  }

  test('are an error or another well-formed state, the same however they are split, and never throw', () => {
    let refused = 0;
    fc.assert(
      fc.property(commands(25), fc.array(damage, { minLength: 1, maxLength: 3 }), places, (list, hurts, at) => {
        const bytes = hurts.reduce(
          (each, hurt) => (each.length === 0 ? each : damaged(each, hurt)),
          whole(after(list)),
        );
        const read = decodeAll(cut(bytes, at));
        const once = decode([bytes]);
        expect(read.ok).toBe(once.ok);
        if (!read.ok || !once.ok) {
          refused += 1;
          expect(read.ok ? '' : read.error).toBe(once.ok ? '' : once.error);
          return;
        }
        expect(whole(read.value)).toEqual(bytes);
        expect(stateHash(read.value)).toBe(recomputeStateHash(read.value));
      }),
      { numRuns: 300 },
    );
    expect(refused).toBeGreaterThan(150);
  });

  /** The records that bytes consist of. */
  function recordsOf(bytes: Uint8Array): Uint8Array[] {
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const records: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const valueAt = at + 9 + data.getUint32(at + 1);
      const end = valueAt + data.getUint32(valueAt - 4);
      records.push(bytes.subarray(at, end));
      at = end;
    }
    return records;
  }

  test('that have whole records out of order, twice or without what they belong to are refused', () => {
    const more = [1, 2].map((no) => ({ type: 'Insert', tenantId: 2, table: 'samples', row: { lot: 'x', no } }));
    const records = recordsOf(whole(after([...goldenCommands, ...more].map(accept))));
    expect(records.length).toBeGreaterThan(12);
    for (let i = 0; i < records.length; i++) {
      const [front, here, behind] = [records.slice(0, i), records.slice(i, i + 1), records.slice(i + 1)];
      expect(decode([...front, ...here, ...here, ...behind]).ok).toBe(false);
      const [next, ...rest] = behind;
      if (next !== undefined) expect(decode([...front, next, ...here, ...rest]).ok).toBe(false);
    }
    const without = (part: number): boolean => decode(records.filter((record) => record[0] !== part)).ok;
    expect([0, 1, 2, 3, 4, 5].map(without)).toEqual([false, false, false, true, true, true]);
  });

  test('that never were a state never throw', () => {
    const part = fc.integer({ min: 0, max: 6 }).map((byte) => Uint8Array.of(byte));
    const small = fc.integer({ min: 0, max: 20 }).map((length) => Uint8Array.of(0, 0, 0, length));
    const any = fc.uint8Array({ maxLength: 30 });
    fc.assert(
      fc.property(fc.array(fc.oneof(part, small, any), { maxLength: 30 }), (pieces) => {
        expect(decodeAll(pieces).ok).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  test('that promise more than any record has are refused before more is kept of them', () => {
    const { push, finish } = decoder();
    expect(push(whole(initialState())).ok).toBe(true);
    const tenant = Uint8Array.of(1, 0, 0, 0, 1, 65, 0xff, 0xff, 0xff, 0xff);
    expect(push(tenant.subarray(0, 9)).ok).toBe(true);
    const refused = { ok: false, error: expect.stringMatching(/larger than any can be/) };
    expect(push(tenant.subarray(9))).toEqual(refused);
    expect(push(new Uint8Array(0))).toEqual(refused);
    expect(finish()).toEqual(refused);
    expect(recordBytesMax).toBeGreaterThan(rowBytesMax * 2);
  });

  test('that contradict an index are refused with the row that does', () => {
    const state = made(
      { type: 'CreateTenant', tenantId: 1, name: 'one' },
      { type: 'CreateTable', tenantId: 1, table: 't', columns: { id: 'int', v: 'int' }, primaryKey: ['id'] },
      { type: 'CreateIndex', tenantId: 1, table: 't', index: 'by_v', columns: ['v'] },
      { type: 'Insert', tenantId: 1, table: 't', row: { id: 1, v: 5 } },
      { type: 'Insert', tenantId: 1, table: 't', row: { id: 2, v: 5 } },
    );
    const bytes = Buffer.from(whole(state));
    bytes[bytes.indexOf('unique') + 'unique'.length] = 2;
    const read = decode([bytes]);
    expect(read).toEqual({ ok: false, error: expect.stringMatching(/contradicts index "by_v"/) });
  });
});

test('a decoder gives its state once, and takes nothing afterwards', () => {
  const { push, finish } = decoder();
  const [header] = encode(initialState());
  expect(header === undefined ? '' : push(header)).toEqual({ ok: true, value: undefined });
  const state = finish();
  expect(state.ok && contents(state.value)).toEqual(contents(initialState()));
  expect(push(new Uint8Array(1)).ok).toBe(false);
  expect(finish().ok).toBe(false);
  expect(decoder().finish()).toEqual({ ok: false, error: 'there is nothing' });
});
