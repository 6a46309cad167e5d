import { err, ok } from '@kimberlite/base';
import { type Done, inTurn, type Task } from './completion.ts';
import type { Disk, DiskError } from './disk.ts';
import { encodeFileHeader, fileSizeBytes } from './file-header.ts';
import { type FileKind, fileName, type Geometry, type LogIdentity, unfinishedName } from './layout.ts';

export interface PreallocationOptions {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly geometry: Geometry;
  /** Bytes that must stay free beside the file. Left out: none. */
  readonly reserveBytes?: () => number;
}

/**
 * Makes a numbered file ready for use: zeros really written, its header, a sync, and only then its name, followed by a
 * sync of the directory (pitfall 27). A crash leaves a file of another name that the next open removes. Where there is
 * no space for all of it nothing of it stays: what is left of the disk may be just what a checkpoint needs.
 */
export function createNumberedFile(
  options: PreallocationOptions,
  kind: FileKind,
  sequence: number,
  done: Done<DiskError>,
): void {
  const { disk, identity, geometry } = options;
  const file = fileName(kind, sequence);
  const unfinished = unfinishedName(file);
  const sizeBytes = fileSizeBytes(geometry, kind);
  const header = encodeFileHeader({ kind, sequence, sizeBytes }, identity);
  const clear: Task<DiskError> = (next) =>
    disk.remove(unfinished, (r) => next(r.ok || r.error.code === 'missing' ? ok(undefined) : err(r.error)));
  inTurn<DiskError>(
    [
      // Asked first, so that a disk that is nearly full is not filled to its last byte at every attempt.
      (next) => checkRoom(options, file, sizeBytes, next),
      // Left behind by an attempt whose sync of the directory ran out of space.
      clear,
      (next) => disk.create(unfinished, sizeBytes, next),
      (next) => disk.write(unfinished, 0, header, next),
      (next) => disk.sync(unfinished, next),
      (next) => disk.rename(unfinished, file, next),
      (next) => disk.syncDirectory(next),
    ],
    (result) => {
      if (result.ok || result.error.code !== 'no-space') return done(result);
      clear((cleared) => done(cleared.ok ? result : cleared));
    },
  );
}

function checkRoom(options: PreallocationOptions, file: string, sizeBytes: number, done: Done<DiskError>): void {
  options.disk.free((free) => {
    if (!free.ok) return done(free);
    const wanted = sizeBytes + (options.reserveBytes?.() ?? 0);
    if (free.value >= wanted) return done(ok(undefined));
    done(err({ code: 'no-space', file, message: `${file} needs ${wanted} bytes, and ${free.value} are free` }));
  });
}
