import {
  bytesEqual,
  type Checksum,
  decodePrepare,
  decodePrepareHeader,
  type Hasher,
  hexInto,
  prepareHeaderBytes,
} from '@kimberlite/base';
import type { Checker, World } from './checker.ts';

// What lies on the disks, read from the bytes: a second reading of the formats (packages/log layout.ts, record.ts,
// header-record.ts), so that no checker has to believe the log about its own files.

/** A simulated disk as the checkers look at it. */
export interface Platter {
  /** A read would give exactly these bytes. */
  readonly holds: (file: string, offset: number, bytes: Uint8Array) => boolean;
  /** A crash at this moment would leave exactly these bytes. */
  readonly isSynced: (file: string, offset: number, lengthBytes: number) => boolean;
  /** A fault of the disk has hit these bytes since its machine booted, and nobody above could know. */
  readonly isDamaged: (file: string, offset: number, lengthBytes: number) => boolean;
  /** Copies of all files. */
  readonly snapshot: () => ReadonlyMap<string, Uint8Array>;
}

const blockBytes = 4096;
const frameBytes = 64;
const recordMagic = 0x4452_4d4b;
const headerRecordBytes = 256;
const headerRecordMagic = 0x4852_4d4b;
/** Where a header record keeps the prepare's header. */
const headerAt = 64;
/** Where it says where that prepare is: segment, block and length. */
const placeAt = 16;
/** Header records in one headers file of a simulated node. */
export const simHeaderSlots = 64;

const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0;
const u64 = (bytes: Uint8Array, at: number): number => u32(bytes, at) + u32(bytes, at + 4) * 0x1_0000_0000;

const alignToBlock = (sizeBytes: number): number => Math.ceil(sizeBytes / blockBytes) * blockBytes;
const numbered = (kind: string, sequence: number): string => `${kind}-${`${sequence}`.padStart(8, '0')}.wal`;
const names = new Map<string, string[]>();

function fileOf(kind: 'segment' | 'headers', sequence: number): string {
  let known = names.get(kind);
  if (known === undefined) {
    known = [];
    names.set(kind, known);
  }
  return (known[sequence] ??= numbered(kind, sequence));
}

/** A record of a segment, as it is written. */
export interface SegmentRecord {
  readonly op: number;
  readonly id: Uint8Array;
  readonly segment: string;
  readonly offset: number;
  /** Header and body. */
  readonly prepare: Uint8Array;
}

/** Calls `visit` for each record in a write to a segment that claims to be at this very place. */
export function eachRecord(
  file: string,
  offset: number,
  bytes: Uint8Array,
  visit: (record: SegmentRecord) => void,
): void {
  if (!file.startsWith('segment-')) return;
  for (let at = 0; at + frameBytes <= bytes.length; ) {
    if (u32(bytes, at + 4) !== recordMagic) return;
    const lengthBytes = u32(bytes, at + 24);
    const here = fileOf('segment', u32(bytes, at + 16)) === file && u32(bytes, at + 20) * blockBytes === offset + at;
    const end = at + frameBytes + lengthBytes;
    if (here) {
      visit({
        op: u64(bytes, at + 32),
        segment: file,
        offset: offset + at,
        id: bytes.subarray(at + 40, at + 56),
        prepare: bytes.subarray(at + frameBytes, end),
      });
    }
    at += alignToBlock(frameBytes + lengthBytes);
  }
}

/** Where a header record says that the prepare is. */
export interface HeaderClaim {
  readonly op: number;
  readonly segment: string;
  readonly offset: number;
  readonly lengthBytes: number;
}

const claimAt = (bytes: Uint8Array, at: number): HeaderClaim => ({
  op: u64(bytes, at + 32),
  segment: fileOf('segment', u32(bytes, at + placeAt)),
  offset: u32(bytes, at + placeAt + 4) * blockBytes,
  lengthBytes: u32(bytes, at + placeAt + 8),
});

/** Calls `visit` for each header record in a write to a headers file. */
export function eachHeaderRecord(
  file: string,
  offset: number,
  bytes: Uint8Array,
  visit: (claim: HeaderClaim) => void,
): void {
  if (!file.startsWith('headers-') || offset < blockBytes) return;
  for (let at = 0; at + headerRecordBytes <= bytes.length; at += headerRecordBytes) {
    if (u32(bytes, at + 4) === headerRecordMagic) visit(claimAt(bytes, at));
  }
}

const isRecordSynced = (platter: Platter, claim: HeaderClaim): boolean =>
  platter.isSynced(claim.segment, claim.offset, frameBytes + claim.lengthBytes);

/** The prepare that a header record names is synced, or was and has been damaged since. */
export const isClaimSynced = (platter: Platter, claim: HeaderClaim): boolean =>
  isRecordSynced(platter, claim) || platter.isDamaged(claim.segment, claim.offset, frameBytes + claim.lengthBytes);

const headerFileOf = (op: number): string => fileOf('headers', Math.floor((op - 1) / simHeaderSlots) + 1);
const headerOffsetOf = (op: number): number => blockBytes + ((op - 1) % simHeaderSlots) * headerRecordBytes;

/** The write of that header record is over: it is there, and no crash can undo it, or a fault of the disk has hit it. */
export function isHeaderWritten(platter: Platter, { op, segment, offset, lengthBytes }: HeaderClaim): boolean {
  const file = headerFileOf(op);
  const at = headerOffsetOf(op);
  if (platter.isDamaged(file, at, headerRecordBytes)) return true;
  const place = new Uint8Array(12);
  const words = new DataView(place.buffer);
  words.setUint32(0, Number.parseInt(segment.slice('segment-'.length), 10), true);
  words.setUint32(4, offset / blockBytes, true);
  words.setUint32(8, lengthBytes, true);
  return platter.holds(file, at + placeAt, place) && platter.isSynced(file, at, headerRecordBytes);
}

/**
 * What the platter has of a prepare. synced: whole, and no crash can undo it. damaged: a fault of the disk has hit it
 * since the boot, so its replica cannot know. Anything else must not be acknowledged.
 */
export type OnPlatter = 'synced' | 'damaged' | 'not written' | 'another prepare there' | 'not synced';

/** Where a replica wrote a prepare. */
interface Place {
  readonly id: Uint8Array;
  readonly segment: string;
  readonly offset: number;
}

function lookAt(platter: Platter, { segment, offset }: Place, prepare: Uint8Array): OnPlatter {
  const lengthBytes = frameBytes + prepare.length;
  if (platter.isDamaged(segment, offset, lengthBytes)) return 'damaged';
  if (!platter.holds(segment, offset + frameBytes, prepare)) return 'another prepare there';
  return platter.isSynced(segment, offset, lengthBytes) ? 'synced' : 'not synced';
}

/** The header record of that op names the prepare, and no crash can undo that. */
function isRecorded(platter: Platter, op: number, prepare: Uint8Array): boolean {
  const file = headerFileOf(op);
  const at = headerOffsetOf(op);
  if (platter.isDamaged(file, at, headerRecordBytes)) return true;
  if (!platter.holds(file, at + headerAt, prepare.subarray(0, prepareHeaderBytes))) return false;
  return platter.isSynced(file, at, headerRecordBytes);
}

/** The prepares on the disks of a cluster. */
export class Disks {
  readonly checker: Checker;
  private readonly platterOf: World['platter'];
  /** By replica and op: where its prepares were written. */
  private readonly places: Map<number, Place[]>[] = [];
  /** By replica: prepares that were found synced. Until the next boot nothing but a fault of the disk changes that. */
  private readonly synced: Set<Uint8Array>[] = [];

  constructor(platterOf: World['platter']) {
    this.platterOf = platterOf;
    this.checker = {
      name: 'persistence',
      booted: (replica) => void this.synced[replica]?.clear(),
      wiped: (replica) => {
        this.synced[replica]?.clear();
        this.places[replica]?.clear();
      },
      recorded: (replica, record) => this.onRecord(replica, record),
    };
  }

  /** What an acknowledgement needs. */
  lookUp(replica: number, op: number, prepare: Uint8Array): OnPlatter {
    const known = (this.synced[replica] ??= new Set());
    if (known.has(prepare)) return 'synced';
    const places = this.places[replica]?.get(op) ?? [];
    let best: OnPlatter = 'not written';
    for (let i = places.length - 1; i >= 0; i--) {
      const place = places[i];
      if (place === undefined || !bytesEqual(prepare.subarray(0, place.id.length), place.id)) continue;
      best = lookAt(this.platterOf(replica), place, prepare);
      if (best === 'synced' || best === 'damaged') break;
    }
    if (best === 'synced') known.add(prepare);
    return best;
  }

  /** The header record follows an acknowledgement, and then names this prepare. */
  isRecorded(replica: number, op: number, prepare: Uint8Array): boolean {
    return isRecorded(this.platterOf(replica), op, prepare);
  }

  /** The highest op that was ever written to that file of the log. 0: none, or it is no such file. */
  highestIn(replica: number, file: string): number {
    const [, sequence] = /^headers-(\d+)\.wal$/.exec(file) ?? [];
    if (sequence !== undefined) return Number.parseInt(sequence, 10) * simHeaderSlots;
    let highest = 0;
    for (const [op, places] of this.places[replica] ?? []) {
      if (op > highest && places.some(({ segment }) => segment === file)) highest = op;
    }
    return highest;
  }

  private onRecord(replica: number, record: SegmentRecord): void {
    const ops = (this.places[replica] ??= new Map());
    const places = ops.get(record.op);
    if (places === undefined) ops.set(record.op, [record]);
    else places.push(record);
  }
}

/** Where `wanted` starts in `bytes` at or after `from`, or -1. */
function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  const [first = 0] = wanted;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (bytesEqual(bytes.subarray(at, at + wanted.length), wanted)) return at;
  }
  return -1;
}

/** True when a whole, intact copy of the prepare lies on any of the disks, wherever: then it can be repaired. */
export function isOnSomeDisk(disks: readonly Pick<Platter, 'snapshot'>[], id: Checksum, hasher: Hasher): boolean {
  const wanted = new Uint8Array(id.length / 2);
  hexInto(id, wanted, 0);
  for (const disk of disks) {
    for (const bytes of disk.snapshot().values()) {
      for (let at = indexOfBytes(bytes, wanted, 0); at >= 0; at = indexOfBytes(bytes, wanted, at + 1)) {
        const header = decodePrepareHeader(bytes.subarray(at, at + prepareHeaderBytes), hasher);
        if (!header.ok) continue;
        const end = at + prepareHeaderBytes + header.value.bodyLengthBytes;
        if (decodePrepare(bytes.subarray(at, end), hasher).ok) return true;
      }
    }
  }
  return false;
}
