import { expect, test } from 'vitest';
import { FixedWriter, seedRandom } from '@kimberlite/base';
import { watchDisk } from '../src/checkers/superblocks.ts';
import { SimDisk } from '../src/disk.ts';

const copyBytes = 16_384;

/** A copy of a superblock as far as checkers read it. */
function copyOfView(view: number): Uint8Array {
  const writer = new FixedWriter(copyBytes);
  writer.raw(new Uint8Array(128)).u64(view).u64(view).u64(0).u64(0).u32(0).u32(0);
  return writer.bytes;
}

function watched(): {
  readonly platter: SimDisk;
  readonly disk: ReturnType<typeof watchDisk>;
  readonly heard: number[];
} {
  const platter = new SimDisk({ schedule: (_, run) => run(), random: seedRandom(1) });
  const heard: number[] = [];
  const disk = watchDisk(platter, {
    wrote: () => {},
    superblockWritten: () => {},
    superblockSynced: ({ view }) => heard.push(view),
    wiped: () => {},
    removed: () => {},
    synced: null,
  });
  disk.create('superblock', 4 * copyBytes, () => {});
  disk.syncDirectory(() => {});
  disk.write('superblock', 0, copyOfView(5), () => {});
  disk.sync('superblock', () => {});
  return { platter, disk, heard };
}

const done = (): void => {};

test('a superblock is heard of once its sync has ended', () => {
  const { disk, heard } = watched();
  disk.write('superblock', copyBytes, copyOfView(6), done);
  expect(heard).toEqual([5]);
  disk.sync('superblock', done);
  expect(heard).toEqual([5, 6]);
});

test('a copy that outlived its process counts once the next one has synced it', () => {
  const { platter, disk, heard } = watched();
  disk.write('superblock', copyBytes, copyOfView(6), done);
  platter.nextCrashKeeps = 'everything';
  disk.crash();
  expect(heard).toEqual([5]);
  disk.sync('superblock', done);
  expect(heard).toEqual([5, 6]);
});

test('a copy that went with the power never counts', () => {
  const { platter, disk, heard } = watched();
  disk.write('superblock', copyBytes, copyOfView(6), done);
  platter.nextCrashKeeps = 'nothing';
  disk.crash();
  disk.sync('superblock', done);
  expect(heard).toEqual([5]);
});
