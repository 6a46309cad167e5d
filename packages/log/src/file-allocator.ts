import { assert } from '@kimberlite/base';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import { fileSizeBytes } from './file-header.ts';
import { blockBytes, type FileKind, type Geometry, headerPlace, type Location, type LogIdentity } from './layout.ts';
import { createNumberedFile } from './preallocation.ts';

export interface FileAllocatorOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly geometry: Geometry;
  /** Sequence of the segment that is appended to, and where. */
  readonly segment: number;
  readonly offset: number;
  /** Highest sequence of each kind that exists. */
  readonly segments: number;
  readonly headers: number;
  /** A file became ready. */
  readonly onReady: () => void;
  /** An append waits for a file that cannot be made. */
  readonly onFailure: (error: DiskError) => void;
}

/** Failed attempts to make a file ahead of need are repeated no sooner than after this many appends. */
const retryAppends = 1024;

/**
 * Hands out space and makes the next segment and headers file before they are needed, so that an append does not wait.
 * A failure ahead of need is only noted (`lowOnSpace`); it is final when an append really cannot go on.
 */
export class FileAllocator {
  private readonly options: FileAllocatorOptions;
  private segment: number;
  private offset: number;
  private readonly existing: Record<FileKind, number>;
  private readonly making: Record<FileKind, boolean> = { segment: false, headers: false };
  private readonly needed: Record<FileKind, boolean> = { segment: false, headers: false };
  private readonly restAppends: Record<FileKind, number> = { segment: 0, headers: 0 };
  private stopped = false;
  private onIdle: (() => void) | null = null;
  /** The last attempt to make a file ahead of need ran out of space. */
  lowOnSpace = false;

  constructor(options: FileAllocatorOptions) {
    this.options = options;
    this.segment = options.segment;
    this.offset = options.offset;
    this.existing = { segment: options.segments, headers: options.headers };
  }

  /** True when the record goes into the current segment. */
  fits(extentBytes: number): boolean {
    return this.offset + extentBytes <= this.options.geometry.segmentBytes;
  }

  /** Space for a record, or null while the next segment is being made. */
  reserveBody(extentBytes: number, lengthBytes: number): Location | null {
    if (!this.fits(extentBytes)) {
      if (this.existing.segment === this.segment) return this.require('segment');
      this.segment += 1;
      this.offset = blockBytes;
    }
    assert(this.fits(extentBytes), 'the largest record fits an empty segment');
    const place = { segment: this.segment, offset: this.offset, lengthBytes };
    this.offset += extentBytes;
    // Making a segment takes longer than filling the rest of one at full speed would, if it began late.
    if (this.existing.segment === this.segment) this.prepare('segment');
    return place;
  }

  /** True when the headers file of that op exists. */
  reserveHeader(op: number): boolean {
    const { geometry } = this.options;
    const { sequence, offset } = headerPlace(geometry, op);
    if (sequence > this.existing.headers) {
      this.require('headers');
      return false;
    }
    const isLate = offset * 2 > fileSizeBytes(geometry, 'headers');
    if (isLate && sequence === this.existing.headers) this.prepare('headers');
    return true;
  }

  usedBytes(): number {
    const { geometry } = this.options;
    return (
      this.existing.segment * fileSizeBytes(geometry, 'segment') +
      this.existing.headers * fileSizeBytes(geometry, 'headers')
    );
  }

  stop(): void {
    this.stopped = true;
  }

  whenIdle(done: () => void): void {
    if (this.making.segment || this.making.headers) this.onIdle = done;
    else done();
  }

  private require(kind: FileKind): null {
    this.needed[kind] = true;
    this.restAppends[kind] = 0;
    this.prepare(kind);
    return null;
  }

  private prepare(kind: FileKind): void {
    if (this.making[kind] || this.stopped) return;
    if (this.restAppends[kind] > 0) {
      this.restAppends[kind] -= 1;
      return;
    }
    this.making[kind] = true;
    createNumberedFile(this.options, kind, this.existing[kind] + 1, (result) => {
      this.making[kind] = false;
      if (this.stopped) return;
      if (result.ok) this.made(kind);
      else if (this.needed[kind] || result.error.code !== 'no-space') return this.options.onFailure(result.error);
      else {
        this.options.mark?.('low-on-space');
        this.lowOnSpace = true;
        this.restAppends[kind] = retryAppends;
      }
      const idle = this.onIdle;
      this.onIdle = null;
      if (idle !== null) this.whenIdle(idle);
    });
  }

  private made(kind: FileKind): void {
    this.existing[kind] += 1;
    this.needed[kind] = false;
    this.lowOnSpace = false;
    this.options.onReady();
  }
}
