import { assert, bytesEqual, type ClusterId, err, FixedReader, FixedWriter, ok, type Result } from '@kimberlite/base';
import { type Done, eachInTurn, inTurn, together } from './completion.ts';
import type { Disk } from './disk.ts';
import { type Geometry, isGeometry, isZero, type LogIdentity, superblockFile } from './layout.ts';
import { diskFailure, type LogError } from './log-error.ts';

// Four copies in one file, 16 KiB each. A copy, little-endian: id 16 over the rest of its 128-byte header · magic u32 ·
// version u16 · copy u16 · cluster 16 · replica u32 · payload length u32 · sequence u64 · payload checksum 16 ·
// segment bytes u64 · header slots u32 · trimmed to u64 · lowest segment u32 · zeros; the payload; zeros. Version 1 ends
// behind the header slots: nothing was trimmed.
const magic = 0x4253_4d4b;
const version = 2;
const versionWithoutTrim = 1;
const headerBytes = 128;
export const superblockCopies = 4;
export const superblockCopyBytes = 16_384;
export const superblockBytes: number = superblockCopies * superblockCopyBytes;
/** Bytes of the replica's part: P + 1 headers with room to spare. */
export const superblockPayloadBytesMax: number = superblockCopyBytes - headerBytes;

/** A half is written and synced before the other is touched, so that one whole copy exists at every moment. */
const halves: readonly (readonly number[])[] = [
  [0, 1],
  [2, 3],
];

export interface Superblock {
  readonly cluster: ClusterId;
  readonly replica: number;
  /** Counts writes of this directory; the log's own, and unlike the caller's not starting again at a boot. */
  readonly sequence: number;
  readonly geometry: Geometry;
  /** What may be gone, and what of it is left is a leftover. */
  readonly trim: Trim;
  readonly payload: Uint8Array;
}

/** The low end of the log. Files below it are removed; one missing above it is known for damage. */
export interface Trim {
  /** The lowest op that is kept, from 1. The lowest headers file is the one of this op. */
  readonly op: number;
  /** Sequence of the lowest segment that is kept, from 1. */
  readonly segment: number;
}

export const nothingTrimmed: Trim = { op: 1, segment: 1 };

export type SuperblockCopy =
  | { readonly state: 'intact'; readonly superblock: Superblock }
  | { readonly state: 'bad'; readonly reason: string };

export function encodeSuperblockCopy(superblock: Superblock, copy: number, hasher: LogIdentity['hasher']): Uint8Array {
  const { payload, geometry, trim } = superblock;
  assert(payload.length <= superblockPayloadBytesMax, 'the payload fits a copy of the superblock');
  const writer = new FixedWriter(superblockCopyBytes);
  writer.raw(new Uint8Array(16)).u32(magic).u16(version).u16(copy).hex128(superblock.cluster);
  writer.u32(superblock.replica).u32(payload.length).u64(superblock.sequence).hex128(hasher(payload));
  writer.u64(geometry.segmentBytes).u32(geometry.headerSlots).u64(trim.op).u32(trim.segment);
  assert(writer.offset <= headerBytes, 'the header of a copy fits its size');
  const { bytes } = writer;
  bytes.set(payload, headerBytes);
  const id = new FixedWriter(16).hex128(hasher(bytes.subarray(16, headerBytes))).bytes;
  bytes.set(id, 0);
  return bytes;
}

export function decodeSuperblockCopy(bytes: Uint8Array, copy: number, hasher: LogIdentity['hasher']): SuperblockCopy {
  const bad = (reason: string): SuperblockCopy => ({ state: 'bad', reason });
  const reader = new FixedReader(bytes);
  const id = reader.hex128();
  if (reader.u32() !== magic) return bad('it does not start as a superblock does');
  const found = reader.u16();
  if (hasher(bytes.subarray(16, headerBytes)) !== id) return bad('the checksum of its header does not match');
  if (found !== version && found !== versionWithoutTrim) {
    return bad(`its format has version ${found}, this program knows ${versionWithoutTrim} to ${version}`);
  }
  if (reader.u16() !== copy) return bad('it is another copy, written to the wrong place');
  const cluster = reader.hex128() as ClusterId;
  const replica = reader.u32();
  const payloadLength = reader.u32();
  const sequence = reader.u64();
  const payloadChecksum = reader.hex128();
  const geometry: Geometry = { segmentBytes: reader.u64(), headerSlots: reader.u32() };
  const trim = found === versionWithoutTrim ? nothingTrimmed : { op: reader.u64(), segment: reader.u32() };
  const inBounds = isGeometry(geometry) && trim.op >= 1 && trim.segment >= 1;
  if (reader.failed || payloadLength > superblockPayloadBytesMax || !inBounds) {
    return bad('its sizes are out of bounds');
  }
  const payload = bytes.slice(headerBytes, headerBytes + payloadLength);
  if (hasher(payload) !== payloadChecksum) return bad('the checksum of its payload does not match');
  if (!isZero(bytes, headerBytes + payloadLength)) return bad('its padding is not zero');
  return { state: 'intact', superblock: { cluster, replica, sequence, geometry, trim, payload } };
}

/** All copies, in order. A short or unreadable file is an error. */
export function readSuperblockCopies(
  disk: Disk,
  hasher: LogIdentity['hasher'],
  done: (result: Result<readonly SuperblockCopy[], LogError>) => void,
): void {
  const copies: SuperblockCopy[] = [];
  const readCopy = (copy: number, finished: Done<LogError>): void => {
    disk.read(superblockFile, copy * superblockCopyBytes, superblockCopyBytes, (read) => {
      if (read.ok) copies.push(decodeSuperblockCopy(read.value, copy, hasher));
      else if (read.error.code === 'missing') return finished(err(diskFailure(read.error)));
      else copies.push({ state: 'bad', reason: read.error.message });
      finished(ok(undefined));
    });
  };
  eachInTurn([0, 1, 2, 3], readCopy, (result) => done(result.ok ? ok(copies) : result));
}

const sameContent = (a: Superblock, b: Superblock): boolean =>
  a.cluster === b.cluster &&
  a.replica === b.replica &&
  a.sequence === b.sequence &&
  a.trim.op === b.trim.op &&
  a.trim.segment === b.trim.segment &&
  bytesEqual(a.payload, b.payload);

/** The intact copy with the highest sequence. */
export function chooseSuperblock(copies: readonly SuperblockCopy[]): Result<Superblock, LogError> {
  let chosen: Superblock | null = null;
  for (const copy of copies) {
    if (copy.state !== 'intact') continue;
    if (chosen === null || copy.superblock.sequence > chosen.sequence) chosen = copy.superblock;
  }
  if (chosen === null) {
    const reasons = copies.map((copy, i) => `copy ${i}: ${copy.state === 'bad' ? copy.reason : ''}`).join('; ');
    const message = `No copy of the superblock is intact (${reasons}). This replica must be replaced.`;
    return err({ kind: 'damaged', message, file: superblockFile });
  }
  for (const copy of copies) {
    if (
      copy.state === 'intact' &&
      copy.superblock.sequence === chosen.sequence &&
      !sameContent(copy.superblock, chosen)
    ) {
      const message = `Two intact copies of the superblock have sequence ${chosen.sequence} and differ. This replica must be replaced.`;
      return err({ kind: 'damaged', message, file: superblockFile });
    }
  }
  return ok(chosen);
}

function writeCopies(
  disk: Disk,
  hasher: LogIdentity['hasher'],
  superblock: Superblock,
  wanted: (copy: number) => boolean,
  file: string,
  done: Done<LogError>,
): void {
  const write =
    (copy: number) =>
    (finished: Done<LogError>): void =>
      disk.write(file, copy * superblockCopyBytes, encodeSuperblockCopy(superblock, copy, hasher), (result) =>
        finished(result.ok ? result : err(diskFailure(result.error))),
      );
  const sync = (finished: Done<LogError>): void =>
    disk.sync(file, (result) => finished(result.ok ? result : err(diskFailure(result.error))));
  const writeHalf = (half: readonly number[], finished: Done<LogError>): void => {
    const copies = half.filter(wanted);
    if (copies.length === 0) return finished(ok(undefined));
    inTurn([(written) => together(copies.map(write), written), sync], finished);
  };
  eachInTurn(halves, writeHalf, done);
}

/** Half the copies, sync, the other half, sync. */
export function writeSuperblock(
  disk: Disk,
  hasher: LogIdentity['hasher'],
  superblock: Superblock,
  done: Done<LogError>,
  file: string = superblockFile,
): void {
  writeCopies(disk, hasher, superblock, () => true, file, done);
}

export const isStale = (copy: SuperblockCopy | undefined, chosen: Superblock): boolean =>
  copy === undefined || copy.state !== 'intact' || copy.superblock.sequence !== chosen.sequence;

/** Writes again every copy that is not the chosen one, before anybody acts on it (pitfall 62). */
export function rewriteStaleCopies(
  disk: Disk,
  hasher: LogIdentity['hasher'],
  copies: readonly SuperblockCopy[],
  chosen: Superblock,
  done: Done<LogError>,
): void {
  writeCopies(disk, hasher, chosen, (copy) => isStale(copies[copy], chosen), superblockFile, done);
}
