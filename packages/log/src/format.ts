import { assert, err, isNatural, ok, type Result } from '@kimberlite/base';
import { type Done, eachInTurn, inTurn, type Task } from './completion.ts';
import type { Disk, DiskError } from './disk.ts';
import { fileSizeBytes } from './file-header.ts';
import {
  blockBytes,
  defaultGeometry,
  type FileKind,
  fileName,
  type Geometry,
  isGeometry,
  isZero,
  type LogIdentity,
  parseFileName,
  superblockFile,
  unfinishedName,
} from './layout.ts';
import { diskFailure, type LogError } from './log-error.ts';
import { createNumberedFile } from './preallocation.ts';
import { nothingTrimmed, superblockBytes, writeSuperblock } from './superblock.ts';

export interface FormatOptions extends LogIdentity {
  readonly disk: Disk;
  /** Payload of the first superblock. */
  readonly superblock: Uint8Array;
  /** Sizes of files, for good. Smaller ones are for tests and the simulator. */
  readonly geometry?: Geometry;
}

/** The error of the disk as one of the log. */
export const withDisk =
  (task: Task<DiskError>): Task<LogError> =>
  (done) =>
    task((result) => done(result.ok ? result : err(diskFailure(result.error))));

const scanBytes = 1_048_576;

/** True when nothing was ever written behind the file header. */
function isUntouched(
  disk: Disk,
  file: string,
  sizeBytes: number,
  done: (result: Result<boolean, DiskError>) => void,
): void {
  const checkFrom = (offset: number): void => {
    if (offset >= sizeBytes) return done(ok(true));
    disk.read(file, offset, Math.min(scanBytes, sizeBytes - offset), (read) => {
      if (!read.ok) return done(read);
      if (!isZero(read.value)) return done(ok(false));
      checkFrom(offset + scanBytes);
    });
  };
  checkFrom(blockBytes);
}

const alreadyFormatted = (file: string, detail: string): LogError => ({
  kind: 'already-formatted',
  message: `${file} exists: ${detail}`,
  file,
});

/** Removes what an interrupted format left, or refuses because it may be a log. */
function clearLeftovers(disk: Disk, geometry: Geometry, files: readonly string[], done: Done<LogError>): void {
  if (files.includes(superblockFile)) {
    return done(
      err(
        alreadyFormatted(superblockFile, 'the directory is formatted already. To start over, use another directory.'),
      ),
    );
  }
  const first: readonly FileKind[] = ['segment', 'headers'];
  const leftovers = files.filter((file) => parseFileName(file) !== null);
  const clear = (file: string, finished: Done<LogError>): void => {
    const remove = (): void => withDisk((removed) => disk.remove(file, removed))(finished);
    if (parseFileName(file)?.type === 'unfinished') return remove();
    const kind = first.find((candidate) => fileName(candidate, 1) === file);
    const refuse = (): void =>
      finished(err(alreadyFormatted(file, 'it holds a log whose superblock is gone. This replica must be replaced.')));
    if (kind === undefined) return refuse();
    disk.size(file, (size) => {
      if (!size.ok) return finished(err(diskFailure(size.error)));
      isUntouched(disk, file, size.value, (untouched) => {
        if (!untouched.ok) return finished(err(diskFailure(untouched.error)));
        if (untouched.value) remove();
        else refuse();
      });
    });
  };
  assert(fileSizeBytes(geometry, 'segment') > 0, 'segments have a size');
  eachInTurn(leftovers, clear, done);
}

/**
 * Prepares an empty directory. The superblock gets its name last, so that an interrupted format is known for one, and
 * formatting again finishes it.
 */
export function formatLog(options: FormatOptions, done: (result: Result<void, LogError>) => void): void {
  const { disk, cluster, replica, hasher, superblock: payload } = options;
  const geometry = options.geometry ?? defaultGeometry;
  assert(isGeometry(geometry), 'sizes of files are within their bounds');
  assert(isNatural(replica), 'a replica has a number');
  const unfinished = unfinishedName(superblockFile);
  const first = { cluster, replica, sequence: 1, geometry, trim: nothingTrimmed, payload };
  const make = (kind: FileKind): Task<LogError> =>
    withDisk((next) => createNumberedFile({ disk, identity: options, geometry }, kind, 1, next));
  disk.list((files) => {
    if (!files.ok) return done(err(diskFailure(files.error)));
    inTurn<LogError>(
      [
        (next) => clearLeftovers(disk, geometry, files.value, next),
        make('headers'),
        make('segment'),
        withDisk((next) => disk.create(unfinished, superblockBytes, next)),
        (next) => writeSuperblock(disk, hasher, first, next, unfinished),
        withDisk((next) => disk.rename(unfinished, superblockFile, next)),
        withDisk((next) => disk.syncDirectory(next)),
      ],
      done,
    );
  });
}
