import fc from 'fast-check';
import {
  applyBatch,
  type Command,
  type CommittedCommand,
  initialState,
  type KernelState,
  rowsExaminedMax,
  validate,
} from '../src/index.ts';

// Commands that meet each other: few tenants, tables, keys and ids, so that most of them hit something.

const tenantId = fc.constantFrom(1, 1, 1, 2, 3);
const table = fc.constantFrom('a', 'a', 'a', 'b', 'c');
const id = fc.integer({ min: 0, max: 6 });
const name = fc.constantFrom('', 'x', 'y', 'é', '\u{1f600}', 'a\u0000b', '\uffff');
const ifVersion = fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined, freq: 4 });
const idempotencyId = fc.option(fc.constantFrom('i1', 'i2', 'i3'), { nil: undefined, freq: 3 });

const columns = {
  id: 'int',
  name: 'text?',
  score: { type: 'float', default: 0.5 },
  born: 'timestamp?',
  data: 'bytes?',
  doc: 'json?',
  flag: { type: 'bool', nullable: true },
  must: 'int',
};

const member = {
  name: fc.option(name),
  score: fc.constantFrom(-0, 0, 1.5, -1e300, 5),
  born: fc.option(fc.constantFrom<unknown>('2026-11-23T07:05:09Z', 0, -1, '12')),
  data: fc.option(fc.constantFrom<unknown>(new Uint8Array([0, 255]), 'AAE=')),
  doc: fc.option(fc.jsonValue({ maxDepth: 3 }).filter((value) => !JSON.stringify(value).includes('__proto__'))),
  flag: fc.option(fc.boolean()),
};
const some = fc.record(member, { requiredKeys: [] });
const must = fc.constantFrom<unknown>(1, 2, 3, '9223372036854775807', 2n ** 62n);
const goodRow = fc.tuple(id, must, some).map(([i, m, rest]) => ({ id: i, must: m, ...rest }));
const oddRow = fc.constantFrom<Record<string, unknown>>(
  { id: 1 },
  { id: 1, must: 'x' },
  { id: 1, must: 1, ghost: 2 },
  { id: null, must: 1 },
  { id: 5, must: 1, name: 'x'.repeat(300_000) },
  { id: 5, must: 1, name: '\ud800' },
  { id: Number.NaN, must: 1 },
  {},
);
const row = fc.oneof({ weight: 9, arbitrary: goodRow }, { weight: 1, arbitrary: oddRow });
const key = fc.oneof(
  { weight: 9, arbitrary: fc.record({ id }) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>({ id: 1, name: 'x' }, { name: 'x' }, {}) },
);
const set = fc.oneof(
  { weight: 8, arbitrary: some.filter((s) => Object.keys(s).length > 0) },
  { weight: 1, arbitrary: fc.record({ must }) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>({ id: 2 }, { ghost: 1 }, { must: null }, { must: 'x' }) },
);

const where = fc.constantFrom<unknown>(
  { id: 1 },
  { id: { gte: 1, lt: 5 }, name: { ne: 'x' } },
  { name: { prefix: '' } },
  { or: [{ name: 'x' }, { not: { must: { in: [1, 2] } } }] },
  { ghost: 1 },
  { must: 'x' },
  { doc: { lt: 1 } },
);
const query = fc.record(
  {
    tenantId,
    table: fc.oneof(table, fc.constantFrom('$tables', '$indexes', '$tenants')),
    where,
    select: fc.constantFrom(['id'], ['$version', 'id'], ['ghost']),
    orderBy: fc.constantFrom<unknown>(['name'], [{ column: 'must', direction: 'desc' }, 'id'], ['doc']),
    limit: fc.integer({ min: 1, max: 5 }),
    cursor: fc.constantFrom('x', 'AAAA'),
    explain: fc.boolean(),
  },
  { requiredKeys: ['tenantId', 'table'] },
);

const of = (type: string, members: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  fc.record({ type: fc.constant(type), idempotencyId, ...members });

const data = fc.oneof(
  { weight: 6, arbitrary: of('Insert', { tenantId, table, row }) },
  { weight: 4, arbitrary: of('Update', { tenantId, table, key, set, ifVersion }) },
  { weight: 4, arbitrary: of('Upsert', { tenantId, table, row, ifVersion }) },
  { weight: 3, arbitrary: of('Delete', { tenantId, table, key, ifVersion }) },
);

const schema = fc.oneof(
  of('CreateTenant', { tenantId, name: fc.constant('t'), quotaBytes: fc.constantFrom(undefined, undefined, 6_000) }),
  of('CreateTable', {
    tenantId,
    table,
    columns: fc.constant(columns),
    primaryKey: fc.constantFrom(['id'], ['id'], ['must', 'id']),
  }),
  of('CreateIndex', {
    tenantId,
    table,
    index: fc.constantFrom('i', 'j', 'k'),
    columns: fc.constantFrom(['name'], ['must'], ['score', 'name'], ['doc'], ['ghost']),
    unique: fc.boolean(),
  }),
);

const rare = fc.oneof(
  of('DeleteTenant', { tenantId }),
  of('DropTable', { tenantId, table }),
  of('DropIndex', { tenantId, index: fc.constantFrom('i', 'j', 'k') }),
  of('Checkpoint', {}),
  of('Compact', {}),
  of('SetBudget', { budgetBytes: fc.constantFrom(1_000, 8_000, 1_000_000, 1_000_000_000) }),
  of('CreateTenant', { tenantId: fc.constantFrom(0, -1, 'x'), name: fc.constant('t') }),
);

/** What a client might send; not all of it passes `validate`. */
export const rawCommand: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 14, arbitrary: data },
  { weight: 3, arbitrary: schema },
  { weight: 2, arbitrary: query.map((q) => ({ type: 'Query', query: q })) },
  { weight: 1, arbitrary: rare },
);

/** Commands on the prepared places of `crowdedState`. */
export const crowdedCommand: fc.Arbitrary<unknown> = fc.constantFrom<unknown>(
  { type: 'Query', tenantId: 9, table: 'big', where: { v: -1 } },
  { type: 'CreateIndex', tenantId: 9, table: 'full', index: 'one_more', columns: ['v'] },
  { type: 'Insert', tenantId: 9, table: 'big', row: { id: -1, v: 1 } },
);

export const seeding: readonly unknown[] = [
  { type: 'CreateTenant', tenantId: 1, name: 'one' },
  { type: 'CreateTable', tenantId: 1, table: 'a', columns, primaryKey: ['id'] },
  { type: 'CreateIndex', tenantId: 1, table: 'a', index: 'by_must', columns: ['must'], unique: true },
  { type: 'CreateIndex', tenantId: 1, table: 'a', index: 'by_name', columns: ['name', 'born'] },
];

/** Commands after validation: the seeding, then arbitrary ones. */
export const commands = (length: number): fc.Arbitrary<readonly Command[]> =>
  fc.array(rawCommand, { maxLength: length, size: 'max' }).map((raw) => {
    const accepted: Command[] = [];
    for (const each of [...seeding, ...raw]) {
      const result = validate(each);
      if (result.ok) accepted.push(result.value);
    }
    return accepted;
  });

/** As consensus would hand them over: two commands an op, ten microseconds apart. */
export function committed(state: KernelState, list: readonly Command[]): CommittedCommand[] {
  return list.map((command, i) => {
    const op = state.op + 1 + (i >> 1);
    return {
      position: state.position + 1 + i,
      op,
      timestamp: state.timestamp + 10 * (op - state.op),
      session: 7,
      command,
    };
  });
}

export function accept(raw: unknown): Command {
  const result = validate(raw);
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

/** A state in which the bounds that take many rows or indexes are within reach. */
export function crowdedState(): KernelState {
  const plan: unknown[] = [
    { type: 'CreateTenant', tenantId: 9, name: 'nine' },
    { type: 'CreateTable', tenantId: 9, table: 'big', columns: { id: 'int', v: 'int' }, primaryKey: ['id'] },
    { type: 'CreateTable', tenantId: 9, table: 'full', columns: { id: 'int', v: 'int' }, primaryKey: ['id'] },
  ];
  for (let i = 0; i < 16; i++)
    plan.push({ type: 'CreateIndex', tenantId: 9, table: 'full', index: `i${i}`, columns: ['v'] });
  for (let i = 0; i <= rowsExaminedMax; i++)
    plan.push({ type: 'Insert', tenantId: 9, table: 'big', row: { id: i, v: i } });
  const state = initialState();
  return applyBatch(state, committed(state, plan.map(accept))).state;
}
