import {
  assert,
  type CheckpointRef,
  type Checksum,
  checkpointPartBytes,
  checkpointPartsMax,
  encodeManifest,
  err,
  ok,
  type PrepareHeader,
  type Result,
} from '@kimberlite/base';
import { encodeCheckpointHeader, padded } from './checkpoint-file.ts';
import type { CheckpointFiles } from './checkpoint-files.ts';
import { type Done, inTurn } from './completion.ts';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import { alignToBlock, blockBytes, checkpointFile, type LogIdentity, unfinishedName } from './layout.ts';

/** Parts appended between two syncs: what waits to reach the disk stays small, and so do the appends' own syncs. */
const partsPerSync = 4;

export interface CheckpointWriterOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly files: CheckpointFiles;
  readonly onFailure: (error: DiskError) => void;
}

/** Cuts pieces of any length into parts. */
class PartCutter {
  private readonly content: Iterator<Uint8Array>;
  private readonly part = new Uint8Array(checkpointPartBytes);
  private rest: Uint8Array = new Uint8Array(0);
  private ended = false;

  constructor(content: Iterator<Uint8Array>) {
    this.content = content;
  }

  /** The next part, shorter at the end, empty behind it. The bytes last until the next call. */
  next(): Uint8Array {
    let length = 0;
    while (length < checkpointPartBytes) {
      if (this.rest.length === 0) {
        if (this.ended) break;
        const drawn = this.content.next();
        if (drawn.done === true) this.ended = true;
        else this.rest = drawn.value;
        continue;
      }
      const piece = this.rest.subarray(0, checkpointPartBytes - length);
      this.part.set(piece, length);
      this.rest = this.rest.subarray(piece.length);
      length += piece.length;
    }
    return this.part.subarray(0, length);
  }
}

interface Writing {
  readonly header: PrepareHeader;
  readonly file: string;
  readonly cutter: PartCutter;
  readonly parts: Checksum[];
  contentBytes: number;
}

/**
 * Writes a checkpoint of this replica's own state: under another name until all of it is synced, so that a file of its
 * name is whole but for damage. It grows as it is written, since its length is known only at the end.
 */
export class CheckpointWriter {
  private readonly options: CheckpointWriterOptions;
  private busy = false;
  private stopped = false;
  private closing: (() => void) | null = null;

  constructor(options: CheckpointWriterOptions) {
    this.options = options;
  }

  write(header: PrepareHeader, content: Iterator<Uint8Array>, done: (ref: CheckpointRef | null) => void): void {
    assert(!this.busy, 'one checkpoint is written at a time');
    this.busy = true;
    const { disk, files } = this.options;
    const file = unfinishedName(checkpointFile(header.op));
    const writing: Writing = { header, file, cutter: new PartCutter(content), parts: [], contentBytes: 0 };
    let ref: CheckpointRef | null = null;
    inTurn<DiskError>(
      [
        // Left behind by an attempt that ran out of space.
        (next) => files.remove(file, this.step(next)),
        (next) => disk.create(file, 0, this.step(next)),
        // The header block is written last, when all it says is known.
        (next) => this.append(file, new Uint8Array(blockBytes), next),
        (next) => this.appendParts(writing, next),
        (next) =>
          this.finish(writing, (result) => {
            if (result.ok) ref = result.value;
            next(result.ok ? ok(undefined) : result);
          }),
        (next) => files.rename(file, checkpointFile(header.op), this.step(next)),
      ],
      (result) => {
        if (result.ok) this.publish(() => done(ref));
        else if (result.error.code === 'no-space') this.discard(file, done);
        else this.options.onFailure(result.error);
      },
    );
  }

  /** Nothing completes any more. */
  stop(): void {
    this.stopped = true;
  }

  /** Gives up what is being written; the next start removes it. */
  close(done: () => void): void {
    if (this.busy) this.closing = done;
    else done();
  }

  private end(then: () => void): void {
    this.busy = false;
    if (this.stopped) return;
    const { closing } = this;
    if (closing !== null) return closing();
    then();
  }

  /** The place where a writing that is closed, or whose log is dead, ends. */
  private step(next: Done<DiskError>): Done<DiskError> {
    return (result) => {
      if (this.stopped) return;
      if (this.closing !== null && result.ok) return this.end(() => {});
      next(result);
    };
  }

  private append(file: string, bytes: Uint8Array, next: Done<DiskError>): void {
    const { disk, files } = this.options;
    disk.append(
      file,
      bytes,
      this.step((appended) => {
        if (appended.ok) files.set(file, (files.entry(file)?.sizeBytes ?? 0) + bytes.length);
        next(appended);
      }),
    );
  }

  private appendParts(writing: Writing, done: Done<DiskError>): void {
    const { disk, identity } = this.options;
    const part = writing.cutter.next();
    if (part.length === 0) return done(ok(undefined));
    assert(writing.parts.length < checkpointPartsMax, 'the parts of a checkpoint are within their bound');
    writing.parts.push(identity.hasher(part));
    writing.contentBytes += part.length;
    const goOn: Done<DiskError> = (result) => (result.ok ? this.appendParts(writing, done) : done(result));
    this.append(writing.file, padded(part), (appended) => {
      if (!appended.ok || writing.parts.length % partsPerSync !== 0) return goOn(appended);
      disk.sync(writing.file, this.step(goOn));
    });
  }

  private finish(writing: Writing, done: (result: Result<CheckpointRef, DiskError>) => void): void {
    const { disk, identity } = this.options;
    const { header, contentBytes, parts, file } = writing;
    const manifest = encodeManifest({ header, contentBytes, parts });
    const ref = { header, contentBytes, checksum: identity.hasher(manifest) };
    inTurn<DiskError>(
      [
        (next) => this.append(file, padded(manifest), next),
        (next) => disk.write(file, 0, encodeCheckpointHeader(ref, identity), this.step(next)),
        (next) => disk.sync(file, this.step(next)),
      ],
      (result) => done(result.ok ? ok(ref) : err(result.error)),
    );
  }

  private publish(done: () => void): void {
    this.options.disk.syncDirectory(
      this.step((synced) => {
        if (!synced.ok) return this.options.onFailure(synced.error);
        this.options.mark?.('checkpoint-written');
        this.end(done);
      }),
    );
  }

  /** Nobody relies on a file that has not got its name: that there is no room for it costs the checkpoint alone. */
  private discard(file: string, done: (ref: CheckpointRef | null) => void): void {
    this.options.mark?.('checkpoint-no-space');
    const { files, onFailure } = this.options;
    files.remove(file, (removed) => {
      if (this.stopped) return;
      if (!removed.ok) return onFailure(removed.error);
      this.end(() => done(null));
    });
  }
}

assert(checkpointPartBytes === alignToBlock(checkpointPartBytes), 'only the last part of a checkpoint is padded');
