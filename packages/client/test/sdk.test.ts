import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, type Database, KimberliteError } from '../src/index.ts';
import { freePort, OneNodeServer } from './one-node-server.ts';

let server: OneNodeServer;
let db: Database;

beforeEach(async () => {
  server = await OneNodeServer.start(await freePort());
  db = await connect({ endpoints: [server.endpoint] });
});
afterEach(async () => {
  await db.close();
  await server.stop();
});

async function failureOf(call: Promise<unknown>): Promise<KimberliteError> {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof KimberliteError)) throw new Error(`a KimberliteError was expected, not ${String(error)}`);
  return error;
}

async function clinic() {
  await db.createTenant({ tenantId: 1, name: 'clinic' });
  const tenant = db.tenant(1);
  await tenant.createTable('patients', {
    columns: { id: 'int', name: 'text', born: 'timestamp?' },
    primaryKey: ['id'],
  });
  return tenant.table('patients');
}

describe('the SDK over real sockets', () => {
  it('does what the product page shows', async () => {
    const patients = await clinic();
    const { position, timestamp } = await patients.insert({ id: 1, name: 'Ada' }, { idempotencyKey: 'req-1' });
    expect(position).toBe(3);
    expect(timestamp).toBeGreaterThan(0);
    const again = await patients.insert({ id: 1, name: 'Ada' }, { idempotencyKey: 'req-1' });
    expect(again).toMatchObject({ position, isReplay: true });
    const updated = await patients.update({ id: 1 }, { name: 'Ada L.' }, { ifVersion: position });
    expect(await patients.get({ id: 1 }, { select: ['name', '$version'] })).toEqual({
      name: 'Ada L.',
      $version: updated.position,
    });
    await patients.upsert({ id: 2, name: 'Bob', born: '1970-01-02T00:00:00Z' });
    const { rows } = await patients.query({ where: { name: { gte: 'A' } }, orderBy: ['name'], limit: 100 });
    expect(rows).toEqual([
      { id: 1, name: 'Ada L.', born: null },
      { id: 2, name: 'Bob', born: 86_400_000_000 },
    ]);
    await patients.delete({ id: 1 });
    expect(await patients.get({ id: 1 })).toBeNull();
    expect((await db.tenant(1).tables()).length).toBe(1);
    await db.tenant(1).createIndex('patients', 'by_name', { columns: ['name'] });
    await db.tenant(1).dropIndex('by_name');
    await db.tenant(1).dropTable('patients');
    await db.deleteTenant(1);
  });

  it('pages with a cursor', async () => {
    const patients = await clinic();
    await Promise.all(Array.from({ length: 25 }, (_, id) => patients.insert({ id, name: `n${id}` })));
    const ids: unknown[] = [];
    for (let cursor: string | undefined, page = 0; page < 10; page++) {
      const answer = await patients.query({ limit: 10, ...(cursor === undefined ? {} : { cursor }) });
      ids.push(...answer.rows.map((row) => row['id']));
      cursor = answer.cursor;
      if (cursor === undefined) break;
    }
    expect(ids).toEqual(Array.from({ length: 25 }, (_, id) => id));
  });

  it('takes effect in the order of issue, and shares requests between concurrent calls', async () => {
    const patients = await clinic();
    server.requests = 0;
    const calls: Promise<{ position: number }>[] = [];
    for (let id = 0; id < 1000; id++) calls.push(patients.insert({ id, name: 'x' }));
    const read = patients.query({ limit: 1 });
    const late = patients.update({ id: 0 }, { name: 'late' });
    const positions = (await Promise.all(calls)).map(({ position }) => position);
    expect(positions).toEqual(Array.from({ length: 1000 }, (_, i) => i + 3));
    expect((await read).rows).toMatchObject([{ id: 0, name: 'x' }]);
    await late;
    expect(server.requests).toBeLessThan(10);
  });

  it('gives typed errors', async () => {
    const patients = await clinic();
    await patients.insert({ id: 1, name: 'Ada' });
    const duplicate = await failureOf(patients.insert({ id: 1, name: 'Eve' }));
    expect(duplicate).toMatchObject({ code: 'DuplicateKey', outcome: 'not-applied', retryable: false });
    expect(duplicate.details['table']).toBe('patients');
    expect(duplicate.position).toBe(4);
    const stale = await failureOf(patients.update({ id: 1 }, { name: 'x' }, { ifVersion: 1 }));
    expect(stale).toMatchObject({ code: 'PreconditionFailed', details: { actualVersion: 3 } });
    const asked = server.requests;
    const invalid = await failureOf(patients.insert({ id: Number.NaN, name: 'x' }));
    expect(invalid).toMatchObject({ code: 'InvalidCommand', outcome: 'not-applied' });
    expect(await failureOf(db.query({ tenantId: 1, table: 'nowhere' }))).toMatchObject({ code: 'TableNotFound' });
    expect(await failureOf(db.query({ tenantId: 1, table: 'x', limit: -1 }))).toMatchObject({ code: 'InvalidCommand' });
    expect(server.requests).toBe(asked);
    expect(JSON.parse(JSON.stringify(duplicate))).toMatchObject({ code: 'DuplicateKey', outcome: 'not-applied' });
  });

  it('runs a list of commands in order and goes on after a rejection', async () => {
    const results = await db.exec([
      { type: 'CreateTenant', tenantId: 1, name: 'a' },
      { type: 'CreateTenant', tenantId: 1, name: 'a' },
      { type: 'CreateTenant', tenantId: 2, name: 'b' },
    ]);
    expect(results.map((result) => (result.ok ? result.position : result.error.code))).toEqual([
      1,
      'TenantAlreadyExists',
      3,
    ]);
  });

  it('gives ints as asked for', async () => {
    const patients = await clinic();
    await patients.insert({ id: 2n ** 60n, name: 'big' });
    await patients.insert({ id: 7, name: 'small', born: 5 });
    expect((await patients.query()).rows.map((row) => row['id'])).toEqual([7, 2n ** 60n]);
    const other = await connect({ endpoints: [server.endpoint], ints: 'bigint' });
    try {
      const { rows } = await other.tenant(1).table('patients').query();
      expect(rows[0]).toEqual({ id: 7n, name: 'small', born: 5 });
    } finally {
      await other.close();
    }
  });

  it('sends again over a new connection when one breaks, and applies once', async () => {
    const patients = await clinic();
    server.mute = true;
    const call = patients.insert({ id: 1, name: 'Ada' });
    await new Promise((resolve) => setImmediate(resolve));
    server.cut();
    server.mute = false;
    await call;
    expect((await patients.query()).rows.length).toBe(1);
    expect(server.connections).toBeGreaterThan(1);
  });

  it('refuses options that make no sense, and goes on with the other calls', async () => {
    const patients = await clinic();
    const wrong = [{ consistency: 'strong' }, { consistency: { atLeast: -1 } }, { consistency: { atLeast: 0.5 } }];
    const others = [{ timeoutMs: Number.NaN }, { timeoutMs: -1 }, { timeoutMs: '5' }];
    for (const options of [...wrong, ...others] as { timeoutMs?: number }[]) {
      expect(await failureOf(patients.get({ id: 1 }, options))).toMatchObject({
        code: 'InvalidCommand',
        outcome: 'not-applied',
      });
    }
    expect(await patients.get({ id: 1 }, { timeoutMs: 2_000 })).toBeNull();
    await expect(connect({ endpoints: [server.endpoint], timeoutMs: Number.NaN })).rejects.toThrow('timeoutMs');
    const gone = failureOf(connect({ endpoints: [server.endpoint], signal: AbortSignal.abort() }));
    expect(await gone).toMatchObject({ code: 'Aborted', outcome: 'not-applied' });
  });

  it('listens once to a signal that many calls share, and not at all afterwards', async () => {
    const patients = await clinic();
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = () => getEventListeners(signal, 'abort').length;
    const reads = Array.from({ length: 50 }, () => patients.get({ id: 1 }, { signal }));
    expect(listeners()).toBe(1);
    await Promise.all(reads);
    expect(listeners()).toBe(0);
    const given = Array.from({ length: 3 }, (_, id) => failureOf(patients.insert({ id, name: 'x' }, { signal })));
    controller.abort();
    for (const failed of await Promise.all(given)) expect(failed).toMatchObject({ code: 'Aborted' });
    expect(listeners()).toBe(0);
  });

  it('honours timeouts and signals, and says what is known', async () => {
    const patients = await clinic();
    server.mute = true;
    expect(await failureOf(patients.insert({ id: 1, name: 'x' }, { timeoutMs: 50 }))).toMatchObject({
      code: 'Timeout',
      outcome: 'unknown',
    });
    const controller = new AbortController();
    const aborted = failureOf(patients.insert({ id: 2, name: 'x' }, { signal: controller.signal }));
    controller.abort();
    expect(await aborted).toMatchObject({ code: 'Aborted', outcome: 'not-applied' });
    expect(await failureOf(patients.get({ id: 2 }, { signal: AbortSignal.abort() }))).toMatchObject({
      code: 'Aborted',
    });
    expect(await failureOf(patients.get({ id: 2 }, { timeoutMs: 50 }))).toMatchObject({
      code: 'Timeout',
      outcome: 'not-applied',
    });
  });

  it('reads weakly when asked to', async () => {
    const patients = await clinic();
    const { position } = await patients.insert({ id: 1, name: 'Ada' });
    expect(await patients.query({}, { consistency: { atLeast: position } })).toMatchObject({ position });
    expect(await patients.query({}, { consistency: 'local' })).toMatchObject({ staleForUs: 0 });
  });

  it('tells the status of the cluster, those who do not answer included', async () => {
    const status = await db.status();
    expect(status).toMatchObject({ view: 0, primary: 0, canLose: 0, unanswered: [] });
    expect(status.replicas.map((row) => row.reachable)).toEqual([true, false, false]);
    expect(status.replicas[1]).toMatchObject({
      endpoint: 'ws://127.0.0.1:1',
      trouble: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('fails what is pending when it is closed, and everything after', async () => {
    const patients = await clinic();
    server.mute = true;
    const call = failureOf(patients.insert({ id: 1, name: 'x' }));
    await db.close();
    expect(await call).toMatchObject({ code: 'Closed', outcome: 'not-applied' });
    expect(await failureOf(patients.get({ id: 1 }))).toMatchObject({ code: 'Closed' });
    await db.close();
  });
});

describe('connecting', () => {
  it('fails in bounded time when nobody answers, and says who was asked', async () => {
    const endpoint = `ws://127.0.0.1:${await freePort()}`;
    const started = performance.now();
    const error = await failureOf(connect({ endpoints: [endpoint], connectTimeoutMs: 200 }));
    expect(error).toMatchObject({ code: 'ConnectFailed', outcome: 'not-applied', retryable: true });
    expect(error.message).toContain(endpoint);
    expect(error.message).toContain('ECONNREFUSED');
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('finds the one endpoint that answers', async () => {
    const dead = `ws://127.0.0.1:${await freePort()}`;
    const other = await connect({ endpoints: [dead, server.endpoint] });
    expect((await other.query({ tenantId: 0, table: '$tenants' })).rows).toEqual([]);
    await other.close();
  });

  it('refuses endpoints that are none', async () => {
    await expect(connect({ endpoints: [] })).rejects.toThrow(/endpoints/);
    await expect(connect({ endpoints: ['127.0.0.1:7001'] })).rejects.toThrow(/no endpoint/);
  });

  it('gives up when the caller does', async () => {
    const endpoint = `ws://127.0.0.1:${await freePort()}`;
    const error = await failureOf(connect({ endpoints: [endpoint], signal: AbortSignal.timeout(50) }));
    expect(error.code).toBe('Aborted');
  });
});
