import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Result, seedRandom } from '@kimberlite/base';
import type { Disk, DiskError } from '@kimberlite/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFileDisk } from '../packages/node/src/file-disk.ts';
import { createSimDisk } from '../sim/src/disk.ts';

// What the log may expect of any disk, held against the real one and the simulated one alike.

interface Subject {
  readonly disk: Disk;
  readonly end: () => Promise<void>;
}

const subjects: Record<string, () => Promise<Subject>> = {
  file: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'kimberlite-disk-'));
    const disk = createFileDisk({ directory });
    return {
      disk,
      end: async () => {
        await new Promise<void>((resolve) => disk.close(resolve));
        await rm(directory, { recursive: true });
      },
    };
  },
  simulated: async () => {
    const schedule = (_delayUs: number, fn: () => void): void => void setImmediate(fn);
    return { disk: createSimDisk({ schedule, random: seedRandom(7) }), end: async () => {} };
  },
};

/** The call's result; fails when a completion comes at once or twice. */
function call<T>(start: (done: (result: Result<T, DiskError>) => void) => void): Promise<Result<T, DiskError>> {
  return new Promise((resolve, reject) => {
    let returned = false;
    let calls = 0;
    start((result) => {
      calls += 1;
      if (!returned) reject(new Error('a completion came before the call had returned'));
      if (calls > 1) reject(new Error('a second completion came'));
      setImmediate(() => resolve(result));
    });
    returned = true;
  });
}

const code = <T>(result: Result<T, DiskError>): string => (result.ok ? 'ok' : result.error.code);
const valueOf = <T>(result: Result<T, DiskError>): T => {
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
};

describe.each(Object.keys(subjects))('%s disk', (name) => {
  let disk: Disk;
  let end: () => Promise<void>;

  beforeEach(async () => {
    const subject = await subjects[name]?.();
    if (subject === undefined) throw new Error('no such disk');
    ({ disk, end } = subject);
  });
  afterEach(() => end());

  const create = (file: string, size: number) => call<void>((done) => disk.create(file, size, done));
  const read = (file: string, offset: number, length: number) =>
    call<Uint8Array>((done) => disk.read(file, offset, length, done));
  const write = (file: string, offset: number, bytes: Uint8Array) =>
    call<void>((done) => disk.write(file, offset, bytes, done));
  const list = () => call<readonly string[]>((done) => disk.list(done));

  it('creates files of zeros, lists them in order and tells their size', async () => {
    expect(valueOf(await list())).toEqual([]);
    expect(code(await create('b', 3_000_000))).toBe('ok');
    expect(code(await create('a', 0))).toBe('ok');
    expect(valueOf(await list())).toEqual(['a', 'b']);
    expect(valueOf(await call<number>((done) => disk.size('b', done)))).toBe(3_000_000);
    const bytes = valueOf(await read('b', 2_000_000, 1_000_000));
    expect(bytes).toHaveLength(1_000_000);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    expect(code(await create('b', 1))).toBe('exists');
  });

  it('reads back what was written, exactly, and nothing else changes', async () => {
    await create('f', 10_000);
    const bytes = new Uint8Array(5000).map((_, i) => i + 1);
    expect(code(await write('f', 1234, bytes))).toBe('ok');
    expect(valueOf(await read('f', 1234, 5000))).toEqual(bytes);
    expect(valueOf(await read('f', 1233, 2))).toEqual(new Uint8Array([0, 1]));
    expect(valueOf(await read('f', 6234, 1))).toEqual(new Uint8Array([0]));
    expect(valueOf(await read('f', 10_000, 0))).toHaveLength(0);
  });

  it('hands out bytes that belong to the caller', async () => {
    await create('f', 100);
    const first = valueOf(await read('f', 0, 100));
    first.fill(9);
    expect(valueOf(await read('f', 0, 100)).every((byte) => byte === 0)).toBe(true);
  });

  it('says what is missing and what is too short', async () => {
    expect(code(await read('none', 0, 1))).toBe('missing');
    expect(code(await write('none', 0, new Uint8Array(1)))).toBe('missing');
    expect(code(await call<void>((done) => disk.sync('none', done)))).toBe('missing');
    expect(code(await call<number>((done) => disk.size('none', done)))).toBe('missing');
    expect(code(await call<void>((done) => disk.remove('none', done)))).toBe('missing');
    expect(code(await call<void>((done) => disk.rename('none', 'other', done)))).toBe('missing');
    await create('f', 100);
    expect(code(await read('f', 90, 11))).toBe('short');
    expect(code(await read('f', 90, 10))).toBe('ok');
  });

  it('keeps contents across sync, rename and removal of others', async () => {
    await create('f', 100);
    await create('g', 100);
    await write('f', 0, new Uint8Array([1, 2, 3]));
    expect(code(await call<void>((done) => disk.sync('f', done)))).toBe('ok');
    expect(code(await call<void>((done) => disk.rename('f', 'h', done)))).toBe('ok');
    expect(code(await call<void>((done) => disk.syncDirectory(done)))).toBe('ok');
    expect(code(await call<void>((done) => disk.remove('g', done)))).toBe('ok');
    expect(valueOf(await list())).toEqual(['h']);
    expect(valueOf(await read('h', 0, 4))).toEqual(new Uint8Array([1, 2, 3, 0]));
    expect(code(await read('f', 0, 1))).toBe('missing');
    expect(code(await create('f', 10))).toBe('ok');
    expect(valueOf(await read('f', 0, 1))).toEqual(new Uint8Array([0]));
    expect(valueOf(await read('h', 0, 1))).toEqual(new Uint8Array([1]));
  });

  it('writes durably into old files and new ones, and says what is missing', async () => {
    const writeDurable = (file: string, offset: number, bytes: Uint8Array) =>
      call<void>((done) => disk.writeDurable(file, offset, bytes, done));
    await create('f', 8192);
    expect(code(await writeDurable('f', 4096, new Uint8Array([1, 2, 3])))).toBe('ok');
    expect(code(await call<void>((done) => disk.sync('f', done)))).toBe('ok');
    expect(code(await call<void>((done) => disk.rename('f', 'g', done)))).toBe('ok');
    expect(code(await writeDurable('g', 4098, new Uint8Array([4, 5])))).toBe('ok');
    expect(valueOf(await read('g', 4095, 6))).toEqual(new Uint8Array([0, 1, 2, 4, 5, 0]));
    expect(code(await writeDurable('f', 0, new Uint8Array(1)))).toBe('missing');
  });

  it('grows files at their end, also under another name and after a sync', async () => {
    const append = (file: string, bytes: Uint8Array) => call<void>((done) => disk.append(file, bytes, done));
    const sync = (file: string) => call<void>((done) => disk.sync(file, done));
    expect(code(await append('f', new Uint8Array(1)))).toBe('missing');
    await create('f', 0);
    expect(code(await append('f', new Uint8Array(5000).fill(1)))).toBe('ok');
    expect(code(await sync('f'))).toBe('ok');
    expect(code(await append('f', new Uint8Array(4000).fill(2)))).toBe('ok');
    expect(code(await call<void>((done) => disk.rename('f', 'g', done)))).toBe('ok');
    expect(code(await append('g', new Uint8Array([3])))).toBe('ok');
    expect(code(await append('g', new Uint8Array(0)))).toBe('ok');
    expect(code(await sync('g'))).toBe('ok');
    expect(valueOf(await call<number>((done) => disk.size('g', done)))).toBe(9001);
    expect(valueOf(await read('g', 4999, 3))).toEqual(new Uint8Array([1, 2, 2]));
    expect(valueOf(await read('g', 8999, 2))).toEqual(new Uint8Array([2, 3]));
    expect(code(await read('g', 9000, 2))).toBe('short');
    expect(code(await write('g', 8999, new Uint8Array([4, 5])))).toBe('ok');
    expect(valueOf(await read('g', 8999, 2))).toEqual(new Uint8Array([4, 5]));
  });

  it('a file may be removed or replaced while it is read', async () => {
    await create('f', 4096);
    await create('g', 4096);
    await write('g', 0, new Uint8Array([7]));
    const reads = Array.from({ length: 20 }, () => read('f', 0, 4096));
    const removed = call<void>((done) => disk.rename('g', 'f', done));
    for (const result of await Promise.all(reads)) expect(['ok', 'missing']).toContain(code(result));
    expect(code(await removed)).toBe('ok');
    expect(valueOf(await read('f', 0, 1))).toEqual(new Uint8Array([7]));
    const more = Array.from({ length: 20 }, () => read('f', 0, 4096));
    expect(code(await call<void>((done) => disk.remove('f', done)))).toBe('ok');
    for (const result of await Promise.all(more)) expect(['ok', 'missing']).toContain(code(result));
    expect(code(await read('f', 0, 1))).toBe('missing');
  });

  it('a renamed file replaces one of that name', async () => {
    await create('old', 10);
    await create('new', 20);
    await read('old', 0, 1);
    expect(code(await call<void>((done) => disk.rename('new', 'old', done)))).toBe('ok');
    expect(valueOf(await list())).toEqual(['old']);
    expect(valueOf(await call<number>((done) => disk.size('old', done)))).toBe(20);
    expect(valueOf(await read('old', 0, 20))).toHaveLength(20);
  });

  it('takes many calls at once, on one file and on many', async () => {
    const files = Array.from({ length: 100 }, (_, i) => `f${i}`);
    for (const result of await Promise.all(files.map((file) => create(file, 4096)))) expect(code(result)).toBe('ok');
    await Promise.all(files.map((file, i) => write(file, i, new Uint8Array([i + 1]))));
    const all = await Promise.all(files.map((file, i) => read(file, i, 1)));
    expect(all.map((result) => valueOf(result)[0])).toEqual(files.map((_, i) => i + 1));
    await Promise.all(files.map((_, i) => write('f0', i * 8, new Uint8Array(8).fill(i))));
    expect(valueOf(await read('f0', 99 * 8, 8))).toEqual(new Uint8Array(8).fill(99));
    expect(valueOf(await list())).toHaveLength(100);
  });
});
