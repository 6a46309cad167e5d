import { assert } from '@kimberlite/base';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import { fileSizeBytes } from './file-header.ts';
import {
  blockBytes,
  type FileKind,
  fileName,
  type Geometry,
  headerPlace,
  type Location,
  type LogIdentity,
} from './layout.ts';
import { createNumberedFile } from './preallocation.ts';

export interface FileAllocatorOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly geometry: Geometry;
  /** Sequence of the segment that is appended to, and where. */
  readonly segment: number;
  readonly offset: number;
  /** Lowest and highest sequence of each kind that exists; the highest is one below the lowest when there is none. */
  readonly existing: Readonly<Record<FileKind, { readonly lowest: number; readonly highest: number }>>;
  /** Bytes that new files leave free: the next checkpoint, which is what frees space, must find room. */
  readonly reserveBytes: () => number;
  /** A file became ready. */
  readonly onReady: () => void;
  /** An append waits for a file for which there is no space; or none does any more. */
  readonly onFull: (full: boolean) => void;
  readonly onFailure: (error: DiskError) => void;
}

/** Failed attempts to make a file ahead of need are repeated no sooner than after this many appends. */
const retryAppends = 1024;

/**
 * Hands out space and makes the next segment and headers file before they are needed, so that an append does not wait.
 * Want of space is met here, before anything of a record is written: ahead of need it is only noted (`lowOnSpace`); an
 * append that needs the file waits until there is room, which is looked for again when files went and when told to.
 */
export class FileAllocator {
  private readonly options: FileAllocatorOptions;
  private segment: number;
  private offset: number;
  private readonly lowest: Record<FileKind, number>;
  private readonly existing: Record<FileKind, number>;
  private readonly making: Record<FileKind, boolean> = { segment: false, headers: false };
  private readonly needed: Record<FileKind, boolean> = { segment: false, headers: false };
  private readonly restAppends: Record<FileKind, number> = { segment: 0, headers: 0 };
  /** Needed, and there was no space for it. */
  private readonly lacking: Record<FileKind, boolean> = { segment: false, headers: false };
  private stopped = false;
  /** No headers file is asked for: the low end of the log is about to pass the highest one. */
  private headersHeld = false;
  private onIdle: (() => void)[] = [];
  /** The last attempt to make a file ahead of need ran out of space. */
  lowOnSpace = false;

  constructor(options: FileAllocatorOptions) {
    this.options = options;
    this.segment = options.segment;
    this.offset = options.offset;
    const { segment, headers } = options.existing;
    this.lowest = { segment: segment.lowest, headers: headers.lowest };
    this.existing = { segment: segment.highest, headers: headers.highest };
  }

  /** Sequence of the lowest file that is kept. */
  lowestOf(kind: FileKind): number {
    return this.lowest[kind];
  }

  /** Sequence of the segment that is appended to. */
  get current(): number {
    return this.segment;
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
    assert(sequence >= this.lowest.headers, 'nothing is written below the low end of the log');
    if (this.headersHeld) return false;
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
    const count = (kind: FileKind): number => this.existing[kind] - this.lowest[kind] + 1;
    return (
      count('segment') * fileSizeBytes(geometry, 'segment') + count('headers') * fileSizeBytes(geometry, 'headers')
    );
  }

  /**
   * The low end is going to move up to that headers file. When it passes the highest one, those in between are never
   * made; and none is made above a gap before the superblock says where the log begins.
   */
  holdHeaders(sequence: number): void {
    if (sequence > this.existing.headers + 1) this.headersHeld = true;
  }

  /** The superblock says so now, and no file is being made. Returns the files that may go, lowest first. */
  moveLowEnd(lowest: Readonly<Record<FileKind, number>>): readonly string[] {
    assert(!this.making.segment && !this.making.headers, 'the low end moves while no file is being made');
    assert(lowest.segment <= this.segment, 'the segment that is appended to stays');
    const files: string[] = [];
    for (const kind of ['headers', 'segment'] as const) {
      for (let sequence = this.lowest[kind]; sequence < lowest[kind] && sequence <= this.existing[kind]; sequence++) {
        files.push(fileName(kind, sequence));
      }
      this.lowest[kind] = lowest[kind];
      this.existing[kind] = Math.max(this.existing[kind], lowest[kind] - 1);
    }
    this.headersHeld = false;
    return files;
  }

  /** An append waits for a file for which there is no space. */
  get isFull(): boolean {
    return this.lacking.segment || this.lacking.headers;
  }

  /** There may be room again: the next file is tried without waiting. */
  freed(): void {
    for (const kind of ['segment', 'headers'] as const) {
      this.restAppends[kind] = 0;
      if (this.lacking[kind]) this.prepare(kind);
    }
    this.options.onReady();
  }

  stop(): void {
    this.stopped = true;
  }

  whenIdle(done: () => void): void {
    if (this.making.segment || this.making.headers) this.onIdle.push(done);
    else done();
  }

  private require(kind: FileKind): null {
    this.needed[kind] = true;
    // Not at each append that comes to wait: an attempt may cost as much as the file.
    if (this.lacking[kind]) return null;
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
      else if (result.error.code === 'no-space') this.refused(kind);
      else return this.options.onFailure(result.error);
      for (const idle of this.onIdle.splice(0)) this.whenIdle(idle);
    });
  }

  private made(kind: FileKind): void {
    this.existing[kind] += 1;
    this.needed[kind] = false;
    this.lowOnSpace = false;
    this.setLacking(kind, false);
    this.options.onReady();
  }

  private refused(kind: FileKind): void {
    this.options.mark?.('low-on-space');
    this.lowOnSpace = true;
    this.restAppends[kind] = retryAppends;
    if (this.needed[kind]) this.setLacking(kind, true);
  }

  private setLacking(kind: FileKind, lacking: boolean): void {
    const before = this.isFull;
    this.lacking[kind] = lacking;
    if (this.isFull === before) return;
    this.options.mark?.(this.isFull ? 'log-full' : 'log-goes-on');
    this.options.onFull(this.isFull);
  }
}
