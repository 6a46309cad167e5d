import { type Checksum, decodePrepare, FixedReader, FixedWriter, type Op, type Prepare } from '@kimberlite/base';
import { blockBytes, frameBytes, isZero, type Location, type LogIdentity, prepareBytesMax } from './layout.ts';

// A record of a segment: a frame, then the prepare's bytes exactly as they travel, then zeros to the next block.
// Frame, little-endian, 64 bytes: crc32 u32 over the rest · magic u32 · version u16 · zero u16 · replica u32 ·
// segment u32 · block u32 · prepare length u32 · zero u32 · op u64 · prepare id 16 · zeros.
// The frame names its own place, so that valid bytes in the wrong place are seen for what they are (pitfall 26).
const magic = 0x4452_4d4b;
const version = 1;

export interface Frame {
  readonly op: Op;
  readonly id: Checksum;
  readonly lengthBytes: number;
}

/** Writes frame and prepare at `at`; the rest of the block is zero already. */
export function encodeRecordInto(
  target: Uint8Array,
  at: number,
  prepare: Prepare,
  place: Location,
  identity: LogIdentity,
): void {
  const writer = new FixedWriter(frameBytes);
  writer.u32(0).u32(magic).u16(version).u16(0).u32(identity.replica).u32(place.segment);
  writer
    .u32(place.offset / blockBytes)
    .u32(prepare.bytes.length)
    .u32(0);
  writer.u64(prepare.header.op).hex128(prepare.header.id);
  const { bytes } = writer;
  new DataView(bytes.buffer).setUint32(0, identity.crc32(bytes.subarray(4)), true);
  target.set(bytes, at);
  target.set(prepare.bytes, at + frameBytes);
}

/** The frame at the start of `bytes`, or null unless it is whole and belongs to exactly this place. */
export function decodeFrame(
  bytes: Uint8Array,
  place: { readonly segment: number; readonly offset: number },
  identity: LogIdentity,
): Frame | null {
  if (bytes.length < frameBytes) return null;
  const reader = new FixedReader(bytes);
  const crc = reader.u32();
  if (reader.u32() !== magic) return null;
  if (identity.crc32(bytes.subarray(4, frameBytes)) !== crc) return null;
  if (reader.u16() !== version) return null;
  reader.u16();
  if (reader.u32() !== identity.replica) return null;
  if (reader.u32() !== place.segment || reader.u32() * blockBytes !== place.offset) return null;
  const lengthBytes = reader.u32();
  reader.u32();
  const op = reader.u64() as Op;
  const id = reader.hex128() as Checksum;
  if (reader.failed || op < 1 || lengthBytes > prepareBytesMax) return null;
  return { op, id, lengthBytes };
}

/** The prepare behind an intact frame, or null when it is not the one the frame names. Keeps a view of `bytes`. */
export function decodeRecordBody(bytes: Uint8Array, frame: Frame, identity: LogIdentity): Prepare | null {
  const decoded = decodePrepare(bytes.subarray(frameBytes, frameBytes + frame.lengthBytes), identity.hasher);
  if (!decoded.ok) return null;
  const { header } = decoded.value;
  if (header.id !== frame.id || header.op !== frame.op || header.cluster !== identity.cluster) return null;
  return decoded.value;
}

/** Whole record at its place. Null when anything about it is damaged. */
export function decodeRecord(bytes: Uint8Array, place: Location, identity: LogIdentity): Prepare | null {
  const frame = decodeFrame(bytes, place, identity);
  if (frame === null || frame.lengthBytes !== place.lengthBytes) return null;
  return decodeRecordBody(bytes, frame, identity);
}

export const isPaddingZero = (record: Uint8Array, lengthBytes: number): boolean =>
  isZero(record, frameBytes + lengthBytes);
