import {
  decodePrepareHeader,
  FixedReader,
  FixedWriter,
  type PrepareHeader,
  prepareHeaderBytes,
} from '@kimberlite/base';
import { blockBytes, headerRecordBytes, isZero, type Location, type LogIdentity } from './layout.ts';

// A header record, kept apart from the prepare so that a torn write can be told from rot (pitfall 63).
// Little-endian, 256 bytes: crc32 u32 over the rest · magic u32 · version u16 · zero u16 · replica u32 · segment u32 ·
// block u32 · prepare length u32 · zero u32 · op u64 · zeros to 64 · prepare header 128 · zeros.
const magic = 0x4852_4d4b;
const version = 1;
const prepareHeaderAt = 64;

/** H of Table D. */
export type HeaderRecord =
  | { readonly state: 'none' }
  | { readonly state: 'bad' }
  | { readonly state: 'header'; readonly header: PrepareHeader; readonly place: Location };

const none: HeaderRecord = { state: 'none' };
const bad: HeaderRecord = { state: 'bad' };

/** `prepareHeader` is the first 128 bytes of the prepare, as they were received. */
export function encodeHeaderRecord(
  op: number,
  prepareHeader: Uint8Array,
  place: Location,
  identity: LogIdentity,
): Uint8Array {
  const writer = new FixedWriter(headerRecordBytes);
  writer.u32(0).u32(magic).u16(version).u16(0).u32(identity.replica).u32(place.segment);
  writer
    .u32(place.offset / blockBytes)
    .u32(place.lengthBytes)
    .u32(0)
    .u64(op);
  const { bytes } = writer;
  bytes.set(prepareHeader.subarray(0, prepareHeaderBytes), prepareHeaderAt);
  new DataView(bytes.buffer).setUint32(0, identity.crc32(bytes.subarray(4)), true);
  return bytes;
}

/**
 * The record in the slot of `op`. Zeros are none. Slots are not shared by ops here, so a whole record of another op
 * is a misdirected write and counts as bad, which claims less than none would.
 */
export function decodeHeaderRecord(bytes: Uint8Array, op: number, identity: LogIdentity): HeaderRecord {
  if (isZero(bytes)) return none;
  const reader = new FixedReader(bytes);
  const crc = reader.u32();
  if (reader.u32() !== magic || identity.crc32(bytes.subarray(4, headerRecordBytes)) !== crc) return bad;
  if (reader.u16() !== version) return bad;
  reader.u16();
  if (reader.u32() !== identity.replica) return bad;
  const segment = reader.u32();
  const offset = reader.u32() * blockBytes;
  const lengthBytes = reader.u32();
  reader.u32();
  if (reader.u64() !== op || reader.failed) return bad;
  const decoded = decodePrepareHeader(bytes.subarray(prepareHeaderAt), identity.hasher);
  if (!decoded.ok) return bad;
  const header = decoded.value;
  if (header.op !== op || header.cluster !== identity.cluster) return bad;
  if (lengthBytes !== prepareHeaderBytes + header.bodyLengthBytes) return bad;
  return { state: 'header', header, place: { segment, offset, lengthBytes } };
}
