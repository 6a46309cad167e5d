import {
  type CheckpointRef,
  checkpointPartLength,
  checkpointParts,
  err,
  manifestBytes,
  ok,
  type Result,
} from '@kimberlite/base';
import { isPart, manifestOffset, partOffset } from './checkpoint-file.ts';
import { type Done, inTurn } from './completion.ts';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import { checkpointFile, type LogIdentity, parseFileName, superblockFile } from './layout.ts';

/** How much larger than the last one the next checkpoint is taken to be. */
const checkpointGrowth = 1.25;

/** One file of a checkpoint, whole or not. An object of its own for each file that ever had the name. */
export interface CheckpointEntry {
  readonly sizeBytes: number;
}

export interface CheckpointFilesOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  /** Names and sizes as the directory was found. */
  readonly found: ReadonlyMap<string, number>;
}

/** The checkpoint files of a directory, and reading them. Nothing here is fatal: what cannot be read is not there. */
export class CheckpointFiles {
  private readonly options: CheckpointFilesOptions;
  private readonly entries = new Map<string, CheckpointEntry>();
  /** The last manifest that was read and found intact: parts of one checkpoint are read one after another. */
  private manifest: { readonly ref: CheckpointRef; readonly bytes: Uint8Array } | null = null;

  constructor(options: CheckpointFilesOptions) {
    this.options = options;
    for (const [file, sizeBytes] of options.found) this.entries.set(file, { sizeBytes });
  }

  usedBytes(): number {
    let used = 0;
    for (const { sizeBytes } of this.entries.values()) used += sizeBytes;
    return used;
  }

  /**
   * What the next checkpoint will need, going by the largest there is: it and the trim after it are what frees space, so
   * the log leaves that much. What is being written has taken its share already.
   */
  reserveBytes(): number {
    let largest = 0;
    let growing = 0;
    for (const [file, { sizeBytes }] of this.entries) {
      if (parseFileName(file)?.type === 'unfinished') growing += sizeBytes;
      else largest = Math.max(largest, sizeBytes);
    }
    return Math.max(0, Math.ceil(largest * checkpointGrowth) - growing);
  }

  names(): readonly string[] {
    return [...this.entries.keys()];
  }

  entry(file: string): CheckpointEntry | null {
    return this.entries.get(file) ?? null;
  }

  set(file: string, sizeBytes: number): void {
    this.entries.set(file, { sizeBytes });
  }

  private renamed(from: string, to: string): void {
    const sizeBytes = this.entries.get(from)?.sizeBytes ?? 0;
    this.entries.delete(from);
    this.set(to, sizeBytes);
    this.manifest = null;
  }

  delete(file: string): void {
    this.entries.delete(file);
    this.manifest = null;
  }

  /** Removes a file that may be gone already. */
  remove(file: string, done: Done<DiskError>): void {
    this.options.disk.remove(file, (removed) => {
      if (!removed.ok && removed.error.code !== 'missing') return done(removed);
      this.delete(file);
      done(ok(undefined));
    });
  }

  /** Takes the place of a file of that name. Durable with the next sync of the directory. */
  rename(from: string, to: string, done: Done<DiskError>): void {
    this.options.disk.rename(from, to, (renamed) => {
      if (renamed.ok) this.renamed(from, to);
      done(renamed);
    });
  }

  readManifest(ref: CheckpointRef, done: (bytes: Uint8Array | null) => void): void {
    this.readManifestOf(checkpointFile(ref.header.op), ref, done);
  }

  readPart(ref: CheckpointRef, number: number, done: (bytes: Uint8Array | null) => void): void {
    const file = checkpointFile(ref.header.op);
    // Asks the disk for something small, so that this answer too comes after the call has returned.
    const isThere = number >= 0 && number < checkpointParts(ref.contentBytes) && this.entries.has(file);
    if (!isThere) return this.options.disk.size(superblockFile, () => done(null));
    const known = this.manifest;
    if (known !== null && known.ref.checksum === ref.checksum && known.ref.contentBytes === ref.contentBytes) {
      return this.readPartOf(file, ref, known.bytes, number, done);
    }
    this.readManifest(ref, (manifest) => {
      if (manifest === null) return done(null);
      this.manifest = { ref, bytes: manifest };
      this.readPartOf(file, ref, manifest, number, done);
    });
  }

  readManifestOf(file: string, ref: CheckpointRef, done: (bytes: Uint8Array | null) => void): void {
    const { disk, identity } = this.options;
    disk.read(file, manifestOffset(ref.contentBytes), manifestBytes(ref.contentBytes), (read) => {
      const intact = read.ok && identity.hasher(read.value) === ref.checksum;
      if (!intact && this.entries.has(file)) this.options.mark?.('checkpoint-damaged');
      done(intact ? read.value : null);
    });
  }

  readPartOf(
    file: string,
    ref: CheckpointRef,
    manifest: Uint8Array,
    number: number,
    done: (bytes: Uint8Array | null) => void,
  ): void {
    const { disk, identity } = this.options;
    disk.read(file, partOffset(number), checkpointPartLength(ref.contentBytes, number), (read) => {
      const intact = read.ok && isPart(manifest, ref, number, read.value, identity);
      done(intact ? read.value : null);
    });
  }
}

/** Sizes of the checkpoint files in a directory; none is looked into. */
export function listCheckpointFiles(
  disk: Disk,
  files: readonly string[],
  done: (found: Result<Map<string, number>, DiskError>) => void,
): void {
  const sizes = new Map<string, number>();
  const names = files.filter((file) => {
    const type = parseFileName(file)?.type;
    return type === 'checkpoint' || type === 'receiving';
  });
  inTurn<DiskError>(
    names.map(
      (file) => (next: Done<DiskError>) =>
        disk.size(file, (size) => {
          // Beside a running node it may have been removed since.
          if (!size.ok && size.error.code !== 'missing') return next(err(size.error));
          if (size.ok) sizes.set(file, size.value);
          next(ok(undefined));
        }),
    ),
    (result) => done(result.ok ? ok(sizes) : result),
  );
}
