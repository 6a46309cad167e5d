import {
  bytesEqual,
  type Checksum,
  checksum,
  crc32,
  decodePrepare,
  decodePrepareHeader,
  type Hasher,
  hexInto,
  prepareHeaderBytes,
  toHex,
} from '@kimberlite/base';

// What lies on the disks, read from the bytes: a second reading of the formats (packages/log layout.ts, record.ts,
// header-record.ts), so that no checker has to believe the log about its own files.

/** A simulated disk as the checkers look at it. */
export interface Platter {
  /** The file as a read would find it; not a copy. */
  readonly peek: (file: string) => Uint8Array | undefined;
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
  segment: fileOf('segment', u32(bytes, at + 16)),
  offset: u32(bytes, at + 20) * blockBytes,
  lengthBytes: u32(bytes, at + 24),
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

function matches(bytes: Uint8Array, at: number, wanted: Uint8Array, lengthBytes: number): boolean {
  if (at + lengthBytes > bytes.length) return false;
  for (let i = 0; i < lengthBytes; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

/**
 * What the platter has of a prepare. synced: header record and prepare, whole, and no crash can undo it. damaged: a
 * fault of the disk has hit it since the boot, so its replica cannot know. Anything else must not be acknowledged.
 */
export type OnPlatter =
  | 'synced'
  | 'damaged'
  | 'no header record'
  | 'header record not synced'
  | 'no body'
  | 'body not synced';

export function lookUp(platter: Platter, op: number, prepare: Uint8Array): OnPlatter {
  const file = headerFileOf(op);
  const at = headerOffsetOf(op);
  if (platter.isDamaged(file, at, headerRecordBytes)) return 'damaged';
  const headers = platter.peek(file);
  if (headers === undefined || !matches(headers, at + headerAt, prepare, prepareHeaderBytes)) return 'no header record';
  if (crc32(headers.subarray(at + 4, at + headerRecordBytes)) !== u32(headers, at)) return 'no header record';
  if (!platter.isSynced(file, at, headerRecordBytes)) return 'header record not synced';
  const claim = claimAt(headers, at);
  if (platter.isDamaged(claim.segment, claim.offset, frameBytes + claim.lengthBytes)) return 'damaged';
  const bodies = platter.peek(claim.segment);
  const whole = claim.lengthBytes === prepare.length && bodies !== undefined;
  if (!whole || !matches(bodies, claim.offset + frameBytes, prepare, prepare.length)) return 'no body';
  return isRecordSynced(platter, claim) ? 'synced' : 'body not synced';
}

/** Id and bytes of the prepare that the header record of an op names; null when there is none. Not checked. */
export function prepareOnPlatter(
  platter: Platter,
  op: number,
): { readonly id: Checksum; readonly bytes: Uint8Array } | null {
  const headers = platter.peek(headerFileOf(op));
  const at = headerOffsetOf(op);
  if (headers === undefined || u32(headers, at + 4) !== headerRecordMagic) return null;
  const claim = claimAt(headers, at);
  const from = claim.offset + frameBytes;
  const bytes = platter.peek(claim.segment)?.subarray(from, from + claim.lengthBytes);
  if (bytes === undefined) return null;
  return { id: checksum(toHex(headers.subarray(at + headerAt, at + headerAt + 16))), bytes };
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
