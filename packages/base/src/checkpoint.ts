import { assert } from './assert.ts';
import { FixedReader, FixedWriter } from './bytes.ts';
import type { Hasher } from './checksum.ts';
import type { Checksum } from './ids.ts';
import { checkpointPartBytes, checkpointPartsMax } from './limits.ts';
import { decodePrepareHeader, encodePrepareHeader, type PrepareHeader, prepareHeaderBytes } from './prepare.ts';
import { err, ok, type Result } from './result.ts';

/** What names a checkpoint: equal on all replicas that have it. */
export interface CheckpointRef {
  /** Of the op it was taken at. */
  readonly header: PrepareHeader;
  readonly contentBytes: number;
  /** Of the manifest's bytes. */
  readonly checksum: Checksum;
}

/**
 * The content of a checkpoint in parts of `checkpointPartBytes`, the last one shorter, each by its checksum. Nothing of
 * one replica is in it.
 *
 * Little-endian: magic u32 · version u16 · zero u16 · content length u64 · parts u32 · zero u32 · prepare header 128 ·
 * 16 for each part.
 */
export interface CheckpointManifest {
  readonly header: PrepareHeader;
  readonly contentBytes: number;
  readonly parts: readonly Checksum[];
}

const magic = 0x464d_4d4b; // "KMMF"
const version = 1;
const fixedBytes = 24 + prepareHeaderBytes;

/** Parts in a content of that length. */
export const checkpointParts = (contentBytes: number): number => Math.ceil(contentBytes / checkpointPartBytes);

/** Bytes of part `number`, from 0. */
export const checkpointPartLength = (contentBytes: number, number: number): number =>
  Math.min(checkpointPartBytes, contentBytes - number * checkpointPartBytes);

export const manifestBytes = (contentBytes: number): number => fixedBytes + checkpointParts(contentBytes) * 16;

export function encodeManifest(manifest: CheckpointManifest): Uint8Array {
  const { contentBytes, parts } = manifest;
  assert(parts.length === checkpointParts(contentBytes), 'a manifest names every part of the content');
  assert(parts.length <= checkpointPartsMax, 'the parts of a checkpoint are within their bound');
  const writer = new FixedWriter(manifestBytes(contentBytes));
  writer.u32(magic).u16(version).u16(0).u64(contentBytes).u32(parts.length).u32(0);
  writer.raw(encodePrepareHeader(manifest.header));
  for (const part of parts) writer.hex128(part);
  return writer.bytes;
}

export type ManifestError = 'not-a-manifest' | 'version' | 'length' | 'header';

/** Never throws. Whether it is the manifest of a certain checkpoint, its checksum tells. */
export function decodeManifest(bytes: Uint8Array, hasher: Hasher): Result<CheckpointManifest, ManifestError> {
  const reader = new FixedReader(bytes);
  if (reader.u32() !== magic) return err('not-a-manifest');
  if (reader.u16() !== version) return err('version');
  if (reader.u16() !== 0) return err('not-a-manifest');
  const contentBytes = reader.u64();
  const count = reader.u32();
  if (reader.u32() !== 0 || reader.failed) return err('not-a-manifest');
  if (count > checkpointPartsMax || count !== checkpointParts(contentBytes)) return err('length');
  if (bytes.length !== manifestBytes(contentBytes)) return err('length');
  const header = decodePrepareHeader(reader.raw(prepareHeaderBytes), hasher);
  if (!header.ok) return err('header');
  const parts = Array.from({ length: count }, () => reader.hex128() as Checksum);
  return ok({ header: header.value, contentBytes, parts });
}

export const sameCheckpoint = (a: CheckpointRef, b: CheckpointRef): boolean =>
  a.checksum === b.checksum && a.contentBytes === b.contentBytes && a.header.id === b.header.id;

/** Draws a content to its end, and names it: the hash of the list of its parts' hashes. */
export function nameContent(header: PrepareHeader, content: Iterable<Uint8Array>, hasher: Hasher): CheckpointRef {
  const parts: Checksum[] = [];
  const part = new Uint8Array(checkpointPartBytes);
  let filled = 0;
  let contentBytes = 0;
  const take = (): void => {
    parts.push(hasher(part.subarray(0, filled)));
    filled = 0;
  };
  for (const piece of content) {
    contentBytes += piece.length;
    for (let at = 0; at < piece.length; ) {
      const room = Math.min(piece.length - at, checkpointPartBytes - filled);
      part.set(piece.subarray(at, at + room), filled);
      filled += room;
      at += room;
      if (filled === checkpointPartBytes) take();
    }
  }
  if (filled > 0) take();
  return { header, contentBytes, checksum: hasher(encodeManifest({ header, contentBytes, parts })) };
}
