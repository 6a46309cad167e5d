import { concatBytes } from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import {
  applyBatch,
  applyCommitted,
  type CommandInput,
  decode,
  type Effect,
  encode,
  idempotencyAgeMaxUs,
  idempotencyWindowMax,
  initialState,
  type KernelError,
  type KernelState,
  type Outcome,
  query,
  queryReplyBytesMax,
  type Row,
  recomputeStateHash,
  charactersExaminedMax,
  rowsExaminedMax,
  showRow,
  stateHash,
  validate,
  validateQuery,
} from '../src/index.ts';
import { accept, committed } from './arbitrary.ts';

/** A state with a short way to change it and look at it. */
class Kernel {
  state: KernelState = initialState();
  timestamp = 1_000;
  effects: readonly Effect[] = [];

  run(...inputs: readonly CommandInput[]): Outcome {
    const entries = committed(this.state, inputs.map(accept)).map((entry) => ({ ...entry, timestamp: this.timestamp }));
    const applied = applyBatch(this.state, entries);
    this.state = applied.state;
    this.effects = applied.effects[applied.effects.length - 1] ?? [];
    return applied.outcomes[applied.outcomes.length - 1] as Outcome;
  }

  error(...inputs: readonly CommandInput[]): KernelError {
    const outcome = this.run(...inputs);
    if (outcome.ok) throw new Error('expected a rejection');
    return outcome.error;
  }

  ask(raw: Record<string, unknown>) {
    const asked = validateQuery(raw);
    return asked.ok ? query(this.state, asked.value) : asked;
  }

  rows(raw: Record<string, unknown>): readonly Row[] {
    const answer = this.ask(raw);
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.rows;
  }
}

function clinic(): Kernel {
  const kernel = new Kernel();
  kernel.run(
    { type: 'CreateTenant', tenantId: 1, name: 'clinic' },
    {
      type: 'CreateTable',
      tenantId: 1,
      table: 'patients',
      columns: { id: 'int', name: 'text', born: 'timestamp?' },
      primaryKey: ['id'],
    },
  );
  return kernel;
}

const insert = (id: number | bigint | string, name: string, idempotencyId?: string): CommandInput => ({
  type: 'Insert',
  tenantId: 1,
  table: 'patients',
  row: { id, name },
  ...(idempotencyId === undefined ? {} : { idempotencyId }),
});

describe('rows', () => {
  test('an insert writes the change log and notifies its client', () => {
    const kernel = clinic();
    const before = kernel.state;
    const outcome = kernel.run(insert(1, 'Ada'));
    expect(outcome).toEqual({ ok: true, position: 3, op: 3 - 1, timestamp: 1_000, isReplay: false });
    const [log, notify] = kernel.effects;
    expect(kernel.effects).toHaveLength(2);
    expect(log).toMatchObject({ type: 'WriteToLog', change: 'insert', table: 'patients', before: null });
    if (log?.type !== 'WriteToLog' || log.after === null) throw new Error('expected a change');
    expect(showRow(log.columns, log.after)).toEqual({ id: 1, name: 'Ada', born: null });
    expect(notify).toEqual({ type: 'NotifyClient', session: 7, outcome });
    expect(query(before, { tenantId: 1, table: 'patients' })).toMatchObject({ ok: true, value: { rows: [] } });
  });

  test('ints are exact and have one form', () => {
    const kernel = clinic();
    kernel.run(insert('9223372036854775807', 'max'), insert(-(2n ** 63n), 'min'), insert('5', 'five'));
    expect(kernel.error(insert(5, 'again')).code).toBe('DuplicateKey');
    const rows = kernel.rows({ tenantId: 1, table: 'patients', select: ['id'] });
    expect(rows.map((row) => row['id'])).toEqual([-(2n ** 63n), 5, 9223372036854775807n]);
    expect(kernel.rows({ tenantId: 1, table: 'patients', where: { id: '9223372036854775807' } })).toHaveLength(1);
  });

  test('a version guards against lost updates', () => {
    const kernel = clinic();
    kernel.run(insert(1, 'Ada'));
    const update = { type: 'Update', tenantId: 1, table: 'patients', key: { id: 1 }, set: { name: 'Ada L.' } } as const;
    expect(kernel.run({ ...update, ifVersion: 3 }).ok).toBe(true);
    const error = kernel.error({ ...update, ifVersion: 3 });
    expect(error).toMatchObject({ code: 'PreconditionFailed', expectedVersion: 3, actualVersion: 4, retryable: false });
    expect(kernel.rows({ tenantId: 1, table: 'patients', select: ['name', '$version'] })).toEqual([
      { name: 'Ada L.', $version: 4 },
    ]);
    const upsert = { type: 'Upsert', tenantId: 1, table: 'patients', row: { id: 2, name: 'B' }, ifVersion: 0 } as const;
    expect(kernel.run(upsert)).toMatchObject({ ok: true, result: { inserted: true } });
    expect(kernel.error(upsert).code).toBe('PreconditionFailed');
  });

  test('columns may be called what objects already are', () => {
    const kernel = clinic();
    kernel.run({
      type: 'CreateTable',
      tenantId: 1,
      table: 'odd',
      columns: { constructor: 'int', toString: 'text?', hasOwnProperty: 'int?' } as never,
      primaryKey: ['constructor'],
    });
    const row = JSON.parse('{"constructor":1}') as Row;
    expect(kernel.run({ type: 'Insert', tenantId: 1, table: 'odd', row }).ok).toBe(true);
    expect(kernel.rows({ tenantId: 1, table: 'odd' })).toEqual([
      { constructor: 1, toString: null, hasOwnProperty: null },
    ]);
    expect(kernel.error({ type: 'Insert', tenantId: 1, table: 'odd', row: { toString: 'x' } as never }).code).toBe(
      'NotNullViolation',
    );
  });

  test('a unique index lets nulls be and nothing else', () => {
    const kernel = clinic();
    kernel.run({
      type: 'CreateIndex',
      tenantId: 1,
      table: 'patients',
      index: 'u',
      columns: ['born', 'name'],
      unique: true,
    });
    const put = (id: number, born: number | null): CommandInput => ({
      type: 'Insert',
      tenantId: 1,
      table: 'patients',
      row: { id, name: 'n', born },
    });
    expect(kernel.run(put(1, null), put(2, null)).ok).toBe(true);
    expect(kernel.run(put(3, 5)).ok).toBe(true);
    expect(kernel.error(put(4, 5))).toMatchObject({ code: 'UniqueViolation', index: 'u', key: { born: 5, name: 'n' } });
    expect(
      kernel.error({ type: 'Update', tenantId: 1, table: 'patients', key: { id: 1 }, set: { born: 5 } }).code,
    ).toBe('UniqueViolation');
    expect(
      kernel.run({
        type: 'Update',
        tenantId: 1,
        table: 'patients',
        key: { id: 3 },
        set: { born: '1970-01-01T00:00:00.000005Z' },
      }).ok,
    ).toBe(true);
    expect(kernel.run({ type: 'Delete', tenantId: 1, table: 'patients', key: { id: 3 } }, put(4, 5)).ok).toBe(true);
    kernel.run({ type: 'DropIndex', tenantId: 1, index: 'u' }, put(5, 5));
    expect(
      kernel.error({ type: 'CreateIndex', tenantId: 1, table: 'patients', index: 'u', columns: ['born'], unique: true })
        .code,
    ).toBe('UniqueViolation');
  });
});

describe('idempotency', () => {
  test('the same id gives the first outcome, another command under it is refused', () => {
    const kernel = clinic();
    const first = kernel.run(insert(1, 'Ada', 'req-1'));
    kernel.timestamp += 50;
    expect(kernel.run(insert(1, 'Ada', 'req-1'))).toEqual({ ...first, isReplay: true });
    expect(kernel.effects.map((effect) => effect.type)).toEqual(['NotifyClient']);
    expect(kernel.error(insert(2, 'Bob', 'req-1'))).toMatchObject({ code: 'DuplicateIdempotencyId', firstPosition: 3 });
    expect(kernel.rows({ tenantId: 1, table: 'patients' })).toHaveLength(1);
  });

  test('an int is the same as number and as bigint', () => {
    const kernel = clinic();
    const first = kernel.run(insert(5, 'Ada', 'same'));
    const again: CommandInput = { ...insert(5, 'Ada', 'same'), row: { id: 5n, name: 'Ada' } } as CommandInput;
    expect(kernel.run(again)).toEqual({ ...first, isReplay: true });
  });

  test('rejections are remembered unless trying again may help', () => {
    const kernel = clinic();
    kernel.run(insert(1, 'Ada'));
    const refused = kernel.run(insert(1, 'Eve', 'r'));
    kernel.run({ type: 'Delete', tenantId: 1, table: 'patients', key: { id: 1 } });
    expect(kernel.run(insert(1, 'Eve', 'r'))).toEqual(refused);
    kernel.run({ type: 'SetBudget', budgetBytes: 1 });
    expect(kernel.error(insert(2, 'Bob', 'q')).code).toBe('QuotaExceeded');
    kernel.run({ type: 'SetBudget', budgetBytes: 1_000_000 });
    expect(kernel.run(insert(2, 'Bob', 'q')).ok).toBe(true);
  });

  test('a tenant that is not there remembers nothing', () => {
    const kernel = new Kernel();
    expect(kernel.error(insert(1, 'Ada', 'x')).code).toBe('TenantNotFound');
    expect(kernel.state.idempotency.size).toBe(0);
  });

  test('deleting a tenant is itself remembered', () => {
    const kernel = clinic();
    const gone = { type: 'DeleteTenant', tenantId: 1, idempotencyId: 'gone' } as const;
    const first = kernel.run(gone);
    expect(kernel.run(gone)).toEqual({ ...first, isReplay: true });
    kernel.run({ type: 'CreateTenant', tenantId: 1, name: 'again' });
    expect(kernel.run(gone)).toMatchObject({ isReplay: true });
    expect(kernel.rows({ table: '$tenants' })).toHaveLength(1);
  });

  test('the window is bounded by count and by age, in order of first use, per tenant', () => {
    const kernel = clinic();
    kernel.run(
      { type: 'CreateTenant', tenantId: 2, name: 'other' },
      { type: 'DropTable', tenantId: 2, table: 'none', idempotencyId: 'id-0' },
    );
    const touch = (i: number): CommandInput => ({
      type: 'DropIndex',
      tenantId: 1,
      index: 'none',
      idempotencyId: `id-${i}`,
    });
    for (let i = 0; i < idempotencyWindowMax; i++) kernel.run(touch(i));
    const oldest = kernel.run(touch(0));
    expect(kernel.run(touch(0))).toEqual(oldest);
    kernel.run(touch(idempotencyWindowMax));
    const window = [...[1, 2]].map((tenant) => {
      for (const at = kernel.state.idempotency.ascend(); at.key !== undefined; at.next())
        if (at.value.tenantId === tenant) return at.value.byId;
      return undefined;
    });
    expect(window[0]?.size).toBe(idempotencyWindowMax);
    expect(window[0]?.has('id-0')).toBe(false);
    expect(window[0]?.has('id-1')).toBe(true);
    expect(window[1]?.has('id-0')).toBe(true);
    kernel.timestamp += idempotencyAgeMaxUs + 1;
    const fresh = kernel.run(touch(5));
    expect(!fresh.ok && fresh.position).toBe(kernel.state.position);
    expect(stateHash(kernel.state)).toBe(recomputeStateHash(kernel.state));
  });
});

describe('the byte budget', () => {
  test('past it growing stops, while deletes, shrinking updates and reads go on', () => {
    const kernel = clinic();
    for (let i = 0; i < 50; i++) kernel.run(insert(i, 'x'.repeat(100)));
    const used = kernel.state.usedBytes;
    kernel.run({ type: 'SetBudget', budgetBytes: used });
    const error = kernel.error(insert(99, 'one more'));
    expect(error).toMatchObject({
      code: 'QuotaExceeded',
      scope: 'cluster',
      usedBytes: used,
      limitBytes: used,
      retryable: true,
    });
    expect(kernel.error({ type: 'CreateTenant', tenantId: 5, name: 'five' }).code).toBe('QuotaExceeded');
    expect(
      kernel.run({ type: 'Update', tenantId: 1, table: 'patients', key: { id: 1 }, set: { name: 'short' } }).ok,
    ).toBe(true);
    expect(kernel.rows({ tenantId: 1, table: 'patients', where: { id: 2 } })).toHaveLength(1);
    expect(kernel.run({ type: 'Delete', tenantId: 1, table: 'patients', key: { id: 2 } }).ok).toBe(true);
    expect(kernel.run(insert(99, 'one more')).ok).toBe(true);
    kernel.run({ type: 'DeleteTenant', tenantId: 1 });
    expect(kernel.state.usedBytes).toBe(0);
  });

  test('outcomes that are remembered cannot fill the state past it', () => {
    const kernel = clinic();
    kernel.run(insert(1, 'Ada'));
    kernel.run({ type: 'SetBudget', budgetBytes: kernel.state.usedBytes + 40_000 });
    const touch = (i: number): CommandInput => ({
      type: 'Update',
      tenantId: 1,
      table: 'patients',
      key: { id: 1 },
      set: { name: 'Eve' },
      idempotencyId: `touch-${i}`,
    });
    const first = kernel.run(touch(0));
    for (let i = 1; i < 200; i++) kernel.run(touch(i));
    expect(kernel.state.usedBytes).toBeLessThanOrEqual(kernel.state.budgetBytes);
    expect(kernel.error(touch(200))).toMatchObject({ code: 'QuotaExceeded', scope: 'cluster', retryable: true });
    expect(kernel.run(touch(0))).toEqual({ ...first, isReplay: true });
    const gone: CommandInput = {
      type: 'Delete',
      tenantId: 1,
      table: 'patients',
      key: { id: 1 },
      idempotencyId: 'gone',
    };
    expect(kernel.run(gone).ok).toBe(true);
  });

  test('a key too long to be any row’s is not echoed, so that nothing large is remembered', () => {
    const kernel = clinic();
    kernel.run({ type: 'CreateTable', tenantId: 1, table: 'notes', columns: { id: 'text' }, primaryKey: ['id'] });
    const id = 'x'.repeat(500_000);
    const used = kernel.state.usedBytes;
    const at = { tenantId: 1, table: 'notes' } as const;
    for (const command of [
      { type: 'Delete', ...at, key: { id } },
      { type: 'Upsert', ...at, row: { id }, ifVersion: 3 },
      { type: 'Insert', ...at, row: { id } },
    ] as const) {
      expect(kernel.error({ ...command, idempotencyId: command.type })).toMatchObject({ code: 'RowTooLarge' });
    }
    expect(kernel.state.usedBytes - used).toBeLessThan(8_192);
  });

  test('a tenant may have a quota of its own', () => {
    const kernel = new Kernel();
    kernel.run({ type: 'CreateTenant', tenantId: 1, name: 'small', quotaBytes: 1_200 });
    kernel.run({
      type: 'CreateTable',
      tenantId: 1,
      table: 'patients',
      columns: { id: 'int', name: 'text' },
      primaryKey: ['id'],
    });
    expect(kernel.error(insert(1, 'x'.repeat(1_000)))).toMatchObject({
      code: 'QuotaExceeded',
      scope: 'tenant',
      limitBytes: 1_200,
    });
  });
});

describe('queries', () => {
  test('long texts are compared exactly, and no more of them than decides', () => {
    const kernel = clinic();
    const long = `${'é'.repeat(9)}\u{1F600}${'x'.repeat(2_000)}`;
    const texts = [
      '',
      'é',
      'é'.repeat(9),
      `${'é'.repeat(9)}\uE000`,
      `${'é'.repeat(9)}\u{1F600}`,
      long,
      `${long}y`,
      'z',
    ];
    kernel.run(...texts.map((text, i) => insert(i, text)));
    const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
    for (const operand of [...texts, `${'é'.repeat(9)}\u{1F601}`, 'é'.repeat(8), long.slice(0, 500)]) {
      const found = (where: object) =>
        kernel.rows({ tenantId: 1, table: 'patients', where: { name: where } }).map((row) => row['id']);
      const expected = (holds: (text: string) => boolean) => texts.flatMap((text, i) => (holds(text) ? [i] : []));
      expect(found({ eq: operand })).toEqual(expected((text) => text === operand));
      expect(found({ ne: operand })).toEqual(expected((text) => text !== operand));
      expect(found({ lt: operand })).toEqual(expected((text) => order(text, operand) < 0));
      expect(found({ gte: operand })).toEqual(expected((text) => order(text, operand) >= 0));
      expect(found({ prefix: operand })).toEqual(expected((text) => text.startsWith(operand)));
      expect(found({ in: [operand, 'z'] })).toEqual(expected((text) => text === operand || text === 'z'));
    }
  });

  test('pages go on behind a row whose orderBy value is as long as a row may be', () => {
    const kernel = clinic();
    kernel.run(insert(1, '\u0000'.repeat(250_000)), insert(2, 'z'));
    const asked = { tenantId: 1, table: 'patients', orderBy: ['name'], limit: 1, select: ['id'] };
    const first = kernel.ask(asked);
    if (!first.ok) throw new Error(first.error.message);
    expect(first.value.rows).toEqual([{ id: 1 }]);
    expect(kernel.rows({ ...asked, cursor: first.value.cursor })).toEqual([{ id: 2 }]);
  });

  test('one that would compare or sort too much text is refused, however few the rows', () => {
    const kernel = clinic();
    const text = 'é'.repeat(100_000);
    for (let i = 0; i < 100; i++) kernel.run(insert(i, `${text}${i}`));
    const rows = (where: object) => kernel.rows({ tenantId: 1, table: 'patients', where, limit: 1 });
    expect(rows({ name: 'short' })).toEqual([]);
    const refused = { code: 'QueryTooExpensive', bound: 'charactersExaminedMax', limit: charactersExaminedMax };
    const asked = { tenantId: 1, table: 'patients' } as const;
    expect(query(kernel.state, { ...asked, where: { name: text } })).toMatchObject({ ok: false, error: refused });
    expect(query(kernel.state, { ...asked, orderBy: ['name'] })).toMatchObject({ ok: false, error: refused });
  });

  function many(count: number): Kernel {
    const kernel = clinic();
    const rows = Array.from({ length: count }, (_, i) => insert(i, `n${i % 100}`));
    kernel.run(...rows);
    return kernel;
  }

  test('one that would look at too much names its bound and the index that helps', () => {
    const kernel = many(rowsExaminedMax + 1);
    const answer = kernel.ask({ tenantId: 1, table: 'patients', where: { name: 'nobody' } });
    expect(answer).toMatchObject({
      ok: false,
      error: { code: 'QueryTooExpensive', bound: 'rowsExaminedMax', limit: rowsExaminedMax, suggestedIndex: ['name'] },
    });
    kernel.run({ type: 'CreateIndex', tenantId: 1, table: 'patients', index: 'by_name', columns: ['name'] });
    const found = kernel.ask({ tenantId: 1, table: 'patients', where: { name: 'n7' }, limit: 3, explain: true });
    expect(found).toMatchObject({
      ok: true,
      value: { plan: { access: 'index', index: 'by_name', sorted: false, examined: 3 } },
    });
    expect(
      kernel.rows({ tenantId: 1, table: 'patients', orderBy: [{ column: 'name', direction: 'desc' }], limit: 1 }),
    ).toHaveLength(1);
  });

  test('the default limit is a thousand, and a cursor goes on', () => {
    const kernel = many(1_500);
    const first = kernel.ask({ tenantId: 1, table: 'patients' });
    if (!first.ok) throw new Error(first.error.message);
    expect(first.value.rows).toHaveLength(1_000);
    kernel.run({ type: 'Delete', tenantId: 1, table: 'patients', key: { id: 999 } });
    const second = kernel.ask({ tenantId: 1, table: 'patients', cursor: first.value.cursor });
    expect(second.ok && second.value.rows.map((row) => row['id'])).toEqual(
      Array.from({ length: 500 }, (_, i) => i + 1_000),
    );
    expect(second.ok && second.value.cursor).toBe(undefined);
    const foreign = kernel.ask({ tenantId: 1, table: 'patients', where: { id: 1 }, cursor: first.value.cursor });
    expect(foreign).toMatchObject({ ok: false, error: { code: 'InvalidCommand', path: 'cursor' } });
  });

  test('answers are bounded in bytes', () => {
    const kernel = clinic();
    for (let i = 0; i < 9; i++) kernel.run(insert(i, 'x'.repeat(200_000)));
    const seen: unknown[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const answer = kernel.ask({ tenantId: 1, table: 'patients', ...(cursor === undefined ? {} : { cursor }) });
      if (!answer.ok) throw new Error(answer.error.message);
      expect(JSON.stringify(answer.value.rows).length).toBeLessThan(queryReplyBytesMax + 1_000);
      seen.push(...answer.value.rows.map((row) => row['id']));
      cursor = answer.value.cursor;
      pages++;
    } while (cursor !== undefined && pages < 20);
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(pages).toBe(2);
  });

  test('tenants, tables and indexes can be queried', () => {
    const kernel = clinic();
    kernel.run(insert(1, 'Ada'), {
      type: 'CreateIndex',
      tenantId: 1,
      table: 'patients',
      index: 'i',
      columns: ['name'],
    });
    expect(kernel.rows({ table: '$tenants', select: ['tenantId', 'name', 'tables'] })).toEqual([
      { tenantId: 1, name: 'clinic', tables: 1 },
    ]);
    expect(
      kernel.rows({
        tenantId: 1,
        table: '$tables',
        where: { rows: { gt: 0 } },
        select: ['table', 'primaryKey', 'indexes'],
      }),
    ).toEqual([{ table: 'patients', primaryKey: ['id'], indexes: ['i'] }]);
    expect(
      kernel.rows({ tenantId: 1, table: '$indexes', select: ['index', 'columns', 'unique', 'state', 'entries'] }),
    ).toEqual([{ index: 'i', columns: ['name'], unique: false, state: 'ready', entries: 1 }]);
  });

  test('a query may go through the log', () => {
    const kernel = clinic();
    kernel.run(insert(1, 'Ada'));
    const outcome = kernel.run({ type: 'Query', tenantId: 1, table: 'patients', select: ['name'] });
    expect(outcome).toMatchObject({ ok: true, position: 4, result: { rows: [{ name: 'Ada' }], position: 4 } });
  });
});

describe('commands from outside', () => {
  const path = (value: unknown): string => {
    const result = validate(value);
    if (result.ok) throw new Error('expected a rejection');
    return result.error.code === 'InvalidCommand' ? result.error.path : result.error.code;
  };
  const at = { tenantId: 1, table: 't' };

  test.each([
    [null, ''],
    [{ type: 'Nope' }, 'type'],
    [{ type: 'toString' }, 'type'],
    [{ type: 'Insert', ...at, tenantId: 0, row: { a: 1 } }, 'InvalidTenantId'],
    [{ type: 'Insert', ...at, tenantId: '1', row: { a: 1 } }, 'InvalidTenantId'],
    [{ type: 'Insert', ...at, row: { a: Number.NaN } }, 'row.a'],
    [{ type: 'Insert', ...at, row: { a: '\udc00' } }, 'row.a'],
    [{ type: 'Insert', ...at, row: { a: 2n ** 64n } }, 'row.a'],
    [{ type: 'Insert', ...at, row: { a: () => 1 } }, 'row.a'],
    [{ type: 'Insert', ...at, row: JSON.parse('{"__proto__":1}') as unknown }, 'row["__proto__"]'],
    [{ type: 'Insert', ...at, row: { a: 1 }, extra: 1 }, 'extra'],
    [{ type: 'Insert', ...at, row: { a: 1 }, idempotencyId: '' }, 'idempotencyId'],
    [{ type: 'Update', ...at, key: { a: 1 }, set: {} }, 'set'],
    [{ type: 'Update', ...at, key: { a: 1 }, set: { b: 1 }, ifVersion: 1.5 }, 'ifVersion'],
    [{ type: 'CreateTable', ...at, columns: { a: 'int64' }, primaryKey: ['a'] }, 'columns.a'],
    [{ type: 'CreateTable', ...at, columns: { a: 'int?' }, primaryKey: ['a'] }, 'primaryKey[0]'],
    [{ type: 'CreateTable', ...at, columns: { a: 'json' }, primaryKey: ['a'] }, 'primaryKey[0]'],
    [
      { type: 'CreateTable', ...at, columns: { a: { type: 'int', default: 'x' } }, primaryKey: ['a'] },
      'columns.a.default',
    ],
    [{ type: 'CreateTable', ...at, columns: { and: 'int' }, primaryKey: ['and'] }, 'columns.and'],
    [{ type: 'CreateIndex', ...at, index: 'i', columns: ['a', 'a'] }, 'columns[1]'],
    [{ type: 'Query', ...at, limit: 0 }, 'limit'],
    [{ type: 'Query', ...at, where: { a: { near: 1 } } }, 'where.a'],
    [{ type: 'Query', ...at, idempotencyId: 'x' }, 'idempotencyId'],
    [{ type: 'SetBudget', budgetBytes: -1 }, 'budgetBytes'],
  ])('command %# is refused where it is wrong', (value, expected) => {
    expect(path(value)).toBe(expected);
  });

  test('hostile nesting ends at a bound', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(path({ type: 'Insert', ...at, row: { a: deep } })).toBe('row.a');
    let where: unknown = { a: 1 };
    for (let i = 0; i < 100_000; i++) where = { not: where };
    expect(path({ type: 'Query', ...at, where })).toMatch(/^where/);
  });
});

test('checkpoint and compact are accepted and leave their work to the node', () => {
  const kernel = new Kernel();
  const told = { type: 'NotifyClient', session: 7 };
  expect(kernel.run({ type: 'Checkpoint' })).toMatchObject({ ok: true, result: { scheduled: true } });
  expect(kernel.effects).toEqual([{ type: 'FlushToDisk', op: 1, position: 1 }, expect.objectContaining(told)]);
  expect(kernel.run({ type: 'Compact' })).toMatchObject({ ok: true, result: { scheduled: true } });
  expect(kernel.effects).toEqual([
    { type: 'DeleteFile', name: 'checkpoint/superseded' },
    { type: 'DeleteFile', name: 'log/superseded' },
    expect.objectContaining(told),
  ]);
});

test.each(['Checkpoint', 'Compact'] as const)(
  'a repeated %s has its first outcome and no effect of its own',
  (type) => {
    const kernel = new Kernel();
    const first = kernel.run({ type, idempotencyId: 'once' });
    expect(kernel.effects.length).toBeGreaterThan(1);
    expect(kernel.run({ type, idempotencyId: 'once' })).toEqual({ ...first, isReplay: true });
    expect(kernel.effects).toMatchObject([{ type: 'NotifyClient' }]);
    expect(kernel.run({ type, idempotencyId: 'twice' })).toMatchObject({ ok: true, position: 3 });
    expect(kernel.effects.length).toBeGreaterThan(1);
  },
);

test('a rejected command takes its position all the same', () => {
  const state = initialState();
  const entry = committed(state, [accept({ type: 'DeleteTenant', tenantId: 4 })])[0];
  if (entry === undefined) throw new Error('one command was given');
  const applied = applyCommitted(state, entry);
  expect(applied.ok).toBe(false);
  expect(applied.state.position).toBe(1);
  expect(stateHash(applied.state)).not.toBe(stateHash(state));
  expect(applied.effects).toHaveLength(1);
});

test('chunks of one state are the same however it came about', () => {
  const kernel = clinic();
  for (let i = 0; i < 3_000; i++) kernel.run(insert(i, `name ${i}`));
  const chunks = encode(kernel.state);
  expect(chunks.length).toBeGreaterThan(1);
  const back = decode([concatBytes(chunks)]);
  expect(back.ok && encode(back.value)).toEqual(chunks);
});
