import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '@kimberlite/client';
import { type NodeStatus, ProcessCluster, waitFor } from '@kimberlite/drill';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { bin, Spoken, temporaryDirectory } from '../support/dev-cluster.ts';
import { otherRelease } from './other-release.ts';

// A cluster of real processes goes from this release to one that speaks a newer version, node by node, under load; and
// the ways in which that can be done wrong. The other releases are copies of this build that speak other versions.

vi.setConfig({ testTimeout: 240_000 });

const directory = temporaryDirectory();
let cluster: ProcessCluster;
/** Speaks versions 1 and 2. */
let newer: string;
/** Speaks 3 and 4: somebody has skipped a release. */
let skipping: string;

beforeAll(async () => {
  newer = otherRelease(join(directory.path, 'newer'), { oldest: 1, newest: 2 });
  skipping = otherRelease(join(directory.path, 'skipping'), { oldest: 3, newest: 4 });
  const settings = { checkpointInterval: 64, logLevel: 'info' };
  cluster = await ProcessCluster.create({ bin, nodes: 3, directory: join(directory.path, 'cluster'), settings });
  cluster.startAll();
  await cluster.converged();
  await using db = await connect({ endpoints: cluster.endpoints });
  await db.createTenant({ tenantId: 1, name: 'one' });
  await db.tenant(1).createTable('t', { columns: { id: 'int' }, primaryKey: ['id'] });
}, 240_000);
afterAll(async () => {
  await cluster?.close();
  directory.remove();
});

const inForce = (rows: readonly (NodeStatus | undefined)[]): (number | null)[] =>
  rows.map((row) => row?.versionInForce ?? null);
const logOf = (replica: number): string => readFileSync(join(directory.path, 'cluster', `node-${replica}.log`), 'utf8');
const dataDir = (replica: number): string => join(directory.path, 'cluster', `node-${replica}`);
const configOf = (replica: number): string => join(directory.path, 'cluster', `node-${replica}.json`);

/** A command of a release's CLI, on this cluster. */
async function run(release: string, ...args: string[]): Promise<{ code: number | null; text: string }> {
  const child = new Spoken(process.execPath, [release, ...args]);
  const { code } = await child.ended;
  return { code, text: child.out + child.err };
}
const query = (release: string) =>
  run(release, 'query', '{"tenantId":1,"table":"t","where":{"id":0}}', '--endpoints', cluster.endpoints.join(','));

/** Inserts rows with rising ids until it is stopped; gives those that were acknowledged. */
async function load(): Promise<{ readonly acknowledged: number[]; readonly stop: () => Promise<void> }> {
  const db = await connect({ endpoints: cluster.endpoints });
  const table = db.tenant(1).table('t');
  const acknowledged: number[] = [];
  let stopped = false;
  const writer = async (first: number): Promise<void> => {
    for (let id = first; !stopped; id += 4) {
      await table.insert({ id }, { timeoutMs: 60_000 });
      acknowledged.push(id);
    }
  };
  const writers = Promise.all([0, 1, 2, 3].map(writer));
  const stop = async (): Promise<void> => {
    stopped = true;
    await writers;
    await db.close();
  };
  return { acknowledged, stop };
}

/** All of them, page by page. */
async function ids(): Promise<readonly unknown[]> {
  await using db = await connect({ endpoints: cluster.endpoints });
  const table = db.tenant(1).table('t');
  const found: unknown[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await table.query({ select: ['id'], orderBy: ['id'], ...(cursor === undefined ? {} : { cursor }) });
    for (const { id } of page.rows) found.push(id);
    cursor = page.cursor ?? null;
  }
  return found;
}

const writes = (acknowledged: readonly number[], more: number) => {
  const wanted = acknowledged.length + more;
  return waitFor(`${more} more writes`, async () => (acknowledged.length >= wanted ? true : undefined), {
    timeoutMs: 60_000,
  });
};

/** Waits for the end of a node that gives up by itself. */
const ended = (replica: number) =>
  waitFor(`the end of node ${replica}`, async () => (cluster.pid(replica) === undefined ? true : undefined), {
    timeoutMs: 60_000,
  });
const says = (replica: number, text: RegExp) =>
  waitFor(`node ${replica} says ${text}`, async () => (text.test(logOf(replica)) ? true : undefined), {
    timeoutMs: 60_000,
  });

describe.sequential('a rolling upgrade', () => {
  test('node by node, under load: the newer version is in force once all nodes have it, and nothing is lost', async () => {
    expect(inForce(await cluster.statuses())).toEqual([1, 1, 1]);
    const { acknowledged, stop } = await load();
    await writes(acknowledged, 50);
    // Clients of both releases are served by both.
    expect(await query(newer)).toMatchObject({ code: 0 });
    for (const replica of [2, 1, 0]) {
      await cluster.signal(replica, 'SIGTERM');
      await writes(acknowledged, 20);
      expect(inForce(await cluster.statuses()).filter((version) => version !== null)).toEqual([1, 1]);
      cluster.start(replica, newer);
      await waitFor(
        `node ${replica} with the newer release, and up to date`,
        async () => {
          const rows = await cluster.statuses();
          const row = rows[replica];
          const commit = Math.max(...rows.map((other) => other?.commit ?? 0));
          return row?.status === 'normal' && row.versionNewest === 2 && row.commit + 64 > commit ? true : undefined;
        },
        { timeoutMs: 60_000 },
      );
      await writes(acknowledged, 50);
    }
    await waitFor(
      'version 2 in force everywhere',
      async () => (inForce(await cluster.statuses()).every((version) => version === 2) ? true : undefined),
      { timeoutMs: 60_000 },
    );
    // Several checkpoints more: nodes make the same ones.
    await writes(acknowledged, 300);
    await stop();
    await cluster.converged();
    // Compared as one text: thousands of differences would say no more.
    const wanted = [...acknowledged].sort((a, b) => a - b);
    expect((await ids()).join()).toBe(wanted.join());
    expect(await query(bin)).toMatchObject({ code: 0 });
  });

  test('there is no way back: the older release stops, and says what to install', async () => {
    await cluster.signal(1, 'SIGTERM');
    cluster.start(1);
    await ended(1);
    // Its directory is as it was, and only the newer release can replay it.
    expect(await run(newer, 'verify', dataDir(1))).toMatchObject({ code: 0 });
    const { code, text } = await run(bin, 'verify', dataDir(1));
    expect(code).not.toBe(0);
    expect(text).toMatch(/install a newer release/);
    expect(cluster.logTail(1)).toMatch(/protocol version 2 is in force in this cluster.*install a newer release/);
  });

  test('an older release with an empty directory is refused by the others, which say what to do', async () => {
    renameSync(dataDir(1), `${dataDir(1)}.kept`);
    expect((await run(bin, 'format', '--config', configOf(1))).code).toBe(0);
    cluster.start(1);
    const refusal = /install a newer release on replica 1: version 2 is in force/;
    await says(1, refusal);
    await says(0, refusal);
    await cluster.signal(1, 'SIGKILL');
  });

  test('a release that skips versions is refused, and so are its clients', async () => {
    rmSync(dataDir(1), { recursive: true });
    expect((await run(skipping, 'format', '--config', configOf(1))).code).toBe(0);
    cluster.start(1, skipping);
    const refusal =
      /or one in between: protocol versions (3 to 4 there, versions 1 to 2|1 to 2 there, versions 3 to 4) here/;
    await says(1, refusal);
    await says(0, refusal);
    await cluster.signal(1, 'SIGKILL');
    const asked = await query(skipping);
    expect(asked.code).not.toBe(0);
    expect(asked.text).toMatch(/speaks protocol versions 1 to 2, the client versions 3 to 4: use an older client/);

    // On the directory that the cluster knows it does not start at all.
    rmSync(dataDir(1), { recursive: true });
    renameSync(`${dataDir(1)}.kept`, dataDir(1));
    cluster.start(1, skipping);
    await ended(1);
    expect(cluster.logTail(1)).toMatch(/protocol version 2 is in force.*install a release in between first/);
  });

  test('with the right release the node is there again', async () => {
    cluster.start(1, newer);
    await cluster.converged();
    expect(inForce(await cluster.statuses())).toEqual([2, 2, 2]);
  });
});
