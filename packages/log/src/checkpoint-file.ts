import {
  assert,
  type Checksum,
  type CheckpointRef,
  checkpointPartBytes,
  checkpointPartLength,
  checkpointPartsMax,
  decodePrepareHeader,
  encodePrepareHeader,
  FixedReader,
  FixedWriter,
  manifestBytes,
  prepareHeaderBytes,
} from '@kimberlite/base';
import { alignToBlock, blockBytes, isZero, type LogIdentity } from './layout.ts';

// A checkpoint file: a header block, the content, zeros to the next block, the manifest, zeros to the next block. All
// places follow from the length of the content, so whoever has the ref finds and checks everything without believing
// the header block, and a checkpoint of which that is damaged can still be read.
// Header block, little-endian: crc32 u32 over the rest of the block · magic u32 · version u16 · zero u16 · cluster 16 ·
// replica u32 · zero u32 · content length u64 · manifest checksum 16 · prepare header 128 · zeros.
const magic = 0x4b43_4d4b;
const version = 1;

assert(checkpointPartBytes % blockBytes === 0, 'parts of checkpoints lie at whole blocks');

export const partOffset = (number: number): number => blockBytes + number * checkpointPartBytes;
export const manifestOffset = (contentBytes: number): number => blockBytes + alignToBlock(contentBytes);
export const checkpointFileBytes = (contentBytes: number): number =>
  manifestOffset(contentBytes) + alignToBlock(manifestBytes(contentBytes));

/** With zeros up to the next block. */
export function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length % blockBytes === 0) return bytes;
  const whole = new Uint8Array(alignToBlock(bytes.length));
  whole.set(bytes);
  return whole;
}

export function encodeCheckpointHeader(ref: CheckpointRef, identity: LogIdentity): Uint8Array {
  const writer = new FixedWriter(blockBytes);
  writer.u32(0).u32(magic).u16(version).u16(0).hex128(identity.cluster).u32(identity.replica).u32(0);
  writer.u64(ref.contentBytes).hex128(ref.checksum).raw(encodePrepareHeader(ref.header));
  const { bytes } = writer;
  new DataView(bytes.buffer).setUint32(0, identity.crc32(bytes.subarray(4)), true);
  return bytes;
}

/** What the header block says; null when it is damaged, of another place, or of another replica or cluster. */
export function decodeCheckpointHeader(bytes: Uint8Array, op: number, identity: LogIdentity): CheckpointRef | null {
  assert(bytes.length === blockBytes, 'the header of a checkpoint is one block');
  const reader = new FixedReader(bytes);
  const crc = reader.u32();
  if (isZero(bytes) || identity.crc32(bytes.subarray(4)) !== crc || reader.u32() !== magic) return null;
  if (reader.u16() !== version) return null;
  reader.u16();
  const owned = reader.hex128() === identity.cluster && reader.u32() === identity.replica;
  reader.u32();
  const contentBytes = reader.u64();
  const checksum = reader.hex128() as Checksum;
  const header = decodePrepareHeader(reader.raw(prepareHeaderBytes), identity.hasher);
  if (!owned || reader.failed || !header.ok || header.value.op !== op) return null;
  if (header.value.cluster !== identity.cluster || contentBytes > checkpointPartsMax * checkpointPartBytes) return null;
  return { header: header.value, contentBytes, checksum };
}

/** Checks a part against the bytes of an intact manifest, without taking all of that apart. */
export function isPart(
  manifest: Uint8Array,
  ref: CheckpointRef,
  number: number,
  bytes: Uint8Array,
  identity: LogIdentity,
): boolean {
  if (bytes.length !== checkpointPartLength(ref.contentBytes, number)) return false;
  const at = manifest.length - manifestBytes(ref.contentBytes) + manifestBytes(0) + number * 16;
  return identity.hasher(bytes) === new FixedReader(manifest, at).hex128();
}
