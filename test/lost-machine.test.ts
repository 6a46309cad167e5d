import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ProcessCluster, waitFor } from '@kimberlite/drill';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bin, cli, temporaryDirectory } from './support/dev-cluster.ts';

// Real processes: a node whose directory is gone comes back by `recover`, and nothing acknowledged goes with it.

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

/** So many inserts, one op each. */
async function insert(from: number, count: number): Promise<void> {
  const commands = Array.from({ length: count }, (_, i) => ({
    type: 'Insert',
    tenantId: 1,
    table: 't',
    row: { id: from + i, text: `row ${from + i}` },
  }));
  for (const command of commands) expect((await on('exec', JSON.stringify(command))).code).toBe(0);
}

async function ids(): Promise<number[]> {
  const { out } = await on('query', JSON.stringify({ tenantId: 1, table: 't', select: ['id'], orderBy: ['id'] }));
  return (JSON.parse(out) as { rows: { id: number }[] }).rows.map(({ id }) => id);
}

const count = (to: number): number[] => Array.from({ length: to }, (_, i) => i);

test('checkpoints are taken, a lost directory is replaced, and the new machine counts', async () => {
  const table = { columns: { id: 'int', text: 'text' }, primaryKey: ['id'] };
  const made = await on(
    'exec',
    JSON.stringify([
      { type: 'CreateTenant', tenantId: 1, name: 'one' },
      { type: 'CreateTable', tenantId: 1, table: 't', ...table },
    ]),
  );
  expect(made.code).toBe(0);
  await insert(0, 20);
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
  await insert(20, 5);
  const recovered = await on('recover', '--config', configOf(2), '--old-machine-is-gone');
  expect(JSON.parse(recovered.out)).toMatchObject({ ok: true, replica: 2, incarnation: 1 });
  cluster.start(2);
  await cluster.converged();
  expect(existsSync(join(dataDir(2), 'superblock'))).toBe(true);

  // Now the new one is needed for every write.
  await cluster.signal(0, 'SIGKILL');
  await insert(25, 5);
  expect(await ids()).toEqual(count(30));
  cluster.start(0);
  await cluster.converged();
  const verified = await cli(['verify', dataDir(2), '--json']);
  expect(JSON.parse(verified.out)).toMatchObject({ ok: true });
});

test('transfer moves the primary where it is wanted, and back', async () => {
  const before = await cluster.primary();
  const to = (before + 2) % 3;
  expect(JSON.parse((await on('transfer', '--to', `${to}`)).out)).toMatchObject({ ok: true, from: before, to });
  expect(await cluster.primary()).toBe(to);
  await insert(30, 1);
  expect(JSON.parse((await on('transfer', '--to', `${to}`)).out)).toMatchObject({ ok: true, from: to, to });
  expect(await ids()).toEqual(count(31));
});
