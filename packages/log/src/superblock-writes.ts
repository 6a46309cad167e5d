import type { Disk, DiskError } from './disk.ts';
import { type LogIdentity, superblockFile } from './layout.ts';
import { type Superblock, type Trim, writeSuperblock } from './superblock.ts';

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
    const idle = this.onIdle;
    this.onIdle = null;
    idle?.();
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
