import { type CheckpointRef, err, type Op, ok } from '@kimberlite/base';
import type { CheckpointEntry, CheckpointFiles } from './checkpoint-files.ts';
import type { CheckpointReceiver } from './checkpoint-receiver.ts';
import { type Done, eachInTurn, inTurn, type Task } from './completion.ts';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import type { FileAllocator } from './file-allocator.ts';
import type { GroupCommit } from './group-commit.ts';
import { type FileKind, type Geometry, headerPlace, parseFileName } from './layout.ts';
import type { LocationIndex } from './location-index.ts';
import type { Trim } from './superblock.ts';
import type { SuperblockWrites } from './superblock-writes.ts';

export interface TrimmingOptions extends MarkPort {
  readonly disk: Disk;
  readonly geometry: Geometry;
  readonly index: LocationIndex;
  readonly files: FileAllocator;
  readonly commit: GroupCommit;
  readonly checkpoints: CheckpointFiles;
  readonly receiver: CheckpointReceiver;
  readonly superblock: SuperblockWrites;
  readonly onFailure: (error: DiskError) => void;
}

/**
 * Moves the low end of the log up. The superblock says so, durably, before a file is removed: from then on one that is
 * missing below is no loss, one that is left there no part of the log. Files go lowest first.
 */
export class Trimming {
  private readonly options: TrimmingOptions;
  private asked = 0;
  private readonly doomed = new Map<string, CheckpointEntry>();
  private isAsked = false;
  private busy = false;
  private stopped = false;
  private onIdle: (() => void) | null = null;
  /** The lowest op that is read or written, from the moment a trim begins. */
  lowest: number;

  constructor(options: TrimmingOptions) {
    this.options = options;
    this.lowest = options.superblock.trim.op;
  }

  trim(op: Op, keep: readonly CheckpointRef[]): void {
    this.asked = Math.max(this.asked, op);
    this.doom(op, keep);
    this.isAsked = true;
    // Or the trim would wait for the room that it is to make.
    if (this.options.files.isFull) this.options.commit.dropWaiting(op);
    this.pump();
  }

  stop(): void {
    this.stopped = true;
  }

  whenIdle(done: () => void): void {
    this.onIdle = done;
    this.pump();
  }

  /** As the files are now: one that gets such a name later is another one. */
  private doom(op: number, keep: readonly CheckpointRef[]): void {
    const { checkpoints, receiver } = this.options;
    const kept = new Set(keep.map(({ header }) => header.op as number));
    const newest = Math.max(0, ...kept);
    this.doomed.clear();
    for (const file of checkpoints.names()) {
      const known = parseFileName(file);
      const entry = checkpoints.entry(file);
      if (entry === null || (known?.type !== 'checkpoint' && known?.type !== 'receiving')) continue;
      // Written, and whoever asks for the trim has not been told yet; or received, or to be gone on with.
      const isComing =
        known.op > newest || (known.type === 'receiving' && (known.op >= op || receiver.isReceiving(file)));
      if (!kept.has(known.op) && !isComing) this.doomed.set(file, entry);
    }
  }

  private pump(): void {
    if (this.busy || this.stopped) return;
    if (this.isAsked) return this.run();
    const idle = this.onIdle;
    this.onIdle = null;
    idle?.();
  }

  private run(): void {
    const { geometry, index, files, commit, superblock, mark } = this.options;
    this.isAsked = false;
    const op = Math.max(this.lowest, Math.min(this.asked, commit.lowestPending()));
    const doomed = new Map(this.doomed);
    this.doomed.clear();
    const segment = Math.min(files.current, index.lowestSegment(op) ?? files.current);
    const trim: Trim = { op, segment: Math.max(segment, superblock.trim.segment) };
    const isMoved = trim.op > superblock.trim.op || trim.segment > superblock.trim.segment;
    if (!isMoved && doomed.size === 0) return this.pump();
    this.busy = true;
    if (!isMoved) return this.removeFiles([], doomed);
    mark?.('log-trimmed');
    this.lowest = op;
    index.dropBelow(op);
    const lowest: Record<FileKind, number> = { segment: trim.segment, headers: headerPlace(geometry, op).sequence };
    files.holdHeaders(lowest.headers);
    superblock.write({ trim }, () =>
      files.whenIdle(() => {
        if (!this.stopped) this.removeFiles(files.moveLowEnd(lowest), doomed);
      }),
    );
  }

  private removeFiles(logFiles: readonly string[], doomed: ReadonlyMap<string, CheckpointEntry>): void {
    const { disk, checkpoints, receiver, files, onFailure } = this.options;
    const removeLogFile = (file: string, done: Done<DiskError>): void =>
      disk.remove(file, (removed) => {
        const isGone = removed.ok || removed.error.code === 'missing';
        done(isGone ? ok(undefined) : err(removed.error));
      });
    const removeCheckpoint = (file: string, done: Done<DiskError>): void => {
      const remove: Task<DiskError> = (next) => {
        if (checkpoints.entry(file) !== doomed.get(file)) return next(ok(undefined));
        checkpoints.remove(file, next);
      };
      receiver.remove(file, remove, done);
    };
    inTurn<DiskError>(
      [
        (next) => eachInTurn(logFiles, removeLogFile, next),
        (next) => eachInTurn([...doomed.keys()], removeCheckpoint, next),
        (next) => disk.syncDirectory(next),
      ],
      (result) => {
        if (this.stopped) return;
        if (!result.ok) return onFailure(result.error);
        this.busy = false;
        files.freed();
        this.pump();
      },
    );
  }
}
