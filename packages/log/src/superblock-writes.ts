import type { Disk, DiskError } from './disk.ts';
import { type LogIdentity, superblockFile } from './layout.ts';
import type { LogError } from './log-error.ts';
import {
  isStale,
  readSuperblockCopies,
  rewriteStaleCopies,
  type Superblock,
  type Trim,
  writeSuperblock,
} from './superblock.ts';

/** What a write changes; the rest stays. */
interface Change {
  readonly payload?: Uint8Array;
  readonly trim?: Trim;
}

export interface SuperblockWritesOptions {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly superblock: Superblock;
  readonly onFailure: (error: DiskError) => void;
}

/**
 * The replica's writes and the log's own, one at a time: two at once could leave no whole copy behind. What waits
 * shares the next.
 */
export class SuperblockWrites {
  private readonly options: SuperblockWritesOptions;
  private current: Superblock;
  private waiting: { readonly change: Change; readonly done: () => void }[] = [];
  private mending: ((copies: number) => void)[] = [];
  private busy = false;
  private stopped = false;
  private onIdle: (() => void) | null = null;

  constructor(options: SuperblockWritesOptions) {
    this.options = options;
    this.current = options.superblock;
  }

  get trim(): Trim {
    return this.current.trim;
  }

  write(change: Change, done: () => void): void {
    this.waiting.push({ change, done });
    this.pump();
  }

  /** Reads all copies, and writes those again that are not what was written last. `copies`: how many those were. */
  mend(done: (copies: number) => void): void {
    this.mending.push(done);
    this.pump();
  }

  /** Nothing completes any more. */
  stop(): void {
    this.stopped = true;
  }

  whenIdle(done: () => void): void {
    this.onIdle = done;
    this.pump();
  }

  private pump(): void {
    if (this.busy || this.stopped) return;
    const group = this.waiting;
    if (group.length > 0) return this.writeGroup(group);
    const mend = this.mending.shift();
    if (mend !== undefined) return this.mendNow(mend);
    const idle = this.onIdle;
    this.onIdle = null;
    idle?.();
  }

  private mendNow(done: (copies: number) => void): void {
    const { disk, identity, onFailure } = this.options;
    const failed = ({ cause, message }: LogError): void =>
      onFailure(cause ?? { code: 'io', file: superblockFile, message });
    this.busy = true;
    readSuperblockCopies(disk, identity.hasher, (copies) => {
      if (this.stopped) return;
      if (!copies.ok) return failed(copies.error);
      const bad = copies.value.filter((copy) => isStale(copy, this.current)).length;
      rewriteStaleCopies(disk, identity.hasher, copies.value, this.current, (result) => {
        if (this.stopped) return;
        if (!result.ok) return failed(result.error);
        this.busy = false;
        done(bad);
        this.pump();
      });
    });
  }

  private writeGroup(group: readonly { readonly change: Change; readonly done: () => void }[]): void {
    const { disk, identity, onFailure } = this.options;
    this.waiting = [];
    let next: Superblock = { ...this.current, sequence: this.current.sequence + 1 };
    for (const { change } of group) next = { ...next, ...change };
    this.busy = true;
    writeSuperblock(disk, identity.hasher, next, (result) => {
      if (this.stopped) return;
      if (!result.ok) {
        return onFailure(result.error.cause ?? { code: 'io', file: superblockFile, message: result.error.message });
      }
      this.current = next;
      this.busy = false;
      for (const { done } of group) done();
      this.pump();
    });
  }
}
