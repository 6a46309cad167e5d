import { checksum, type Checksum, FixedReader } from '@kimberlite/base';
import { type Membership, readMembership, viewsPerEpoch } from '@kimberlite/vsr';
import type { CrashableDisk } from '../machine.ts';
import type { CheckpointView, SuperblockView } from './checker.ts';
import type { Platter } from './platters.ts';

// Where a superblock copy keeps the replica's part (packages/log superblock.ts, packages/vsr durable-codec.ts). Read
// here from the bytes at the port, so that the checkers believe the disk and nobody else.
const superblockFile = 'superblock';
const unfinishedFile = `unfinished-${superblockFile}`;
const payloadOffset = 128;
/** Of one entry behind its id: a prepare's header. */
const headerBytes = 92;
const suffixMax = 64;
const checkpointsMax = 2;

export const emptySuperblock: SuperblockView = {
  view: 0,
  logView: 0,
  commit: 0,
  checkpoint: 0,
  suffix: [],
  incarnation: 0,
  checkpoints: [],
  membership: null,
};

/** What one copy says; null for bytes that are no copy. */
export function readSuperblock(copy: Uint8Array): SuperblockView | null {
  const reader = new FixedReader(copy, payloadOffset);
  const view = reader.u64();
  const logView = reader.u64();
  const commit = reader.u64();
  const checkpoint = reader.u64();
  reader.u32();
  const count = reader.u32();
  if (reader.failed || count > suffixMax) return null;
  const suffix: { op: number; id: Checksum | null }[] = [];
  for (let i = 0; i < count; i++) {
    const op = reader.u64();
    const flags = reader.u8();
    const id = checksum(reader.hex128());
    reader.raw(headerBytes);
    suffix.push({ op, id: (flags & 1) === 0 ? null : id });
  }
  // The interval, and the checkpoint that a quorum has.
  reader.raw(4 + 8 + 16);
  const incarnation = reader.u32();
  // Whether it began without a memory.
  reader.u8();
  const checkpoints = readCheckpoints(reader);
  // The op of a quarantine, which nothing here judges by.
  if (reader.remaining > 0) reader.u64();
  const membership = view < viewsPerEpoch ? null : groupIn(reader);
  return reader.failed ? null : { view, logView, commit, checkpoint, suffix, incarnation, checkpoints, membership };
}

/** Only its reader knows where a group ends; what follows it in a copy is padding. */
function groupIn(reader: FixedReader): Membership | null {
  const membership = readMembership(reader);
  return membership.ok ? membership.value : null;
}

function readCheckpoints(reader: FixedReader): readonly CheckpointView[] {
  const count = Math.min(checkpointsMax, reader.u8());
  return Array.from({ length: count }, () => {
    const header = new FixedReader(reader.raw(headerBytes), 32);
    const op = header.u64();
    const contentBytes = reader.u64();
    return { op, contentBytes, checksum: checksum(reader.hex128()) };
  });
}

/** Of two, the one that was written later: none of its numbers ever goes back. */
const laterOf = (a: SuperblockView | null, b: SuperblockView | null): SuperblockView | null => {
  if (a === null || b === null) return a ?? b;
  const order = a.view - b.view || a.logView - b.logView || a.commit - b.commit || a.checkpoint - b.checkpoint;
  return order > 0 ? a : b;
};

export interface DiskListener {
  readonly wrote: (file: string, offset: number, bytes: Uint8Array) => void;
  readonly superblockWritten: (superblock: SuperblockView) => void;
  readonly superblockSynced: (superblock: SuperblockView) => void;
  /** Another machine, with an empty disk, takes its place. */
  readonly wiped: () => void;
  readonly removed: (file: string) => void;
  /** Of any other file. Null: nobody asks. */
  readonly synced: ((file: string) => void) | null;
}

export type WatchableDisk = CrashableDisk & Pick<Platter, 'holds' | 'isSynced'>;

interface Copy {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly superblock: SuperblockView;
}

/**
 * A disk that tells what is written to it, and of every superblock once it is synced: its write was complete before
 * that sync began, or it outlived the crash of its process and was found whole by a later one.
 */
export function watchDisk(disk: WatchableDisk, listener: DiskListener): CrashableDisk {
  /** Written, the completion seen, not yet synced. */
  let written: SuperblockView | null = null;
  let synced: SuperblockView | null = null;
  /** Of a directory that is being prepared. */
  let formatted: SuperblockView | null = null;
  /** The last write of each copy, by offset. */
  const copies = new Map<number, Copy>();
  /** Copies that a crash may have left there, until a sync of the process that follows settles it. */
  let left: readonly Copy[] = [];
  const isWhole = ({ offset, bytes }: Copy): boolean =>
    disk.holds(superblockFile, offset, bytes) && disk.isSynced(superblockFile, offset, bytes.length);
  const syncOther: CrashableDisk['sync'] = (file, done) => {
    const { synced: tell } = listener;
    if (tell === null) return disk.sync(file, done);
    disk.sync(file, (result) => {
      if (result.ok) tell(file);
      done(result);
    });
  };
  return {
    list: (done) => disk.list(done),
    create: (file, sizeBytes, done) => disk.create(file, sizeBytes, done),
    size: (file, done) => disk.size(file, done),
    read: (file, offset, lengthBytes, done) => disk.read(file, offset, lengthBytes, done),
    write: (file, offset, bytes, done) => {
      if (file !== superblockFile) {
        if (file === unfinishedFile) formatted = readSuperblock(bytes) ?? formatted;
        listener.wrote(file, offset, bytes);
        return disk.write(file, offset, bytes, done);
      }
      const copy = readSuperblock(bytes);
      if (copy !== null) {
        listener.superblockWritten(copy);
        copies.set(offset, { offset, bytes: bytes.slice(), superblock: copy });
      }
      disk.write(file, offset, bytes, (result) => {
        if (result.ok) written = laterOf(written, copy);
        done(result);
      });
    },
    append: (file, bytes, done) => disk.append(file, bytes, done),
    // The superblock is never written this way: its copies share a sync.
    writeDurable: (file, offset, bytes, done) => {
      listener.wrote(file, offset, bytes);
      const { synced: tell } = listener;
      if (tell === null) return disk.writeDurable(file, offset, bytes, done);
      disk.writeDurable(file, offset, bytes, (result) => {
        if (result.ok) tell(file);
        done(result);
      });
    },
    sync: (file, done) => {
      if (file !== superblockFile) return syncOther(file, done);
      const covered = written;
      disk.sync(file, (result) => {
        if (!result.ok) return done(result);
        const found = left.filter(isWhole).map(({ superblock }) => superblock);
        left = [];
        const later = [covered, ...found].reduce(laterOf, synced);
        if (later !== null && later !== synced) {
          synced = later;
          listener.superblockSynced(later);
        }
        done(result);
      });
    },
    syncDirectory: (done) => disk.syncDirectory(done),
    // How a format ends: what is renamed has been synced.
    rename: (from, to, done) =>
      disk.rename(from, to, (result) => {
        if (result.ok && from === unfinishedFile && formatted !== null) {
          synced = formatted;
          listener.superblockSynced(formatted);
        }
        done(result);
      }),
    remove: (file, done) => {
      listener.removed(file);
      disk.remove(file, done);
    },
    free: (done) => disk.free(done),
    wipe: () => {
      written = null;
      synced = null;
      copies.clear();
      left = [];
      listener.wiped();
      disk.wipe();
    },
    crash: () => {
      written = null;
      left = [...copies.values()];
      disk.crash();
    },
  };
}
