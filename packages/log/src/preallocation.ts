import { err, ok } from '@kimberlite/base';
import { type Done, inTurn } from './completion.ts';
import type { Disk, DiskError } from './disk.ts';
import { encodeFileHeader, fileSizeBytes } from './file-header.ts';
import { type FileKind, fileName, type Geometry, type LogIdentity, unfinishedName } from './layout.ts';

/**
 * Makes a numbered file ready for use: zeros really written, its header, a sync, and only then its name, followed by a
 * sync of the directory (pitfall 27). A crash leaves a file of another name that the next open removes.
 */
export function createNumberedFile(
  options: { readonly disk: Disk; readonly identity: LogIdentity; readonly geometry: Geometry },
  kind: FileKind,
  sequence: number,
  done: Done<DiskError>,
): void {
  const { disk, identity, geometry } = options;
  const file = fileName(kind, sequence);
  const unfinished = unfinishedName(file);
  const sizeBytes = fileSizeBytes(geometry, kind);
  const header = encodeFileHeader({ kind, sequence, sizeBytes }, identity);
  inTurn<DiskError>(
    [
      // Left behind by an attempt that ran out of space.
      (next) => disk.remove(unfinished, (r) => next(r.ok || r.error.code === 'missing' ? ok(undefined) : err(r.error))),
      (next) => disk.create(unfinished, sizeBytes, next),
      (next) => disk.write(unfinished, 0, header, next),
      (next) => disk.sync(unfinished, next),
      (next) => disk.rename(unfinished, file, next),
      (next) => disk.syncDirectory(next),
    ],
    done,
  );
}
