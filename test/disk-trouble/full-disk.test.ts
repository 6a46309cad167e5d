import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { empty, fill, freeBytes, Mounts, whyNoMounts } from './mounts.ts';
import {
  diskRoom,
  logOf,
  missing,
  problemsOf,
  rows,
  startTrouble,
  type Trouble,
  until,
  write,
} from './trouble-cluster.ts';

// Real nodes on small file systems, filled from outside by somebody else's file.

const skipped = whyNoMounts();
const title = skipped === null ? 'full disks' : `full disks (skipped: ${skipped})`;
/** Less than a segment, and more than anything that only changes what is there. */
const leftBytes = 300_000;

describe.skipIf(skipped !== null)(title, () => {
  let mounts: Mounts;
  let trouble: Trouble;
  const disks: string[] = [];
  let next = 1;

  beforeAll(async () => {
    mounts = new Mounts();
    for (const replica of [0, 1, 2]) disks.push(mounts.small(`node-${replica}`, 96));
    // No checkpoint comes while a disk is full: it would make room.
    trouble = await startTrouble({ directory: mounts.directory, settings: { checkpointInterval: 2000 } });
  }, 120_000);

  beforeEach(() => expect([0, 1, 2].every((replica) => trouble.cluster.pid(replica) !== undefined)).toBe(true));
  afterEach(() => disks.forEach((disk) => empty(disk)));

  afterAll(async () => {
    try {
      await trouble?.close();
    } finally {
      mounts?.remove();
    }
  });

  /** Writes until `holds`; every error is given to `onError`. */
  async function writeUntil(
    what: string,
    holds: () => Promise<boolean>,
    onError: (error: unknown) => void,
  ): Promise<void> {
    await until(what, async () => {
      for (let i = 0; i < 20; i++) {
        const id = next++ % 50;
        const error = await write(trouble, id, next, { timeoutMs: 20_000 });
        // What was not acknowledged may be there or not.
        if (error !== null) trouble.acknowledged.delete(id);
        if (error !== null) onError(error);
        if (await holds()) return true;
      }
      return false;
    });
  }

  const unexpected = (error: unknown): never => {
    throw error;
  };

  test('one full disk: the cluster goes on without it, whoever is primary, and it catches up when there is room', async () => {
    const primary = await trouble.cluster.primary();
    fill(disks[primary] ?? '', leftBytes);
    await writeUntil(
      'the primary finds its disk full',
      async () => (await diskRoom(trouble, primary)) === 'none',
      unexpected,
    );
    // Further writes go on at once or after somebody else took over.
    for (let i = 0; i < 200; i++) expect(await write(trouble, next++ % 50, next)).toBeNull();
    expect(await trouble.cluster.primary()).not.toBe(primary);
    expect(logOf(trouble, primary)).toContain('the disk is full');
    empty(disks[primary] ?? '');
    await until('it has room', async () => (await diskRoom(trouble, primary)) === 'enough');
    await trouble.cluster.converged();
    expect(logOf(trouble, primary)).toContain('the disk has room again');
    expect(await missing(trouble)).toEqual([]);
  }, 180_000);

  test('all disks full: writes are refused retryably, reads go on, nobody stops; with room it goes on by itself', async () => {
    const pids = [0, 1, 2].map((replica) => trouble.cluster.pid(replica));
    await trouble.cluster.converged();
    for (const disk of disks) fill(disk, leftBytes);
    const errors: { code?: string; retryable?: boolean; outcome?: string }[] = [];
    await writeUntil(
      'writes are refused',
      async () => errors.some(({ code }) => code === 'DiskFull'),
      (error) => {
        errors.push(error as object);
      },
    );
    const refused = await write(trouble, 1000, 1);
    expect(refused).toMatchObject({ code: 'DiskFull', retryable: true, outcome: 'not-applied' });
    // What was in flight when the room ended has an unknown outcome; all else certainly came to nothing.
    for (const { code, outcome } of errors) expect(['DiskFull', 'Timeout']).toContain(code ?? outcome);
    // Reads, linearizable ones, while writes are refused.
    expect(await missing(trouble)).toEqual([]);
    expect(await rows(trouble).get({ id: 1000 })).toBeNull();
    expect(disks.every((disk) => freeBytes(disk) >= 0)).toBe(true);
    for (const disk of disks) empty(disk);
    await until('writes go on', async () => (await write(trouble, 1000, 2)) === null);
    await trouble.cluster.converged();
    expect([0, 1, 2].map((replica) => trouble.cluster.pid(replica))).toEqual(pids);
    expect(await missing(trouble)).toEqual([]);
    for (const replica of [0, 1, 2]) expect(logOf(trouble, replica)).not.toContain('cannot go on');
  }, 180_000);

  test('a node that was full is restarted, full or not, and every log is intact', async () => {
    fill(disks[0] ?? '', 0);
    await trouble.cluster.signal(0, 'SIGKILL');
    trouble.cluster.start(0);
    let last: unknown;
    await until('it is back', async () => {
      last = await trouble.cluster.status(0);
      return (await trouble.cluster.status(0))?.status === 'normal';
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; last seen: ${JSON.stringify(last)}; ${logOf(trouble, 0).slice(-2000)}`);
    });
    empty(disks[0] ?? '');
    for (let i = 0; i < 100; i++) expect(await write(trouble, next++ % 50, next)).toBeNull();
    await trouble.cluster.converged();
    for (const replica of [0, 1, 2]) {
      await trouble.cluster.signal(replica, 'SIGTERM');
      expect(await problemsOf(join(mounts.directory, `node-${replica}`))).toEqual([]);
    }
    trouble.cluster.startAll();
    await trouble.cluster.converged();
    expect(await missing(trouble)).toEqual([]);
  }, 180_000);
});
