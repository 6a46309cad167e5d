import { assert, FixedReader, FixedWriter } from '@kimberlite/base';
import { blockBytes, type FileKind, type Geometry, headersBytes, isZero, type LogIdentity } from './layout.ts';

// First block of every segment and headers file, little-endian: crc32 u32 over the rest of the block · magic u32 ·
// version u16 · kind u8 · zero u8 · cluster 16 · replica u32 · sequence u32 · size u64 · zeros.
const magic = 0x4653_4d4b;
const version = 1;
const kinds: Readonly<Record<FileKind, number>> = { segment: 1, headers: 2 };

export const fileSizeBytes = (geometry: Geometry, kind: FileKind): number =>
  kind === 'segment' ? geometry.segmentBytes : headersBytes(geometry);

export interface FileHeader {
  readonly kind: FileKind;
  readonly sequence: number;
  readonly sizeBytes: number;
}

export function encodeFileHeader(header: FileHeader, identity: LogIdentity): Uint8Array {
  const writer = new FixedWriter(blockBytes);
  writer.u32(0).u32(magic).u16(version).u8(kinds[header.kind]).u8(0).hex128(identity.cluster);
  writer.u32(identity.replica).u32(header.sequence).u64(header.sizeBytes);
  const { bytes } = writer;
  new DataView(bytes.buffer).setUint32(0, identity.crc32(bytes.subarray(4)), true);
  return bytes;
}

export type FileHeaderVerdict = 'intact' | 'bad' | 'foreign' | 'version';

/**
 * bad: damaged, and may be written again since everything in it is known otherwise. foreign: whole, but of another
 * cluster, replica, file or size: somebody copied files about.
 */
export function checkFileHeader(bytes: Uint8Array, expected: FileHeader, identity: LogIdentity): FileHeaderVerdict {
  assert(bytes.length === blockBytes, 'a file header is one block');
  const reader = new FixedReader(bytes);
  const crc = reader.u32();
  if (isZero(bytes) || identity.crc32(bytes.subarray(4)) !== crc || reader.u32() !== magic) return 'bad';
  if (reader.u16() !== version) return 'version';
  const kind = reader.u8();
  reader.u8();
  const cluster = reader.hex128();
  const replica = reader.u32();
  const sequence = reader.u32();
  const sizeBytes = reader.u64();
  const same =
    kind === kinds[expected.kind] &&
    cluster === identity.cluster &&
    replica === identity.replica &&
    sequence === expected.sequence &&
    sizeBytes === expected.sizeBytes;
  return same ? 'intact' : 'foreign';
}
