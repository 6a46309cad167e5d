import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Preload, whyNoPreload } from './preload.ts';
import { logOf, missing, problemsOf, startTrouble, type Trouble, until, write } from './trouble-cluster.ts';

// Real nodes whose reads, writes and syncs fail or take long, by a library of the test's in front of libc.

const skipped = whyNoPreload();
const title = skipped === null ? 'failing and slow disks' : `failing and slow disks (skipped: ${skipped})`;

describe.skipIf(skipped !== null)(title, () => {
  let preload: Preload;
  let trouble: Trouble;
  let next = 1;

  beforeAll(async () => {
    preload = new Preload();
    const environment = (replica: number) => preload.environment(replica);
    trouble = await startTrouble({ environment, settings: { checkpointInterval: 64 } });
  }, 120_000);

  beforeEach(async () => {
    for (const replica of [0, 1, 2]) preload.set(replica, []);
    trouble.cluster.startAll();
    await trouble.cluster.converged();
  });

  afterAll(async () => {
    await trouble?.close();
    preload?.remove();
  });

  const writeSome = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) expect(await write(trouble, next++ % 50, next)).toBeNull();
  };
  const backup = async (): Promise<number> => ((await trouble.cluster.primary()) + 1) % 3;
  const gone = (replica: number) => until('it stops', async () => trouble.cluster.pid(replica) === undefined);

  /** The node stops for it, and says why and what to do; the others go on; and it comes back once its disk is well. */
  async function stopsFor(replica: number, said: readonly string[]): Promise<void> {
    const stopped = gone(replica);
    await writeSome(30);
    await stopped;
    for (const text of said) expect(logOf(trouble, replica)).toContain(text);
    await writeSome(30);
    preload.set(replica, []);
    trouble.cluster.start(replica);
    await trouble.cluster.converged();
    expect(await missing(trouble)).toEqual([]);
  }

  test('a write that fails stops the node, primary or not', async () => {
    for (const replica of [await backup(), await trouble.cluster.primary()]) {
      preload.set(replica, [{ what: 'fail', call: 'write', file: 'segment-', error: 'EIO' }]);
      await stopsFor(replica, ['The disk failed (io, segment-', 'replace a disk that fails']);
    }
  }, 180_000);

  test('a sync that fails stops the node: it is never believed a second time', async () => {
    const replica = await backup();
    // The superblock is synced at each checkpoint.
    preload.set(replica, [{ what: 'fail', call: 'sync', file: 'superblock', error: 'EIO' }]);
    await stopsFor(replica, ['The disk failed (io, superblock', 'rather than try again']);
  }, 180_000);

  test('a file system that takes no writes any more stops the node', async () => {
    const replica = await backup();
    preload.set(replica, [{ what: 'fail', call: 'write', file: '*', error: 'EROFS' }]);
    await stopsFor(replica, ['The disk failed (read-only', 'mounted read-only after an error']);
  }, 180_000);

  test('prepares that cannot be read are damage: found at the start, and repaired from the others', async () => {
    const replica = await backup();
    await writeSome(40);
    await trouble.cluster.converged();
    await trouble.cluster.signal(replica, 'SIGKILL');
    preload.set(replica, [{ what: 'fail', call: 'read', file: 'segment-', error: 'EIO', from: 300_000, to: 340_000 }]);
    trouble.cluster.start(replica);
    await trouble.cluster.converged();
    const recovered = [...logOf(trouble, replica).matchAll(/"faulty":(\d+)/g)].map(([, faulty]) => Number(faulty));
    expect(recovered.at(-1)).toBeGreaterThan(0);
    // What was repaired lies elsewhere now, so the next start finds it although the place is as bad as before.
    await until('it is repaired', async () => {
      await writeSome(5);
      await trouble.cluster.converged();
      await trouble.cluster.signal(replica, 'SIGKILL');
      trouble.cluster.start(replica);
      await trouble.cluster.converged();
      const again = [...logOf(trouble, replica).matchAll(/"faulty":(\d+)/g)].map(([, faulty]) => Number(faulty));
      return again.at(-1) === 0;
    });
    expect(await missing(trouble)).toEqual([]);
  }, 180_000);

  test('a very slow disk: at a backup nobody notices, and a primary leaves the view to another', async () => {
    const slow = await backup();
    preload.set(slow, [{ what: 'slow', call: 'write', file: 'segment-', us: 3_000_000 }]);
    const began = performance.now();
    await writeSome(50);
    // Each of these would take three seconds at that disk.
    expect(performance.now() - began).toBeLessThan(20_000);
    preload.set(slow, []);
    await trouble.cluster.converged();
    const primary = await trouble.cluster.primary();
    preload.set(primary, [{ what: 'slow', call: 'write', file: 'segment-', us: 5_000_000 }]);
    await until('another takes over', async () => {
      await writeSome(5);
      return (await trouble.cluster.primary()) !== primary;
    });
    const after = performance.now();
    await writeSome(50);
    expect(performance.now() - after).toBeLessThan(20_000);
    preload.set(primary, []);
    await trouble.cluster.converged();
    expect(await missing(trouble)).toEqual([]);
  }, 180_000);

  test('in the end every log is intact', async () => {
    for (const replica of [0, 1, 2]) {
      await trouble.cluster.signal(replica, 'SIGTERM');
      const { config } = trouble.cluster.members[replica] ?? { config: '' };
      expect(await problemsOf(join(config, '..', `node-${replica}`))).toEqual([]);
    }
  }, 120_000);
});
