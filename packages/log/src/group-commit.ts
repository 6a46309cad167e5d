import { assert, type Prepare } from '@kimberlite/base';
import { together } from './completion.ts';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import type { FileAllocator } from './file-allocator.ts';
import { encodeHeaderRecord } from './header-record.ts';
import {
  fileName,
  type Geometry,
  headerPlace,
  headerRecordBytes,
  type Location,
  type LogIdentity,
  recordBytes,
} from './layout.ts';
import type { LocationIndex } from './location-index.ts';
import { encodeRecordInto } from './record.ts';

/** Bytes of bodies in one write. Holds several of the largest prepares; what is over waits for the next sync. */
const groupBytesMax = 8_388_608;

interface Append {
  readonly prepare: Prepare;
  readonly done: () => void;
}

interface Placed {
  readonly prepare: Prepare;
  readonly place: Location;
  /** The header record is durable; for those who ask for it alone. */
  readonly recorded?: () => void;
}

export interface GroupCommitOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly geometry: Geometry;
  readonly index: LocationIndex;
  readonly files: FileAllocator;
  /** Where appends go on after the opening. */
  readonly segment: number;
  readonly offset: number;
  readonly onFailure: (error: DiskError) => void;
}

/**
 * Two loops, each with at most one durable write under way: bodies into the segment, then header records. Whatever
 * waits when one ends shares the next. An append is complete when its body is durable (pitfall 20); its header record
 * is begun at once and never before, so that a torn body is never taken for one that was acknowledged (pitfall 63).
 * Damage to a body that strikes before its header record is durable, a few milliseconds, and together with a crash,
 * looks like a torn write: the price of one sync less in every acknowledgement, stated in the fault model.
 */
export class GroupCommit {
  private readonly options: GroupCommitOptions;
  private bodies: Append[] = [];
  private headers: Placed[] = [];
  /** Appends under way of what is in the log already. */
  private known = 0;
  /** How many appends of each op are not over, their header records included. */
  private readonly pending = new Map<number, number>();
  /** Of bodies that wait or are being written. */
  private bytesWaiting = 0;
  private bodiesBusy = false;
  private headersBusy = false;
  private stopped = false;
  private onIdle: (() => void) | null = null;

  /** All bodies before this place are durable, or nothing; behind it they are being written. */
  durableEnd: { readonly segment: number; readonly offset: number };

  constructor(options: GroupCommitOptions) {
    this.options = options;
    this.durableEnd = { segment: options.segment, offset: options.offset };
  }

  append(prepare: Prepare, done: () => void): void {
    const { op, id } = prepare.header;
    const { index } = this.options;
    this.pending.set(op, (this.pending.get(op) ?? 0) + 1);
    const place = index.holds(op, id) ? index.place(op) : null;
    if (place !== null) return this.confirm(op, place, done);
    this.bodies.push({ prepare, done });
    this.bytesWaiting += prepare.bytes.length;
    this.pump();
  }

  /** What waits to be written below `op` ends unwritten: the log is about to begin above it. */
  dropWaiting(op: number): void {
    const dropped = this.bodies.filter(({ prepare }) => prepare.header.op < op);
    if (dropped.length === 0) return;
    this.bodies = this.bodies.filter(({ prepare }) => prepare.header.op >= op);
    for (const { prepare, done } of dropped) {
      this.bytesWaiting -= prepare.bytes.length;
      this.settle(prepare.header.op);
      done();
    }
  }

  /** Bytes of prepares that are not on the disk yet. */
  waitingBytes(): number {
    return this.bytesWaiting;
  }

  /** An append of the op is not over yet, its header record included. */
  isPending(op: number): boolean {
    return this.pending.has(op);
  }

  /** Writes the header record of a durable prepare again. */
  rewriteHeader(prepare: Prepare, place: Location, done: () => void): void {
    const { op } = prepare.header;
    this.pending.set(op, (this.pending.get(op) ?? 0) + 1);
    this.headers.push({ prepare, place, recorded: done });
    this.pump();
  }

  /** The lowest op that something is being written for, or waits to be. */
  lowestPending(): number {
    return Math.min(Number.MAX_SAFE_INTEGER, ...this.pending.keys());
  }

  private settle(op: number): void {
    const left = (this.pending.get(op) ?? 0) - 1;
    assert(left >= 0, 'an append is over once');
    if (left === 0) this.pending.delete(op);
    else this.pending.set(op, left);
  }

  /** An intact prepare is never written again: it is durable, or it would not be in the index. */
  private confirm(op: number, place: Location, done: () => void): void {
    this.options.mark?.('prepare-there-already');
    this.known += 1;
    this.options.disk.sync(fileName('segment', place.segment), (synced) => {
      if (this.stopped) return;
      if (!synced.ok) return this.options.onFailure(synced.error);
      this.known -= 1;
      this.settle(op);
      done();
      this.pump();
    });
  }

  /** Nothing completes any more. */
  stop(): void {
    this.stopped = true;
  }

  whenIdle(done: () => void): void {
    this.onIdle = done;
    this.pump();
  }

  /** Starts what can start. Also called when a file became ready. */
  pump(): void {
    if (this.stopped) return;
    if (!this.bodiesBusy && this.bodies.length > 0) this.writeBodies();
    if (!this.headersBusy && this.headers.length > 0) this.writeHeaders();
    const busy = this.bodiesBusy || this.headersBusy || this.known > 0;
    // What waits for room when the log is closed was promised to nobody.
    const waits = this.bodies.length > 0 && !this.options.files.isFull;
    const idle = !busy && !waits && this.headers.length === 0;
    if (idle && this.onIdle !== null) {
      const done = this.onIdle;
      this.onIdle = null;
      done();
    }
  }

  /** Takes what fits one write at the end of the current segment. */
  private takeBodies(): { readonly group: (Placed & Append)[]; readonly sizeBytes: number } {
    const { files } = this.options;
    const group: (Placed & Append)[] = [];
    let sizeBytes = 0;
    for (const waiting of this.bodies) {
      const lengthBytes = waiting.prepare.bytes.length;
      const extent = recordBytes(lengthBytes);
      if (group.length > 0 && (sizeBytes + extent > groupBytesMax || !files.fits(extent))) break;
      if (!files.reserveHeader(waiting.prepare.header.op)) break;
      const place = files.reserveBody(extent, lengthBytes);
      if (place === null) break;
      group.push({ ...waiting, place });
      sizeBytes += extent;
    }
    this.bodies.splice(0, group.length);
    return { group, sizeBytes };
  }

  private writeBodies(): void {
    const { disk, identity } = this.options;
    const { group, sizeBytes } = this.takeBodies();
    const first = group[0];
    // The next file is being made; the allocator calls `pump` when it is there.
    if (first === undefined) return this.options.mark?.('append-waits-for-file');
    const bytes = new Uint8Array(sizeBytes);
    for (const { prepare, place } of group) {
      encodeRecordInto(bytes, place.offset - first.place.offset, prepare, place, identity);
    }
    this.bodiesBusy = true;
    const file = fileName('segment', first.place.segment);
    disk.writeDurable(file, first.place.offset, bytes, (written) => {
      if (this.stopped) return;
      if (!written.ok) return this.options.onFailure(written.error);
      this.completeBodies(group);
    });
  }

  private completeBodies(group: readonly (Placed & Append)[]): void {
    this.bodiesBusy = false;
    const last = group.at(-1)?.place;
    if (last !== undefined) {
      this.durableEnd = { segment: last.segment, offset: last.offset + recordBytes(last.lengthBytes) };
    }
    for (const { prepare, place } of group) {
      this.bytesWaiting -= prepare.bytes.length;
      this.options.index.set(prepare.header.op, place, prepare.header.id);
      this.headers.push({ prepare, place });
    }
    // The next group is on its way before anybody is told of this one.
    this.pump();
    for (const { done } of group) done();
  }

  /** Everything that waits, up to the second append of one op: two writes to one slot never share a group (pitfall 46). */
  private takeHeaders(): readonly Placed[] {
    const ops = new Set<number>();
    let count = 0;
    for (const { prepare } of this.headers) {
      if (ops.has(prepare.header.op)) {
        this.options.mark?.('headers-of-one-op-kept-apart');
        break;
      }
      ops.add(prepare.header.op);
      count += 1;
    }
    return this.headers.splice(0, count);
  }

  private writeHeaders(): void {
    const { disk } = this.options;
    const group = this.takeHeaders();
    const runs = this.encodeRuns(group);
    this.headersBusy = true;
    together<DiskError>(
      runs.map(
        ({ file, offset, bytes }) =>
          (done) =>
            disk.writeDurable(file, offset, bytes, done),
      ),
      (written) => {
        if (this.stopped) return;
        if (!written.ok) return this.options.onFailure(written.error);
        this.headersBusy = false;
        for (const { prepare, recorded } of group) {
          this.settle(prepare.header.op);
          recorded?.();
        }
        this.pump();
      },
    );
  }

  /** Header records as few writes: neighbouring slots become one. */
  private encodeRuns(
    group: readonly Placed[],
  ): { readonly file: string; readonly offset: number; readonly bytes: Uint8Array }[] {
    const { geometry, identity } = this.options;
    const ordered = [...group].sort((a, b) => a.prepare.header.op - b.prepare.header.op);
    const runs: { file: string; offset: number; records: Uint8Array[] }[] = [];
    for (const { prepare, place } of ordered) {
      const { op } = prepare.header;
      const slot = headerPlace(geometry, op);
      const file = fileName('headers', slot.sequence);
      const record = encodeHeaderRecord(op, prepare.bytes, place, identity);
      const last = runs.at(-1);
      if (
        last !== undefined &&
        last.file === file &&
        last.offset + last.records.length * headerRecordBytes === slot.offset
      ) {
        last.records.push(record);
      } else runs.push({ file, offset: slot.offset, records: [record] });
    }
    return runs.map(({ file, offset, records }) => {
      const bytes = new Uint8Array(records.length * headerRecordBytes);
      for (const [i, record] of records.entries()) bytes.set(record, i * headerRecordBytes);
      assert(bytes.length > 0, 'a run has a record');
      return { file, offset, bytes };
    });
  }
}
