import { FixedReader } from '@kimberlite/base';
import type { DurableViews } from './checkers/checker.ts';
import type { CrashableDisk } from './machine.ts';

// Where a superblock copy keeps the replica's view and log view (packages/log superblock.ts, packages/vsr
// durable-codec.ts). Read here from the bytes at the port, so that the checker believes the disk and nobody else.
const superblockFile = 'superblock';
const payloadOffset = 128;

function viewsIn(copy: Uint8Array): DurableViews | null {
  const reader = new FixedReader(copy, payloadOffset);
  const view = reader.u64();
  const logView = reader.u64();
  return reader.failed ? null : { view, logView };
}

/** A disk that tells of every view and log view once they are synced in the superblock. */
export function watchSuperblock(disk: CrashableDisk, durable: (views: DurableViews) => void): CrashableDisk {
  /** Written, the completion seen, not yet synced. */
  let written: DurableViews | null = null;
  const later = (a: DurableViews | null, b: DurableViews | null): DurableViews | null => {
    if (a === null || b === null) return a ?? b;
    return { view: Math.max(a.view, b.view), logView: Math.max(a.logView, b.logView) };
  };
  return {
    list: (done) => disk.list(done),
    create: (file, sizeBytes, done) => disk.create(file, sizeBytes, done),
    size: (file, done) => disk.size(file, done),
    read: (file, offset, lengthBytes, done) => disk.read(file, offset, lengthBytes, done),
    write: (file, offset, bytes, done) => {
      const views = file === superblockFile ? viewsIn(bytes) : null;
      disk.write(file, offset, bytes, (result) => {
        if (result.ok) written = later(written, views);
        done(result);
      });
    },
    // The superblock is never written this way: its copies share a sync.
    writeDurable: (file, offset, bytes, done) => disk.writeDurable(file, offset, bytes, done),
    sync: (file, done) => {
      const covered = file === superblockFile ? written : null;
      disk.sync(file, (result) => {
        if (result.ok && covered !== null) durable(covered);
        done(result);
      });
    },
    syncDirectory: (done) => disk.syncDirectory(done),
    rename: (from, to, done) => disk.rename(from, to, done),
    remove: (file, done) => disk.remove(file, done),
    crash: () => {
      written = null;
      disk.crash();
    },
  };
}
