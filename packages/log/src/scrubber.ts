import {
  assert,
  type CheckpointRef,
  checkpointParts,
  type Checksum,
  err,
  ok,
  type Prepare,
  type Result,
  sameCheckpoint,
  unreachable,
} from '@kimberlite/base';
import { decodeCheckpointHeader, encodeCheckpointHeader } from './checkpoint-file.ts';
import type { CheckpointFiles } from './checkpoint-files.ts';
import type { MarkPort } from './coverage.ts';
import type { Disk, DiskError } from './disk.ts';
import type { FileAllocator } from './file-allocator.ts';
import { checkFileHeader, encodeFileHeader, fileSizeBytes } from './file-header.ts';
import type { GroupCommit } from './group-commit.ts';
import { decodeHeaderRecord } from './header-record.ts';
import {
  blockBytes,
  checkpointFile,
  type FileKind,
  fileName,
  type Geometry,
  headerPlace,
  headerRecordBytes,
  type Location,
  type LogIdentity,
  recordBytes,
  recordBytesMax,
} from './layout.ts';
import type { LocationIndex } from './location-index.ts';
import { decodeRecord } from './record.ts';
import { type Damage, scanWindow } from './segment-scan.ts';
import { superblockBytes } from './superblock.ts';
import type { SuperblockWrites } from './superblock-writes.ts';
import { readTolerant } from './tolerant-read.ts';

/** Damage that a scrub found. What is `mended` the log has written again from what it knows otherwise. */
export type Found =
  | { readonly kind: 'superblock'; readonly copies: number; readonly mended: true }
  | { readonly kind: 'file-header' | 'checkpoint-header'; readonly file: string; readonly mended: true }
  | { readonly kind: 'header-record'; readonly file: string; readonly op: number; readonly mended: true }
  /** The prepare is not in the log any more, until it is appended again. */
  | {
      readonly kind: 'prepare';
      readonly file: string;
      readonly offset: number;
      readonly op: number;
      readonly id: Checksum;
      readonly mended: false;
    }
  /** Of the manifest the part is the one behind the last. */
  | {
      readonly kind: 'checkpoint';
      readonly file: string;
      readonly ref: CheckpointRef;
      readonly part: number;
      readonly mended: false;
    };

export interface ScrubStep {
  readonly readBytes: number;
  readonly found: readonly Found[];
  /** Everything has been read once since the last such step, or the opening. */
  readonly passEnded: boolean;
}

export interface ScrubberOptions extends MarkPort {
  readonly disk: Disk;
  readonly identity: LogIdentity;
  readonly geometry: Geometry;
  readonly index: LocationIndex;
  readonly files: FileAllocator;
  readonly commit: GroupCommit;
  readonly checkpoints: CheckpointFiles;
  readonly superblock: SuperblockWrites;
  /** Found by the opening. */
  readonly damaged: ReadonlyMap<number, Location>;
  readonly onFailure: (error: DiskError) => void;
}

type Cursor =
  | { readonly at: 'superblock' }
  | { readonly at: 'checkpoint'; readonly op: number; readonly part: number }
  | { readonly at: 'segment'; readonly sequence: number; readonly offset: number }
  | { readonly at: 'headers'; readonly sequence: number; readonly slot: number };

/** Bytes of a segment read at once; the largest record fits. Checking them takes a few milliseconds. */
const windowBytes = recordBytesMax;
/** Header records checked at once, for the same reason. */
const recordsPerStep = 1024;

type Reading = (readBytes: number, found: readonly Found[], next: Cursor | null) => void;

/**
 * Reads everything that is to last, a piece a call, over and over: superblock, checkpoints, segments, header records.
 * What the log knows otherwise it writes again; a damaged prepare leaves the index, a damaged checkpoint is reported:
 * for those others are needed. Whatever nobody needs any more is left to the next opening.
 */
export class Scrubber {
  private readonly options: ScrubberOptions;
  private cursor: Cursor = { at: 'superblock' };
  private busy = false;
  private stopped = false;
  private closing: (() => void) | null = null;
  /** Found damaged, by op: zeroed once the prepare is durable elsewhere, so that every byte is accounted for again. */
  private readonly damaged: Map<number, Location>;

  constructor(options: ScrubberOptions) {
    this.options = options;
    this.damaged = new Map(options.damaged);
  }

  /** The next piece. `checkpoints` are those that the replica relies on. One at a time. */
  step(checkpoints: readonly CheckpointRef[], done: (step: ScrubStep) => void): void {
    assert(!this.busy, 'one piece is scrubbed at a time');
    this.busy = true;
    this.clearMended((cleared) => {
      if (this.stopped) return;
      if (!cleared.ok) return this.options.onFailure(cleared.error);
      this.readOn(checkpoints, false, done);
    });
  }

  /** Up to the next piece that was really read: each takes a turn of the disk, so a step ends after its call has returned. */
  private readOn(checkpoints: readonly CheckpointRef[], ended: boolean, done: (step: ScrubStep) => void): void {
    this.read(checkpoints, (readBytes, found, next) => {
      if (this.stopped) return;
      const passEnded = ended || next === null;
      this.cursor = next ?? { at: 'superblock' };
      if (this.closing !== null) return this.closing();
      if (readBytes === 0 && found.length === 0) return this.readOn(checkpoints, passEnded, done);
      this.busy = false;
      if (found.length > 0) this.options.mark?.('scrub-found-damage');
      done({ readBytes, found, passEnded });
    });
  }

  /** A read found that prepare damaged. */
  noteDamage(op: number, place: Location): void {
    this.damaged.set(op, place);
  }

  /** Nothing completes any more. */
  stop(): void {
    this.stopped = true;
  }

  close(done: () => void): void {
    if (this.busy) this.closing = done;
    else done();
  }

  private read(checkpoints: readonly CheckpointRef[], done: Reading): void {
    const { cursor } = this;
    switch (cursor.at) {
      case 'superblock':
        return this.readSuperblock(checkpoints, done);
      case 'checkpoint':
        return this.readCheckpoint(checkpoints, cursor, done);
      case 'segment':
        return this.readSegment(cursor, done);
      case 'headers':
        return this.readHeaders(cursor, done);
      default:
        return unreachable(cursor);
    }
  }

  private readSuperblock(checkpoints: readonly CheckpointRef[], done: Reading): void {
    const { superblock } = this.options;
    superblock.mend((copies) => {
      const found: readonly Found[] = copies > 0 ? [{ kind: 'superblock', copies, mended: true }] : [];
      done(superblockBytes, found, this.checkpointAfter(checkpoints, 0));
    });
  }

  // Checkpoints.

  private checkpointAfter(checkpoints: readonly CheckpointRef[], op: number): Cursor {
    const next = Math.min(...checkpoints.map(({ header }) => header.op as number).filter((other) => other > op));
    return Number.isFinite(next)
      ? { at: 'checkpoint', op: next, part: 0 }
      : { at: 'segment', sequence: this.options.files.lowestOf('segment'), offset: 0 };
  }

  /** A part a step; with the first the header block, and behind the last the manifest. */
  private readCheckpoint(
    checkpoints: readonly CheckpointRef[],
    { op, part }: Extract<Cursor, { at: 'checkpoint' }>,
    done: Reading,
  ): void {
    const { checkpoints: files } = this.options;
    const ref = checkpoints.find(({ header }) => header.op === op);
    const file = checkpointFile(op);
    if (ref === undefined || files.entry(file) === null) return done(0, [], this.checkpointAfter(checkpoints, op));
    const isManifest = part === checkpointParts(ref.contentBytes);
    const after: Cursor = isManifest ? this.checkpointAfter(checkpoints, op) : { at: 'checkpoint', op, part: part + 1 };
    const checked = (bytes: Uint8Array | null): void => {
      const isThere = files.entry(file) !== null;
      const found: Found[] = bytes === null && isThere ? [{ kind: 'checkpoint', file, ref, part, mended: false }] : [];
      if (part > 0) return done(bytes?.length ?? 0, found, after);
      this.mendCheckpointHeader(file, ref, (mended) => {
        if (mended) found.push({ kind: 'checkpoint-header', file, mended: true });
        done(bytes?.length ?? 0, found, after);
      });
    };
    if (isManifest) files.readManifest(ref, checked);
    else files.readPart(ref, part, checked);
  }

  private mendCheckpointHeader(file: string, ref: CheckpointRef, done: (mended: boolean) => void): void {
    const { disk, identity, checkpoints, onFailure } = this.options;
    readTolerant(disk, file, 0, blockBytes, (read) => {
      if (this.stopped) return;
      // It may have been removed meanwhile.
      if (!read.ok || checkpoints.entry(file) === null) return done(false);
      const known = decodeCheckpointHeader(read.value, ref.header.op, identity);
      if (known !== null && sameCheckpoint(known, ref)) return done(false);
      disk.writeDurable(file, 0, encodeCheckpointHeader(ref, identity), (written) => {
        if (this.stopped) return;
        if (!written.ok && written.error.code !== 'missing') return onFailure(written.error);
        done(true);
      });
    });
  }

  // Segments.

  private segmentAfter(sequence: number): Cursor {
    const { files, commit } = this.options;
    if (sequence < commit.durableEnd.segment) return { at: 'segment', sequence: sequence + 1, offset: 0 };
    return { at: 'headers', sequence: files.lowestOf('headers'), slot: 0 };
  }

  private readSegment({ sequence, offset }: Extract<Cursor, { at: 'segment' }>, done: Reading): void {
    const { files, commit, disk, identity, geometry } = this.options;
    const lowest = files.lowestOf('segment');
    if (sequence < lowest) return done(0, [], { at: 'segment', sequence: lowest, offset: 0 });
    // Behind this things are being written.
    const isLast = sequence === commit.durableEnd.segment;
    const end = isLast ? commit.durableEnd.offset : geometry.segmentBytes;
    if (offset === 0) {
      return this.mendFileHeader('segment', sequence, (found) =>
        done(blockBytes, found, { at: 'segment', sequence, offset: blockBytes }),
      );
    }
    if (offset >= end || sequence > commit.durableEnd.segment) return done(0, [], this.segmentAfter(sequence));
    const lengthBytes = Math.min(windowBytes, end - offset);
    readTolerant(disk, fileName('segment', sequence), offset, lengthBytes, (read) => {
      if (this.stopped) return;
      // Trimmed meanwhile, or cut off by somebody: then everything in it is gone.
      if (!read.ok) return done(0, this.lost(sequence, offset, read.error), this.segmentAfter(sequence));
      const damages: Damage[] = [];
      const seen = new Set<number>();
      let coveredBytes = 0;
      const visitor = {
        claim: () => null,
        onRecord: (_prepare: Prepare, place: Location) => {
          seen.add(place.offset);
          coveredBytes += recordBytes(place.lengthBytes);
        },
        onDamage: (damage: Damage) => {
          damages.push(damage);
          coveredBytes += damage.lengthBytes;
        },
      };
      const options = { disk, segment: sequence, sizeBytes: geometry.segmentBytes, identity, visitor };
      const step = scanWindow(options, read.value, offset) || blockBytes;
      if (coveredBytes < step) damages.push(...this.vanished(sequence, offset, offset + step, seen));
      done(lengthBytes, this.damagedPrepares(damages), { at: 'segment', sequence, offset: offset + step });
    });
  }

  /** Records that the log relies on, in a part of a segment with zeros in it, and that were not met there: zeros too. */
  private vanished(sequence: number, from: number, to: number, seen: ReadonlySet<number>): readonly Damage[] {
    const damages: Damage[] = [];
    for (const { op, place } of this.options.index.entries()) {
      const { segment, offset, lengthBytes } = place;
      if (segment !== sequence || offset < from || offset >= to || seen.has(offset)) continue;
      damages.push({ segment, offset, lengthBytes: recordBytes(lengthBytes), op });
    }
    return damages;
  }

  private lost(sequence: number, offset: number, error: DiskError): readonly Found[] {
    const { files, geometry } = this.options;
    if (sequence < files.lowestOf('segment') || (error.code !== 'short' && error.code !== 'missing')) return [];
    return this.damagedPrepares([{ segment: sequence, offset, lengthBytes: geometry.segmentBytes - offset, op: null }]);
  }

  /** The prepares that the log relies on and that lie in what is damaged: they leave the index. */
  private damagedPrepares(damages: readonly Damage[]): readonly Found[] {
    if (damages.length === 0) return [];
    const { index } = this.options;
    const found: Found[] = [];
    for (const { op, id, place } of index.entries()) {
      const end = place.offset + recordBytes(place.lengthBytes);
      const isHit = damages.some(
        (damage) =>
          damage.segment === place.segment && damage.offset < end && damage.offset + damage.lengthBytes > place.offset,
      );
      if (!isHit) continue;
      index.clear(op);
      this.damaged.set(op, place);
      const file = fileName('segment', place.segment);
      found.push({ kind: 'prepare', file, offset: place.offset, op, id, mended: false });
    }
    return found;
  }

  /** A prepare that lies elsewhere now, with a durable header record that says so: where it lay before becomes zeros. */
  private clearMended(done: (result: Result<void, DiskError>) => void): void {
    const { index, commit, files, disk } = this.options;
    for (const [op, place] of this.damaged) {
      if (place.segment < files.lowestOf('segment')) this.damaged.delete(op);
      const now = index.place(op);
      if (now === null || commit.isPending(op) || !this.damaged.delete(op)) continue;
      // Where it lay may have been taken for room: whatever is relied on there stays.
      if (this.isReliedOn(place)) continue;
      const zeros = new Uint8Array(recordBytes(place.lengthBytes));
      return disk.writeDurable(fileName('segment', place.segment), place.offset, zeros, (written) => {
        const isGone = !written.ok && (written.error.code === 'missing' || written.error.code === 'short');
        done(written.ok || isGone ? ok(undefined) : err(written.error));
      });
    }
    done(ok(undefined));
  }

  private isReliedOn({ segment, offset, lengthBytes }: Location): boolean {
    const end = offset + recordBytes(lengthBytes);
    for (const { place } of this.options.index.entries()) {
      if (place.segment !== segment || place.offset >= end) continue;
      if (place.offset + recordBytes(place.lengthBytes) > offset) return true;
    }
    return false;
  }

  private mendFileHeader(kind: FileKind, sequence: number, done: (found: readonly Found[]) => void): void {
    const { disk, identity, geometry, files, onFailure } = this.options;
    const file = fileName(kind, sequence);
    const header = { kind, sequence, sizeBytes: fileSizeBytes(geometry, kind) };
    readTolerant(disk, file, 0, blockBytes, (read) => {
      if (this.stopped) return;
      if (!read.ok || checkFileHeader(read.value, header, identity) === 'intact') return done([]);
      if (sequence < files.lowestOf(kind)) return done([]);
      disk.writeDurable(file, 0, encodeFileHeader(header, identity), (written) => {
        if (this.stopped) return;
        if (!written.ok && written.error.code !== 'missing') return onFailure(written.error);
        done([{ kind: 'file-header', file, mended: true }]);
      });
    });
  }

  // Header records.

  private readHeaders({ sequence, slot }: Extract<Cursor, { at: 'headers' }>, done: Reading): void {
    const { files, disk, geometry, index } = this.options;
    const lowest = files.lowestOf('headers');
    if (sequence < lowest) return done(0, [], { at: 'headers', sequence: lowest, slot: 0 });
    const first = (sequence - 1) * geometry.headerSlots + slot + 1;
    if (first > index.highest) return done(0, [], null);
    const count = Math.min(recordsPerStep, geometry.headerSlots - slot);
    const next: Cursor =
      slot + count < geometry.headerSlots
        ? { at: 'headers', sequence, slot: slot + count }
        : { at: 'headers', sequence: sequence + 1, slot: 0 };
    const begin = (found: readonly Found[]): void => {
      const { offset } = headerPlace(geometry, first);
      const lengthBytes = count * headerRecordBytes;
      readTolerant(disk, fileName('headers', sequence), offset, lengthBytes, (read) => {
        if (this.stopped) return;
        if (!read.ok) return done(0, found, next);
        this.mendRecords(first, count, read.value, (mended) => done(lengthBytes, [...found, ...mended], next));
      });
    };
    if (slot === 0) this.mendFileHeader('headers', sequence, begin);
    else begin([]);
  }

  private mendRecords(first: number, count: number, bytes: Uint8Array, done: (found: readonly Found[]) => void): void {
    const damaged: number[] = [];
    for (let op = first; op < first + count; op++) {
      const at = (op - first) * headerRecordBytes;
      if (!this.isStepWith(op, bytes.subarray(at, at + headerRecordBytes))) damaged.push(op);
    }
    const found: Found[] = [];
    const mendNext = (): void => {
      const op = damaged.shift();
      if (op === undefined) return done(found);
      this.mendRecord(op, (mended) => {
        const file = fileName('headers', headerPlace(this.options.geometry, op).sequence);
        if (mended) found.push({ kind: 'header-record', file, op, mended: true });
        mendNext();
      });
    };
    mendNext();
  }

  /** The record says what the index says; or nothing is known, or the record is being written. */
  private isStepWith(op: number, bytes: Uint8Array): boolean {
    const { index, commit, identity } = this.options;
    const place = index.place(op);
    if (place === null || commit.isPending(op)) return true;
    const record = decodeHeaderRecord(bytes, op, identity);
    if (record.state !== 'header' || !index.holds(op, record.header.id)) return false;
    return record.place.segment === place.segment && record.place.offset === place.offset;
  }

  /** From the prepare, which is read for it and may turn out damaged itself: then its own turn in the next pass finds it. */
  private mendRecord(op: number, done: (mended: boolean) => void): void {
    const { index, disk, identity, commit } = this.options;
    const place = index.place(op);
    if (place === null) return done(false);
    disk.read(fileName('segment', place.segment), place.offset, recordBytes(place.lengthBytes), (read) => {
      if (this.stopped) return;
      const prepare = read.ok ? decodeRecord(read.value, place, identity) : null;
      const isStill = prepare !== null && index.holds(op, prepare.header.id) && !commit.isPending(op);
      if (!isStill || index.place(op)?.offset !== place.offset) return done(false);
      commit.rewriteHeader(prepare, place, () => done(true));
    });
  }
}

assert(windowBytes % blockBytes === 0, 'a window is whole blocks');
