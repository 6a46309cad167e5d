import {
  assert,
  type ClusterId,
  type Crc32,
  type Hasher,
  prepareBodyBytesMax,
  prepareHeaderBytes,
  type ReplicaId,
} from '@kimberlite/base';

/** What every checksummed thing on the disk is bound to, and how it is checked. */
export interface LogIdentity {
  readonly cluster: ClusterId;
  readonly replica: ReplicaId;
  readonly hasher: Hasher;
  readonly crc32: Crc32;
}

/** Sizes fixed when a directory is formatted, and kept in its superblock. */
export interface Geometry {
  /** Bytes of one segment file, its header block included. */
  readonly segmentBytes: number;
  /** Header records in one headers file. */
  readonly headerSlots: number;
}

/**
 * Unit in which bodies are placed. A page and the physical sector of current disks: no two prepares that were
 * synced apart share one, so a torn write cannot reach what was acknowledged before it.
 */
export const blockBytes = 4096;

/** A header record. Two fit a 512-byte sector, the smallest unit a disk writes whole, so none is ever torn. */
export const headerRecordBytes = 256;

/** In front of a prepare in a segment. */
export const frameBytes = 64;

export const alignToBlock = (sizeBytes: number): number => Math.ceil(sizeBytes / blockBytes) * blockBytes;

/** Bytes a prepare of that length takes up in a segment. */
export const recordBytes = (prepareLengthBytes: number): number => alignToBlock(frameBytes + prepareLengthBytes);

export const prepareBytesMax: number = prepareHeaderBytes + prepareBodyBytesMax;
export const recordBytesMax: number = recordBytes(prepareBytesMax);
export const segmentBytesMin: number = blockBytes + recordBytesMax;
const segmentBytesMax = 0x4000_0000;
const headerSlotsMax = 0x10_0000;

/** 64 MiB: seldom enough a new file, soon enough zeroed. 65,536 slots: 16 MiB. */
export const defaultGeometry: Geometry = { segmentBytes: 67_108_864, headerSlots: 65_536 };

export const isGeometry = (g: Geometry): boolean =>
  g.segmentBytes >= segmentBytesMin &&
  g.segmentBytes <= segmentBytesMax &&
  g.segmentBytes % blockBytes === 0 &&
  g.headerSlots >= 16 &&
  g.headerSlots <= headerSlotsMax &&
  (g.headerSlots * headerRecordBytes) % blockBytes === 0;

assert(isGeometry(defaultGeometry), 'the default sizes of files are within their bounds');

export const headersBytes = (geometry: Geometry): number => blockBytes + geometry.headerSlots * headerRecordBytes;

/** Where the header record of an op is. */
export interface HeaderPlace {
  /** Sequence of the headers file, from 1. */
  readonly sequence: number;
  readonly offset: number;
}

export function headerPlace(geometry: Geometry, op: number): HeaderPlace {
  assert(op >= 1, 'op 0 is the root and is never written');
  const slot = (op - 1) % geometry.headerSlots;
  return {
    sequence: Math.floor((op - 1) / geometry.headerSlots) + 1,
    offset: blockBytes + slot * headerRecordBytes,
  };
}

/** Where a prepare is. */
export interface Location {
  /** Sequence of the segment file, from 1. */
  readonly segment: number;
  readonly offset: number;
  /** Bytes of the prepare, header and body. */
  readonly lengthBytes: number;
}

/** Orders places by time: segments are only ever appended to. */
export const isBehind = (a: Location, b: Location): boolean =>
  a.segment === b.segment ? a.offset > b.offset : a.segment > b.segment;

export type FileKind = 'segment' | 'headers';
export const superblockFile = 'superblock';
const unfinishedPrefix = 'unfinished-';

export const fileName = (kind: FileKind, sequence: number): string => `${kind}-${`${sequence}`.padStart(8, '0')}.wal`;

/** Name a file has until it is complete and synced; a crash leaves it behind and the next open removes it. */
export const unfinishedName = (file: string): string => unfinishedPrefix + file;

export type KnownFile =
  | { readonly type: 'superblock' }
  | { readonly type: 'unfinished' }
  | { readonly type: 'numbered'; readonly kind: FileKind; readonly sequence: number }
  /** `receiving`: parts of it may not be there yet. */
  | { readonly type: 'checkpoint' | 'receiving'; readonly op: number };

export const checkpointFile = (op: number): string => `checkpoint-${`${op}`.padStart(16, '0')}.ckp`;

/** Name a checkpoint has while its parts come from peers. Unlike an unfinished one it is gone on with after a restart. */
export const receivingFile = (op: number): string => `receiving-${`${op}`.padStart(16, '0')}.ckp`;

const checkpoint = /^(checkpoint|receiving)-([0-9]{16})\.ckp$/;
const numbered = /^(segment|headers)-([0-9]{8})\.wal$/;

/** What a name in the directory stands for; null for files of others, which are left alone. */
export function parseFileName(file: string): KnownFile | null {
  if (file === superblockFile) return { type: 'superblock' };
  if (file.startsWith(unfinishedPrefix)) return { type: 'unfinished' };
  const [, type, op] = checkpoint.exec(file) ?? [];
  if (type !== undefined) return { type: type === 'checkpoint' ? 'checkpoint' : 'receiving', op: Number(op) };
  const match = numbered.exec(file);
  if (match === null) return null;
  return { type: 'numbered', kind: match[1] === 'segment' ? 'segment' : 'headers', sequence: Number(match[2]) };
}

/** Sequences of the numbered files of one kind, ascending. */
export function sequencesOf(files: readonly string[], kind: FileKind): number[] {
  const sequences: number[] = [];
  for (const file of files) {
    const known = parseFileName(file);
    if (known !== null && known.type === 'numbered' && known.kind === kind) sequences.push(known.sequence);
  }
  return sequences.sort((a, b) => a - b);
}

/** What lies below the low end of the log was left by a trim that was cut off, and is no part of it. */
export function isTrimmed(
  file: string,
  geometry: Geometry,
  trim: { readonly op: number; readonly segment: number },
): boolean {
  const known = parseFileName(file);
  if (known?.type !== 'numbered') return false;
  return known.sequence < (known.kind === 'segment' ? trim.segment : headerPlace(geometry, trim.op).sequence);
}

/** True when all bytes of [from, to) are zero. Compares words where the buffer allows it. */
export function isZero(bytes: Uint8Array, from = 0, to: number = bytes.length): boolean {
  let at = from;
  const start = bytes.byteOffset + from;
  if (start % 4 === 0) {
    const words = new Uint32Array(bytes.buffer, start, (to - from) >> 2);
    for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
    at = from + words.length * 4;
  }
  for (; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
