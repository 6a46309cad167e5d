import { readFileSync } from 'node:fs';
import { budgetBytesDefault } from '@kimberlite/kernel';
import { connect, type Database, KimberliteError } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { encodeCommands } from '@kimberlite/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bin, scratch } from './kimberlite.ts';
import { question, RawClient, request } from './raw-client.ts';

// More than the cluster can take: answers nobody reads, requests nobody waits for, rows beyond the budget. Each is
// refused with words, memory stays bounded, and whoever behaves is served.

const { path: root, remove } = scratch();
let cluster: ProcessCluster;
let db: Database;
const tenantId = 1;
/** What a node may take beyond what it had: queues at their bounds, and garbage not yet collected. */
const growthMaxMiB = 768;

beforeAll(async () => {
  cluster = await ProcessCluster.create({ bin, nodes: 3, directory: root });
  cluster.startAll();
  await cluster.primary(60_000);
  db = await connect({ endpoints: cluster.endpoints, connectTimeoutMs: 30_000 });
  await db.createTenant({ tenantId, name: 'pressure' });
  await db.tenant(tenantId).createTable('blobs', { columns: { id: 'int', value: 'text' }, primaryKey: ['id'] });
  await db.tenant(tenantId).createTable('beside', { columns: { id: 'int', value: 'int' }, primaryKey: ['id'] });
}, 120_000);

afterAll(async () => {
  await db?.close();
  await cluster?.close();
  remove();
});

const blobs = () => db.tenant(tenantId).table('blobs');
/** A megabyte of rows: the answer to a question for all of them. */
const fillBlobs = () =>
  Promise.all(Array.from({ length: 10 }, (_, id) => blobs().upsert({ id, value: 'x'.repeat(100_000) })));
const pidOf = (replica: number): number => cluster.pid(replica) ?? 0;

/** Most memory a process ever had resident, in MiB. */
function peakMiB(pid: number): number {
  const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found?.[1] ?? 0) / 1024;
}

/** An ordinary client beside the trouble; `stop` gives what went wrong for it. */
function bystander(): { stop: () => Promise<{ calls: number; problems: string[] }> } {
  const table = db.tenant(tenantId).table('beside');
  let running = true;
  let calls = 0;
  const problems: string[] = [];
  const loop = (async () => {
    for (let value = 1; running; value++) {
      try {
        await table.upsert({ id: 1, value });
        const row = await table.get({ id: 1 });
        calls += 1;
        if (row?.['value'] !== value) problems.push(`read ${String(row?.['value'])} after ${value}`);
      } catch (error) {
        problems.push(String(error));
      }
    }
  })();
  return {
    stop: async () => {
      running = false;
      await loop;
      return { calls, problems };
    },
  };
}

test('a client that never reads its replies is closed, and nobody else notices', async () => {
  await fillBlobs();
  const primary = await cluster.primary();
  const before = peakMiB(pidOf(primary));
  const beside = bystander();
  const deaf = await RawClient.greet(cluster.endpoints[primary] ?? '');
  deaf.stopReading();
  // A megabyte each: 600 MB that the node is asked to keep for somebody who does not come for it.
  for (let i = 0; i < 60; i++)
    deaf.send(Array.from({ length: 10 }, (_, j) => question(10 * i + j + 1, { tenantId, table: 'blobs' })));
  const metric = async (): Promise<true | undefined> => {
    const metrics = await fetch(`http://127.0.0.1:${cluster.members[primary]?.admin}/metrics`)
      .then((response) => response.text())
      .catch(() => '');
    return /client_refusals_total\{[^}]*reason="slow-reader"[^}]*\} [1-9]/.test(metrics) ? true : undefined;
  };
  await waitFor('the deaf client being closed as a slow reader', metric, { timeoutMs: 60_000, everyMs: 200 });
  expect(cluster.logTail(primary, 1000)).toMatch(/closed a client that does not read its replies/);
  const { calls, problems } = await beside.stop();
  deaf.close();
  expect(problems).toEqual([]);
  expect(calls).toBeGreaterThan(0);
  expect(peakMiB(pidOf(primary)) - before).toBeLessThan(growthMaxMiB);
}, 120_000);

test('a thousand large questions in one frame do not take the memory of a thousand answers', async () => {
  await fillBlobs();
  const primary = await cluster.primary();
  const before = peakMiB(pidOf(primary));
  const greedy = await RawClient.greet(cluster.endpoints[primary] ?? '');
  greedy.stopReading();
  const pid = pidOf(primary);
  greedy.send(Array.from({ length: 1000 }, (_, i) => question(i + 1, { tenantId, table: 'blobs' })));
  await blobs().get({ id: 1 });
  await db.tenant(tenantId).table('beside').upsert({ id: 2, value: 1 });
  expect(cluster.pid(primary)).toBe(pid);
  expect(peakMiB(pid) - before).toBeLessThan(growthMaxMiB);
  greedy.close();
}, 120_000);

describe('more load than the cluster can take', () => {
  test('is refused with `overloaded` and a time to come back, and takes the queue from nobody for good', async () => {
    const primary = await cluster.primary();
    const before = peakMiB(pidOf(primary));
    const endpoint = cluster.endpoints[primary] ?? '';
    const lanes = await Promise.all(Array.from({ length: 24 }, () => RawClient.greet(endpoint)));
    const sessions = await Promise.all(lanes.map((lane) => lane.register()));
    const value = 'y'.repeat(8000);
    // Number 1 of each session comes last, so that all others have to wait: 80 MB, of which 32 may.
    const perLane = 400;
    const upsert = (l: number, n: number) =>
      request(
        sessions[l] ?? 0,
        n,
        encodeCommands([{ type: 'Upsert', tenantId, table: 'blobs', row: { id: 1000 + l, value } } as never]),
      );
    for (const [l, lane] of lanes.entries()) {
      for (let n = 2; n <= perLane; n++) lane.send([upsert(l, n)]);
      // In portions: what is tried is how much waits, not how much arrives in one moment.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const refused = () => lanes.flatMap((lane) => lane.received).filter((message) => message.type === 'reply');
    await waitFor('a refusal', async () => (refused().length > 0 ? true : undefined));
    for (const message of refused()) {
      if (message.type !== 'reply' || message.reply.type !== 'refused') throw new Error(JSON.stringify(message));
      const { reason, retryAfterMs } = message.reply.refusal;
      // Where the machine is so slow that the primary was thought dead, the next one has nothing of this.
      expect(reason).toMatch(/^(overloaded|view-change|not-primary|recovering)$/);
      expect(retryAfterMs).toBeGreaterThan(0);
    }
    await db.tenant(tenantId).table('beside').upsert({ id: 3, value: 3 });
    expect(peakMiB(pidOf(primary)) - before).toBeLessThan(growthMaxMiB);
    for (const lane of lanes) lane.close();
    await db.tenant(tenantId).table('beside').upsert({ id: 3, value: 4 });
    await cluster.converged();
  }, 180_000);

  test('the SDK refuses what exceeds its own queue at once, and says that nothing happened', async () => {
    const hurried = await connect({ endpoints: cluster.endpoints });
    const table = hurried.tenant(tenantId).table('beside');
    const settled = await Promise.allSettled(
      Array.from({ length: 70_000 }, (_, i) => table.upsert({ id: 10 + (i % 50), value: i })),
    );
    const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.length).toBeLessThan(70_000 - 60_000);
    for (const error of failures) {
      expect(error).toBeInstanceOf(KimberliteError);
      expect(error).toMatchObject({ code: 'Overloaded', outcome: 'not-applied', retryable: true });
    }
    await hurried.close();
  }, 120_000);
});

test('state filled to its budget is refused by name, survives a restart full, and can be emptied', async () => {
  await db.tenant(tenantId).dropTable('blobs');
  await db.tenant(tenantId).createTable('blobs', { columns: { id: 'int', value: 'text' }, primaryKey: ['id'] });
  const table = blobs();
  await db.exec({ type: 'SetBudget', budgetBytes: 2_000_000 });
  const value = 'z'.repeat(50_000);
  let filled = 0;
  let refusal: unknown;
  for (; filled < 1000 && refusal === undefined; filled++) {
    await table.insert({ id: 10_000 + filled, value }).catch((error: unknown) => {
      refusal = error;
    });
  }
  filled -= 1;
  expect(refusal).toMatchObject({
    code: 'QuotaExceeded',
    outcome: 'not-applied',
    message: expect.stringMatching(/SetBudget|budget/),
  });
  expect(filled).toBeGreaterThan(10);
  const { hash } = await cluster.converged();

  await Promise.all(cluster.members.map(({ replica }) => cluster.signal(replica, 'SIGKILL')));
  cluster.startAll();
  const again = await cluster.converged();
  expect(again.hash).toBe(hash);
  await expect(table.insert({ id: 20_000, value })).rejects.toMatchObject({ code: 'QuotaExceeded' });
  // Reading and shrinking always work.
  expect(await table.get({ id: 10_000 })).toMatchObject({ value });
  await table.update({ id: 10_001 }, { value: 'short' });
  for (let id = 10_000; id < 10_000 + filled; id++) await table.delete({ id });
  await table.insert({ id: 20_000, value });
  await db.exec({ type: 'SetBudget', budgetBytes: budgetBytesDefault });
  await cluster.converged();
}, 180_000);
