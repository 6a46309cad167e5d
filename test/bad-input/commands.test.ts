import { connect, type Database, KimberliteError } from '@kimberlite/client';
import { ProcessCluster } from '@kimberlite/drill';
import { encodeCommands } from '@kimberlite/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bin, kimberlite, scratch } from './kimberlite.ts';
import { RawClient, request } from './raw-client.ts';

// What a caller can get wrong: through the SDK, the command line, and frames made by hand. Each is answered with a code
// and a sentence that says where; nothing of it changes the state, and the cluster goes on.

const { path: root, remove } = scratch();
let cluster: ProcessCluster;
let db: Database;
const tenantId = 1;

beforeAll(async () => {
  cluster = await ProcessCluster.create({ bin, nodes: 3, directory: root });
  cluster.startAll();
  await cluster.primary(60_000);
  db = await connect({ endpoints: cluster.endpoints, connectTimeoutMs: 30_000 });
  await db.createTenant({ tenantId, name: 'clinic' });
  const columns = {
    id: 'int',
    name: 'text',
    score: 'float?',
    photo: 'bytes?',
    born: 'timestamp?',
    more: 'json?',
  } as const;
  await db.tenant(tenantId).createTable('patients', { columns, primaryKey: ['id'] });
  await db.tenant(tenantId).table('patients').insert({ id: 1, name: 'Ada' });
}, 120_000);

afterAll(async () => {
  await db?.close();
  await cluster?.close();
  remove();
});

const insert = (row: unknown): unknown => ({ type: 'Insert', tenantId, table: 'patients', row });

/** A mistake, the code it meets, and what the sentence must name. */
const mistakes: readonly (readonly [string, unknown, string, RegExp])[] = [
  ['an unknown command', { type: 'Explode', tenantId }, 'InvalidCommand', /Explode.*|type/],
  ['no type', { tenantId }, 'InvalidCommand', /type/],
  ['a text as tenant', { type: 'DeleteTenant', tenantId: '1' }, 'InvalidTenantId', /tenant/i],
  ['a fraction as tenant', { type: 'DeleteTenant', tenantId: 1.5 }, 'InvalidTenantId', /tenant/i],
  ['tenant 0', { type: 'CreateTenant', tenantId: 0, name: 'x' }, 'InvalidTenantId', /tenant/i],
  ['a tenant nobody made', { type: 'DeleteTenant', tenantId: 77 }, 'TenantNotFound', /77/],
  ['a table nobody made', { type: 'Insert', tenantId, table: 'nothing', row: { id: 1 } }, 'TableNotFound', /nothing/],
  ['a column nobody made', insert({ id: 2, name: 'x', nmae: 'y' }), 'ColumnNotFound', /nmae/],
  ['a missing column', insert({ id: 2 }), 'NotNullViolation', /name/],
  ['a null where none may be', insert({ id: 2, name: null }), 'NotNullViolation', /name/],
  ['a number as text', insert({ id: 2, name: 3 }), 'TypeMismatch', /name.*text/],
  ['a text as int', insert({ id: 'two', name: 'x' }), 'TypeMismatch', /id.*int/],
  ['a fraction as int', insert({ id: 2.5, name: 'x' }), 'TypeMismatch', /id.*int/],
  ['an int beyond 64 bits', insert({ id: '9223372036854775808', name: 'x' }), 'TypeMismatch', /id/],
  ['a list as a row', insert([1, 'x']), 'InvalidCommand', /row/],
  ['no row', insert(undefined), 'InvalidCommand', /row/],
  ['a lone surrogate', insert({ id: 2, name: 'a\ud800b' }), 'InvalidCommand|TypeMismatch', /name|surrogate|Unicode/i],
  ['the same key again', insert({ id: 1, name: 'Eve' }), 'DuplicateKey', /patients/],
  ['a row too large', insert({ id: 2, name: 'x'.repeat(300_000) }), 'RowTooLarge', /\d{6}/],
  [
    'a table named __proto__',
    { type: 'CreateTable', tenantId, table: '__proto__', columns: { id: 'int' }, primaryKey: ['id'] },
    'InvalidCommand',
    /table|name/,
  ],
  [
    'a column type that is none',
    { type: 'CreateTable', tenantId, table: 't', columns: { id: 'number' }, primaryKey: ['id'] },
    'InvalidCommand',
    /id|number/,
  ],
  [
    'a key column that is none',
    { type: 'CreateTable', tenantId, table: 't', columns: { id: 'int' }, primaryKey: ['key'] },
    'InvalidCommand|ColumnNotFound',
    /key/,
  ],
  [
    'a field nobody knows',
    { type: 'Delete', tenantId, table: 'patients', key: { id: 1 }, ifVerison: 3 },
    'InvalidCommand',
    /ifVerison/,
  ],
];

/** Those that JSON cannot carry. */
const inProcessOnly: readonly (readonly [string, unknown, string, RegExp])[] = [
  ['NaN', insert({ id: 2, name: 'x', score: Number.NaN }), 'TypeMismatch|InvalidCommand', /score/],
  ['Infinity as an int', insert({ id: Number.POSITIVE_INFINITY, name: 'x' }), 'TypeMismatch|InvalidCommand', /id/],
  ['an unsafe int as number', insert({ id: 2 ** 53, name: 'x' }), 'TypeMismatch', /id/],
  ['a bigint beyond 64 bits', insert({ id: 2n ** 63n, name: 'x' }), 'TypeMismatch|InvalidCommand', /id.*64 bits/],
  ['a function', insert({ id: 2, name: () => 'x' }), 'TypeMismatch|InvalidCommand', /name/],
  ['an object with a prototype of its own', insert(new Map([['id', 1]])), 'InvalidCommand', /row/],
  [
    '__proto__ as an own key',
    JSON.parse(
      `{"type":"Insert","tenantId":1,"table":"patients","row":{"id":2,"name":"x","__proto__":{"admin":true}}}`,
    ),
    'InvalidCommand|ColumnNotFound',
    /__proto__/,
  ],
];

const cycle: Record<string, unknown> = {};
cycle['self'] = cycle;

async function rowsNow(): Promise<unknown> {
  return (await db.tenant(tenantId).table('patients').query()).rows;
}

describe('through the SDK', () => {
  test.each([...mistakes, ...inProcessOnly])('%s', async (_name, command, code, text) => {
    const before = await rowsNow();
    const error: unknown = await db.exec(command as never).then(
      () => 'it was taken',
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(KimberliteError);
    expect(error).toMatchObject({ code: expect.stringMatching(new RegExp(`^(${code})$`)), outcome: 'not-applied' });
    expect(error).toHaveProperty('message', expect.stringMatching(text));
    expect(await rowsNow()).toEqual(before);
  });

  test('a cycle', async () => {
    await expect(db.exec(insert({ id: 2, name: 'x', more: cycle }) as never)).rejects.toMatchObject({
      outcome: 'not-applied',
    });
  });

  test('no word of it reaches an ordinary object', () => {
    expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false);
  });

  test('queries', async () => {
    const patients = db.tenant(tenantId).table('patients');
    const wrong: readonly (readonly [unknown, RegExp])[] = [
      [{ where: { nobody: 1 } }, /nobody/],
      [{ where: { id: { about: 3 } } }, /where\.id.*prefix/],
      [{ limit: -1 }, /limit/],
      [{ limit: 1e9 }, /limit/],
      [{ cursor: 'made up' }, /cursor/],
      [{ orderBy: ['nobody'] }, /nobody/],
      [{ select: ['nobody'] }, /nobody/],
      [{ where: { id: Number.NaN } }, /id/],
    ];
    for (const [query, text] of wrong) {
      await expect(patients.query(query as never)).rejects.toMatchObject({ message: expect.stringMatching(text) });
    }
  });
});

describe('through the command line', () => {
  test('each in its place, and the exit code says that some failed', async () => {
    const commands = [
      insert({ id: 10, name: 'first' }),
      ...mistakes.map(([, command]) => command),
      insert({ id: 11, name: 'last' }),
    ];
    const endpoints = cluster.endpoints.join(',');
    const { code, stdout } = await kimberlite(['exec', '-', '--json', '--endpoints', endpoints], {
      input: JSON.stringify(commands),
    });
    expect(code).toBe(1);
    const rows: readonly unknown[] = JSON.parse(stdout);
    expect(rows).toHaveLength(commands.length);
    expect(rows[0]).toMatchObject({ ok: true });
    expect(rows.at(-1)).toMatchObject({ ok: true });
    mistakes.forEach(([name, , expected, text], i) => {
      const error = {
        code: expect.stringMatching(new RegExp(`^(${expected})$`)),
        message: expect.stringMatching(text),
        outcome: 'not-applied',
      };
      expect(rows[i + 1], name).toMatchObject({ ok: false, error });
    });
  });

  test('what is no JSON, or no command, is wrong usage', async () => {
    const endpoints = cluster.endpoints.join(',');
    for (const argument of ['{"type": }', '42', 'null', '"Insert"']) {
      const { code, stderr, stdout } = await kimberlite(['exec', argument, '--endpoints', endpoints]);
      expect(code, argument + stdout + stderr).toBe(2);
    }
    const proto =
      '{"type":"Insert","tenantId":1,"table":"patients","row":{"id":12,"name":"x","__proto__":{"admin":true}}}';
    const refused = await kimberlite(['exec', proto, '--json', '--endpoints', endpoints]);
    expect(refused.code).not.toBe(0);
    expect(refused.stdout + refused.stderr).toMatch(/__proto__/);
  });

  test('nobody there, and no endpoint at all', async () => {
    const nobody = await kimberlite(['query', '{"tenantId":1,"table":"patients"}', '--endpoints', 'ws://127.0.0.1:9']);
    expect(nobody.code).toBe(1);
    expect(nobody.stderr).toMatch(/127\.0\.0\.1:9.*npm start.*--endpoints/s);
    const none = await kimberlite(['status', '--endpoints', 'http://127.0.0.1:9']);
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(/ws:\/\//);
  });
});

describe('in frames made by hand', () => {
  test('a command the SDK would have stopped is refused before it is replicated', async () => {
    const primary = await cluster.primary();
    const raw = await RawClient.greet(cluster.endpoints[primary] ?? '');
    const session = await raw.register();
    const { op } = (await cluster.status(primary)) ?? { op: -1 };
    for (const [i, [, command]] of [...mistakes.filter(([, , code]) => code.startsWith('InvalidCommand'))].entries()) {
      raw.send([request(session, i + 1, encodeCommands([command as never]))]);
      const { reply } = await raw.next('reply');
      expect(reply).toMatchObject({
        type: 'refused',
        refusal: { reason: 'invalid', message: expect.stringMatching(/./) },
      });
    }
    expect(await cluster.status(primary)).toMatchObject({ op });
    raw.close();
  });

  test('a request sent ten times takes effect once; another one under its number is called a mismatch', async () => {
    const primary = await cluster.primary();
    const raw = await RawClient.greet(cluster.endpoints[primary] ?? '');
    const session = await raw.register();
    const body = encodeCommands([insert({ id: 500, name: 'once' }) as never]);
    for (let i = 0; i < 10; i++) raw.send([request(session, 1, body)]);
    const { reply } = await raw.next('reply');
    expect(reply).toMatchObject({ type: 'outcome', session, number: 1 });
    raw.send([request(session, 1, encodeCommands([insert({ id: 501, name: 'other' }) as never]))]);
    const deadline = performance.now() + 20_000;
    for (;;) {
      const next = await raw.next('reply', deadline - performance.now());
      if (next.reply.type === 'mismatch') break;
      // The answers to the other nine, all the same.
      expect(next.reply).toEqual(reply);
    }
    const { rows } = await db
      .tenant(tenantId)
      .table('patients')
      .query({ where: { id: { gte: 500 } } });
    expect(rows).toMatchObject([{ id: 500, name: 'once' }]);
    raw.close();
  });
});

test('in the end all nodes live and agree', async () => {
  const { hash } = await cluster.converged();
  expect(hash).toMatch(/^[0-9a-f]+$/);
});
