import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '@kimberlite/client';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bin, cli, temporaryDirectory } from './support/dev-cluster.ts';

// What operators do to a cluster of real processes, and that nothing acknowledged is lost by it.

vi.setConfig({ testTimeout: 180_000 });

const directory = temporaryDirectory();
const interval = 16;
let cluster: ProcessCluster;

beforeAll(async () => {
  const settings = { checkpointInterval: interval, logLevel: 'warn' };
  cluster = await ProcessCluster.create({ bin, nodes: 3, directory: directory.path, settings });
  cluster.startAll();
  await cluster.converged();
}, 90_000);
afterAll(async () => {
  await cluster?.close();
  directory.remove();
});

const on = (...args: string[]) => cli([...args, '--endpoints', cluster.endpoints.join(','), '--json']);
const dataDir = (replica: number): string => join(directory.path, `node-${replica}`);
const configOf = (replica: number): string => join(directory.path, `node-${replica}.json`);

const columns = { id: 'int', text: 'text' } as const;

/** So many inserts, one op each. */
async function insert(endpoints: readonly string[], from: number, many: number): Promise<void> {
  await using db = await connect({ endpoints: [...endpoints] });
  const table = db.tenant(1).table('t');
  for (let id = from; id < from + many; id++) await table.insert({ id, text: `row ${id}` }, { timeoutMs: 60_000 });
}

async function ids(endpoints: readonly string[]): Promise<unknown[]> {
  await using db = await connect({ endpoints: [...endpoints] });
  const { rows } = await db
    .tenant(1)
    .table('t')
    .query({ select: ['id'], orderBy: ['id'] });
  return rows.map(({ id }) => id);
}

const count = (to: number): number[] => Array.from({ length: to }, (_, i) => i);

test('checkpoints are taken, a lost directory is replaced, and the new machine counts', async () => {
  const db = await connect({ endpoints: cluster.endpoints });
  await db.createTenant({ tenantId: 1, name: 'one' });
  await db.tenant(1).createTable('t', { columns, primaryKey: ['id'] });
  await db.close();
  await insert(cluster.endpoints, 0, 20);
  await waitFor('a checkpoint', async () => {
    return readdirSync(dataDir(2)).some((file) => file.startsWith('checkpoint-')) ? true : undefined;
  });

  // Whoever does not vouch, whose node runs, or whose directory is there, is told what to do.
  expect((await on('recover', '--config', configOf(2))).code).toBe(2);
  const running = await on('recover', '--config', configOf(2), '--old-machine-is-gone');
  expect(running.code).toBe(1);
  expect(JSON.parse(running.out)).toMatchObject({ ok: false, error: { code: 'DirectoryNotEmpty' } });

  await cluster.signal(2, 'SIGKILL');
  rmSync(dataDir(2), { recursive: true });
  await insert(cluster.endpoints, 20, 5);
  const recovered = await on('recover', '--config', configOf(2), '--old-machine-is-gone');
  expect(JSON.parse(recovered.out)).toMatchObject({ ok: true, replica: 2, incarnation: 1 });
  cluster.start(2);
  await cluster.converged();
  expect(existsSync(join(dataDir(2), 'superblock'))).toBe(true);

  // Now the new one is needed for every write.
  await cluster.signal(0, 'SIGKILL');
  await insert(cluster.endpoints, 25, 5);
  expect(await ids(cluster.endpoints)).toEqual(count(30));
  cluster.start(0);
  await cluster.converged();
  const verified = await cli(['verify', dataDir(2), '--json']);
  expect(JSON.parse(verified.out)).toMatchObject({ ok: true });
});

test('a directory that was formatted anew under a used identity is refused, and told what to run', async () => {
  await cluster.signal(2, 'SIGKILL');
  rmSync(dataDir(2), { recursive: true });
  expect((await cli(['format', '--config', configOf(2), '--json'])).code).toBe(0);
  cluster.start(2);
  await waitFor('the others to refuse it', async () =>
    cluster.logTail(2).includes('kimberlite recover') ? true : undefined,
  );
  expect(cluster.logTail(0)).toMatch(/refused a replica: .*another machine has had this identity/);
  await insert(cluster.endpoints, 30, 1);
  await cluster.signal(2, 'SIGTERM');
  rmSync(dataDir(2), { recursive: true });
  expect((await on('recover', '--config', configOf(2), '--old-machine-is-gone')).code).toBe(0);
  cluster.start(2);
  await cluster.converged();
});

test('transfer moves the primary where it is wanted, and back', async () => {
  const before = await cluster.primary();
  const to = (before + 2) % 3;
  expect(JSON.parse((await on('transfer', '--to', `${to}`)).out)).toMatchObject({ ok: true, from: before, to });
  expect(await cluster.primary()).toBe(to);
  await insert(cluster.endpoints, 31, 1);
  expect(JSON.parse((await on('transfer', '--to', `${to}`)).out)).toMatchObject({ ok: true, from: to, to });
  expect(await ids(cluster.endpoints)).toEqual(count(32));
});

test('a backup of a running node begins another cluster, which has all of it and goes on', async () => {
  const backup = join(directory.path, 'backup');
  const made = await cli(['backup', dataDir(1), backup, '--json']);
  expect(JSON.parse(made.out)).toMatchObject({ ok: true });
  expect(JSON.parse((await cli(['verify', backup, '--json'])).out)).toMatchObject({ ok: true });
  expect((await cli(['backup', dataDir(1), backup, '--json'])).code).toBe(1);

  const elsewhere = join(directory.path, 'elsewhere');
  const other = await ProcessCluster.create({
    bin,
    nodes: 3,
    directory: elsewhere,
    settings: { checkpointInterval: interval },
  });
  try {
    const hashes = new Set<string>();
    for (let replica = 0; replica < 3; replica++) {
      const config = join(elsewhere, `node-${replica}.json`);
      rmSync(join(elsewhere, `node-${replica}`), { recursive: true });
      const restored = await cli(['restore', backup, '--config', config, '--json']);
      const { ok, stateHash } = JSON.parse(restored.out) as { ok: boolean; stateHash: string };
      expect(ok).toBe(true);
      hashes.add(stateHash);
    }
    expect(hashes.size).toBe(1);
    other.startAll();
    await other.converged();
    expect(await ids(other.endpoints)).toEqual(count(32));
    await insert(other.endpoints, 32, 20);
    await other.converged();
    expect(JSON.parse((await cli(['verify', join(elsewhere, 'node-0'), '--json'])).out)).toMatchObject({ ok: true });

    // Under the old identity it would be a fork.
    const config = JSON.parse(readFileSync(configOf(0), 'utf8')) as Record<string, unknown>;
    const forged = join(directory.path, 'forged.json');
    writeFileSync(forged, JSON.stringify({ ...config, dataDir: join(directory.path, 'forged') }));
    const refused = await cli(['restore', backup, '--config', forged, '--json']);
    expect(JSON.parse(refused.out)).toMatchObject({ ok: false, error: { code: 'SameCluster' } });
  } finally {
    await other.close();
  }
});
