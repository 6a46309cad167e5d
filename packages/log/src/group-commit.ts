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

interface Placed extends Append {
  readonly place: Location;
  /** The header record is durable already: the next sync is only waited for. */
  readonly known: boolean;
}

export interface GroupCommitOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly geometry: Geometry;
  readonly index: LocationIndex;
  readonly files: FileAllocator;
  readonly onFailure: (error: DiskError) => void;
}

/**
 * Two loops, each with at most one write and sync under way: bodies into the segment, then header records. Whatever
 * waits when a sync ends shares the next one. An append is complete when its header record is synced, which is
 * written only after its body is: body, sync, header record, sync, acknowledgement (pitfalls 20, 63).
 */
export class GroupCommit {
  private readonly options: GroupCommitOptions;
  private bodies: Append[] = [];
  private headers: Placed[] = [];
  private bodiesBusy = false;
  private headersBusy = false;
  private stopped = false;
  private onIdle: (() => void) | null = null;

  constructor(options: GroupCommitOptions) {
    this.options = options;
  }

  append(prepare: Prepare, done: () => void): void {
    const { op, id } = prepare.header;
    const { index } = this.options;
    // An intact prepare is never written again; its header record is durable, or it would not be in the index.
    const place = index.holds(op, id) ? index.place(op) : null;
    if (place !== null) this.options.mark?.('prepare-there-already');
    if (place === null) this.bodies.push({ prepare, done });
    else this.headers.push({ prepare, done, place, known: true });
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

  /** Starts what can start. Also called when a file became ready. */
  pump(): void {
    if (this.stopped) return;
    if (!this.bodiesBusy && this.bodies.length > 0) this.writeBodies();
    if (!this.headersBusy && this.headers.length > 0) this.writeHeaders();
    const idle = !this.bodiesBusy && !this.headersBusy && this.bodies.length === 0 && this.headers.length === 0;
    if (idle && this.onIdle !== null) {
      const done = this.onIdle;
      this.onIdle = null;
      done();
    }
  }

  /** Takes what fits one write at the end of the current segment. */
  private takeBodies(): { readonly group: Placed[]; readonly sizeBytes: number } {
    const { files } = this.options;
    const group: Placed[] = [];
    let sizeBytes = 0;
    for (const waiting of this.bodies) {
      const lengthBytes = waiting.prepare.bytes.length;
      const extent = recordBytes(lengthBytes);
      if (group.length > 0 && (sizeBytes + extent > groupBytesMax || !files.fits(extent))) break;
      if (!files.reserveHeader(waiting.prepare.header.op)) break;
      const place = files.reserveBody(extent, lengthBytes);
      if (place === null) break;
      group.push({ ...waiting, place, known: false });
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
    disk.write(file, first.place.offset, bytes, (written) => {
      if (this.stopped) return;
      if (!written.ok) return this.options.onFailure(written.error);
      disk.sync(file, (synced) => {
        if (this.stopped) return;
        if (!synced.ok) return this.options.onFailure(synced.error);
        this.bodiesBusy = false;
        this.headers.push(...group);
        this.pump();
      });
    });
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
    const runs = this.encodeRuns(group.filter((placed) => !placed.known));
    const touched = new Set(
      group.map(({ prepare }) => fileName('headers', headerPlace(this.options.geometry, prepare.header.op).sequence)),
    );
    this.headersBusy = true;
    together<DiskError>(
      runs.map(
        ({ file, offset, bytes }) =>
          (done) =>
            disk.write(file, offset, bytes, done),
      ),
      (written) => {
        if (this.stopped) return;
        if (!written.ok) return this.options.onFailure(written.error);
        const syncs = [...touched].map((file) => (done: (result: typeof written) => void) => disk.sync(file, done));
        together<DiskError>(syncs, (synced) => {
          if (this.stopped) return;
          if (!synced.ok) return this.options.onFailure(synced.error);
          this.completeHeaders(group);
        });
      },
    );
  }

  private completeHeaders(group: readonly Placed[]): void {
    this.headersBusy = false;
    for (const { prepare, place, known } of group) {
      if (!known) this.options.index.set(prepare.header.op, place, prepare.header.id);
    }
    // The next group is on its way before anybody is told of this one.
    this.pump();
    for (const { done } of group) done();
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
