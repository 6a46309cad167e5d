import { compareText } from '@kimberlite/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  applyBatch,
  applyCommitted,
  type Command,
  initialState,
  type KernelState,
  type Query,
  query,
  type Row,
} from '../src/index.ts';
import { accept, committed } from './arbitrary.ts';

// A naive model: rows in a list, everything by brute force, written without the kernel's keys, indexes or plans.

interface ModelRow {
  readonly id: number;
  readonly part: string;
  readonly name: string | null;
  readonly score: number;
  readonly version: number;
}

const modelColumns = ['id', 'part', 'name', 'score'] as const;
type ModelColumn = (typeof modelColumns)[number];

const schema: readonly unknown[] = [
  { type: 'CreateTenant', tenantId: 1, name: 't' },
  {
    type: 'CreateTable',
    tenantId: 1,
    table: 'm',
    columns: { id: 'int', part: 'text', name: 'text?', score: { type: 'float', default: 1 } },
    primaryKey: ['part', 'id'],
  },
  { type: 'CreateIndex', tenantId: 1, table: 'm', index: 'by_name', columns: ['name', 'score'] },
  { type: 'CreateIndex', tenantId: 1, table: 'm', index: 'by_score', columns: ['score'] },
];

const id = fc.integer({ min: -3, max: 9 });
const part = fc.constantFrom('', 'p', 'p\u0000', '\u{10000}', '\uffee');
const name = fc.constantFrom(null, '', 'a', 'ab', 'b', '\u{1f600}', '\uffff');
const score = fc.constantFrom(-1.5, -0, 0, 2, 1e300);
const version = fc.option(fc.integer({ min: 1, max: 120 }), { nil: undefined, freq: 5 });
const row = fc.record({ id, part, name, score }, { requiredKeys: ['id', 'part'] });
const key = fc.record({ id, part });
const base = { tenantId: fc.constant(1), table: fc.constant('m') };
const change = fc.oneof(
  fc.record({ type: fc.constant('Insert'), ...base, row }),
  fc.record({ type: fc.constant('Upsert'), ...base, row, ifVersion: version }),
  fc.record({
    type: fc.constant('Update'),
    ...base,
    key,
    ifVersion: version,
    set: fc.oneof(fc.record({ name }), fc.record({ score }), fc.record({ name, score })),
  }),
  fc.record({ type: fc.constant('Delete'), ...base, key, ifVersion: version }),
);

class Model {
  rows: ModelRow[] = [];

  private find(key: Row): ModelRow | undefined {
    return this.rows.find((each) => each.id === key['id'] && each.part === key['part']);
  }

  private put(row: ModelRow): void {
    this.rows = [...this.rows.filter((each) => each.id !== row.id || each.part !== row.part), row];
  }

  private static whole(given: Row, version: number): ModelRow {
    return {
      id: given['id'] as number,
      part: given['part'] as string,
      name: (given['name'] ?? null) as string | null,
      score: ((given['score'] ?? 1) as number) + 0,
      version,
    };
  }

  /** The expected code, or `ok`. */
  apply(command: Command, position: number): string {
    switch (command.type) {
      case 'Insert':
        if (this.find(command.row)) return 'DuplicateKey';
        this.put(Model.whole(command.row, position));
        return 'ok';
      case 'Upsert': {
        const old = this.find(command.row);
        if (command.ifVersion !== undefined && command.ifVersion !== (old?.version ?? 0)) return 'PreconditionFailed';
        this.put(Model.whole(command.row, position));
        return 'ok';
      }
      case 'Update': {
        const old = this.find(command.key);
        if (old === undefined) return 'RowNotFound';
        if (command.ifVersion !== undefined && command.ifVersion !== old.version) return 'PreconditionFailed';
        this.put(Model.whole({ ...old, ...command.set }, position));
        return 'ok';
      }
      case 'Delete': {
        const old = this.find(command.key);
        if (old === undefined) return 'RowNotFound';
        if (command.ifVersion !== undefined && command.ifVersion !== old.version) return 'PreconditionFailed';
        this.rows = this.rows.filter((each) => each !== old);
        return 'ok';
      }
      default:
        return 'ok';
    }
  }
}

type Scalar = string | number | null;

/** Null first, numbers by size, text by UTF-8 bytes. */
function compare(a: Scalar, b: Scalar): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  if (typeof a === 'number' && typeof b === 'number') return a === b ? 0 : a < b ? -1 : 1;
  return compareText(String(a), String(b));
}

type ModelTest = { column: ModelColumn; operator: string; operand: Scalar | Scalar[] };
type ModelWhere =
  | { kind: 'test'; test: ModelTest }
  | { kind: 'and'; parts: ModelWhere[] }
  | { kind: 'or'; parts: ModelWhere[] }
  | { kind: 'not'; parts: ModelWhere[] };

function holds(where: ModelWhere, each: ModelRow): boolean {
  if (where.kind === 'and') return where.parts.every((one) => holds(one, each));
  if (where.kind === 'or') return where.parts.some((one) => holds(one, each));
  if (where.kind === 'not') return !holds(where.parts[0] as ModelWhere, each);
  if (where.kind !== 'test') return false;
  const { column, operator, operand } = where.test;
  const value = each[column];
  if (Array.isArray(operand)) return operand.some((one) => compare(value, one) === 0);
  if (operator === 'prefix') return typeof value === 'string' && value.startsWith(String(operand));
  const order = compare(value, operand);
  const table: Record<string, boolean> = {
    eq: order === 0,
    ne: order !== 0,
    lt: order < 0,
    lte: order <= 0,
    gt: order > 0,
    gte: order >= 0,
  };
  return table[operator] === true;
}

function toWhere(where: ModelWhere): Record<string, unknown> {
  if (where.kind === 'test') return { [where.test.column]: { [where.test.operator]: where.test.operand } };
  if (where.kind === 'not') return { not: toWhere(where.parts[0] as ModelWhere) };
  return { [where.kind]: where.parts.map(toWhere) };
}

const operator = fc.constantFrom('eq', 'ne', 'lt', 'lte', 'gt', 'gte');
const values: Record<ModelColumn, fc.Arbitrary<Scalar>> = { id, part, name, score: score.map((s) => s + 0) };
const leaf: fc.Arbitrary<ModelWhere> = fc
  .constantFrom(...modelColumns)
  .chain((column) =>
    fc.oneof(
      fc.tuple(operator, values[column]).map(([op, operand]) => ({ column, operator: op, operand })),
      fc.array(values[column], { maxLength: 4 }).map((operand) => ({ column, operator: 'in', operand })),
      ...(column === 'name' || column === 'part'
        ? [part.map((operand) => ({ column, operator: 'prefix', operand }))]
        : []),
    ),
  )
  .map((test) => ({ kind: 'test', test }));
const group = (parts: fc.Arbitrary<ModelWhere>): fc.Arbitrary<ModelWhere> =>
  fc.oneof(
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      parts: fc.array(parts, { minLength: 1, maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant('not' as const), parts: fc.tuple(parts) }),
  );
const whereTree = fc.oneof(
  { weight: 2, arbitrary: leaf },
  {
    weight: 2,
    arbitrary: fc.array(leaf, { minLength: 1, maxLength: 3 }).map((parts): ModelWhere => ({ kind: 'and', parts })),
  },
  { weight: 1, arbitrary: group(fc.oneof(leaf, group(leaf))) },
);
const orderBy = fc.array(
  fc.record({ column: fc.constantFrom(...modelColumns), direction: fc.constantFrom('asc' as const, 'desc' as const) }),
  { maxLength: 3 },
);

function expected(
  model: Model,
  where: ModelWhere,
  order: readonly { column: ModelColumn; direction: 'asc' | 'desc' }[],
): ModelRow[] {
  const tie = order[order.length - 1]?.direction === 'desc' ? -1 : 1;
  return model.rows
    .filter((each) => holds(where, each))
    .sort((a, b) => {
      for (const { column, direction } of order) {
        const by = compare(a[column], b[column]);
        if (by !== 0) return direction === 'desc' ? -by : by;
      }
      return tie * (compare(a.part, b.part) || compare(a.id, b.id));
    });
}

function page(state: KernelState, asked: Query): { rows: readonly Row[]; cursor?: string | undefined } {
  const answer = query(state, asked);
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value;
}

test('outcomes, rows and versions are the model’s, command by command', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 100, size: 'max' }), (raw) => {
      let state = applyBatch(initialState(), committed(initialState(), schema.map(accept))).state;
      const model = new Model();
      for (const each of raw) {
        const command = accept(each);
        const position = state.position + 1;
        const applied = applyCommitted(state, committed(state, [command])[0] as never);
        state = applied.state;
        expect(applied.ok ? 'ok' : applied.error.code).toBe(model.apply(command, position));
      }
      const { rows } = page(state, { tenantId: 1, table: 'm', select: [...modelColumns, '$version'] });
      const all = expected(model, { kind: 'and', parts: [] }, []);
      expect(rows).toEqual(all.map(({ version: $version, ...rest }) => ({ ...rest, $version })));
    }),
    { numRuns: 60 },
  );
});

test('queries answer what brute force answers, whole and page by page, with and without indexes', () => {
  const plans = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 80, size: 'max' }),
      fc.array(fc.tuple(whereTree, orderBy, fc.integer({ min: 1, max: 7 })), { minLength: 10, maxLength: 10 }),
      fc.boolean(),
      (raw, questions, indexed) => {
        const list = [...schema.slice(0, indexed ? 4 : 2), ...raw].map(accept);
        const entries = committed(initialState(), list);
        const model = new Model();
        for (const { command, position } of entries) model.apply(command, position);
        const { state } = applyBatch(initialState(), entries);
        for (const [where, order, limit] of questions) {
          const asked = {
            tenantId: 1,
            table: 'm',
            where: toWhere(where),
            ...(order.length > 0 ? { orderBy: order } : {}),
          } as Query;
          const want = expected(model, where, order).map(({ version: _, ...rest }) => rest);
          const whole = query(state, { ...asked, explain: true });
          expect(whole.ok && whole.value.rows).toEqual(want);
          if (whole.ok) plans.add(`${whole.value.plan?.access} ${whole.value.plan?.sorted}`);
          const paged: Row[] = [];
          let cursor: string | undefined;
          for (let i = 0; i <= want.length + 1; i++) {
            const next = page(state, { ...asked, limit, ...(cursor === undefined ? {} : { cursor }) });
            expect(next.rows.length).toBeLessThanOrEqual(limit);
            paged.push(...next.rows);
            cursor = next.cursor;
            if (cursor === undefined) break;
          }
          expect(cursor).toBeUndefined();
          expect(paged).toEqual(want);
        }
      },
    ),
    { numRuns: 150 },
  );
  expect([...plans].sort()).toEqual([
    'index false',
    'index true',
    'primary-key false',
    'primary-key true',
    'scan false',
    'scan true',
  ]);
});
