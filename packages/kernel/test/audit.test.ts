import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  applyBatch,
  Auditor,
  auditSliceEntries,
  type Command,
  type CommandInput,
  initialState,
  type KernelState,
} from '../src/index.ts';
import type { OrderedMap } from '../src/ordered-map.ts';
import { accept, commands, committed } from './arbitrary.ts';

const after = (list: readonly Command[], from = initialState()): KernelState =>
  applyBatch(from, committed(from, list)).state;

const row = (id: number): CommandInput => ({
  type: 'Insert',
  tenantId: 1,
  table: 'patients',
  row: { id, name: `patient ${id}` },
  idempotencyId: `insert ${id}`,
});
const columns = { id: 'int', name: 'text', weight: { type: 'float', default: 0.5 } } as const;
const schema: readonly CommandInput[] = [
  { type: 'CreateTenant', tenantId: 1, name: 'clinic' },
  { type: 'CreateTable', tenantId: 1, table: 'patients', columns, primaryKey: ['id'] },
  { type: 'CreateIndex', tenantId: 1, table: 'patients', index: 'by_name', columns: ['name'] },
];
const grown = (rows: number): KernelState =>
  after([...schema, ...Array.from({ length: rows }, (_, id) => row(id + 1))].map(accept));

/** Calls until it has something to say, and what that is. */
function lookThrough(state: KernelState): { readonly calls: number; readonly where: string | null } {
  const auditor = new Auditor();
  for (let calls = 1; calls < 10_000; calls++) {
    const step = auditor.next(state);
    if (step.type !== 'more') return { calls, where: step.type === 'damaged' ? step.where : null };
  }
  throw new Error('it never ends');
}

test('nothing is found where nothing is wrong, also while commands go on between the slices', () => {
  fc.assert(
    fc.property(commands(60), (list) => {
      expect(lookThrough(after(list)).where).toBe(null);
      const auditor = new Auditor();
      let state = initialState();
      for (const command of list) {
        state = after([command], state);
        expect(auditor.next(state).type).not.toBe('damaged');
      }
    }),
  );
});

test('a large state takes many slices, and goes on where it was though rows come and go', () => {
  const rows = 3 * auditSliceEntries;
  let state = grown(rows);
  expect(lookThrough(state)).toMatchObject({ where: null });
  expect(lookThrough(state).calls).toBeGreaterThan(5);
  const auditor = new Auditor();
  let [rounds, calls] = [0, 0];
  for (let id = rows; rounds < 2; id--) {
    calls += 1;
    if (auditor.next(state).type === 'whole') rounds += 1;
    state = after([accept({ type: 'Delete', tenantId: 1, table: 'patients', key: { id } })], state);
  }
  expect(calls).toBeGreaterThan(10);
});

const first = <V>(map: OrderedMap<V>): V => map.ascend().value;
/** A value changes by itself, in place, as in damaged memory. */
const set = (target: object, values: Readonly<Record<string, unknown>>): void => void Object.assign(target, values);

const flips: readonly { readonly what: string; readonly where: RegExp; readonly flip: (s: KernelState) => void }[] = [
  { what: 'the name of a tenant', where: /tenant/, flip: ({ tenants }) => set(first(tenants), { name: 'cliniC' }) },
  { what: 'a quota', where: /tenant/, flip: ({ tenants }) => set(first(tenants), { quotaBytes: 7 }) },
  { what: 'a count of bytes', where: /bytes in use/, flip: ({ tenants }) => set(first(tenants), { usedBytes: 7 }) },
  { what: 'the total of bytes', where: /bytes in use/, flip: (state) => set(state, { usedBytes: 7 }) },
  {
    what: 'the type of a column',
    where: /schema/,
    flip: (s) => set(first(s.tables).columns[1] as object, { type: 'bytes' }),
  },
  {
    what: 'the name of a column',
    where: /schema/,
    flip: (s) => set(first(s.tables).columns[1] as object, { name: 'namf' }),
  },
  {
    what: 'the places of columns',
    where: /schema/,
    flip: (s) => set(first(s.tables), { places: new Map([['id', 1]]) }),
  },
  { what: 'the seed of row hashes', where: /schema/, flip: (s) => set(first(s.tables).seed, { a: 1 }) },
  { what: 'the sum of a table', where: /hash of the whole/, flip: (s) => set(first(s.tables).digest, { a: 1 }) },
  { what: 'the sum of the state', where: /hash of the whole/, flip: (s) => set(s.digest, { d: 1 }) },
  { what: 'the columns of an index', where: /index definition/, flip: (s) => set(first(s.indexes), { unique: true }) },
  { what: 'a cell', where: /a row/, flip: (s) => set(first(first(s.tables).rows).cells, { 1: 'patient 2' }) },
  { what: 'the version of a row', where: /a row/, flip: (s) => set(first(first(s.tables).rows), { version: 3 }) },
  { what: 'the hash of a row', where: /a row/, flip: (s) => set(first(first(s.tables).rows), { b: 3 }) },
  {
    what: 'an index entry',
    where: /index by_name/,
    flip: (s) => {
      const index = first(s.indexes);
      const at = index.entries.ascend();
      set(index, { entries: index.entries.set(at.key ?? '', `${at.value}x`) });
    },
  },
  {
    what: 'a lost index entry',
    where: /index by_name/,
    flip: (s) =>
      set(first(s.indexes), { entries: first(s.indexes).entries.delete(first(s.indexes).entries.ascend().key ?? '') }),
  },
  {
    what: 'a remembered outcome',
    where: /remembered outcome/,
    flip: (s) => set(first(first(s.idempotency).byPosition).outcome, { position: 99 }),
  },
  {
    what: 'the hash of a remembered command',
    where: /remembered outcome/,
    flip: (s) => set(first(first(s.idempotency).byId), { commandHash: '0'.repeat(32) }),
  },
  { what: 'the sum of a window', where: /hash of the whole/, flip: (s) => set(first(s.idempotency).digest, { c: 5 }) },
];

test.each(flips)('$what that changes by itself is found, and said where', ({ flip, where }) => {
  const state = grown(20);
  expect(lookThrough(state).where).toBe(null);
  flip(state);
  expect(lookThrough(state).where).toMatch(where);
});
