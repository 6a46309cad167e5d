import { assert } from './assert.ts';
import { FixedReader, FixedWriter, hexInto } from './bytes.ts';
import type { Hasher } from './checksum.ts';
import type { Checksum, ClusterId, Op, Timestamp, View } from './ids.ts';
import { prepareBodyBytesMax } from './limits.ts';
import { err, ok, type Result } from './result.ts';

/**
 * A prepare is the unit that is replicated and logged: a header and the bytes of a batch of requests.
 * Its id is a checksum over the whole header, which holds the checksum of the body; so the id names both,
 * a header can be checked without its body, and neither is ever encoded again (pitfall 66).
 * A prepare keeps its header for ever: sent again in a later view, only the message around it names that view.
 *
 * Header, little-endian, 128 bytes: id 16 · magic u32 · version u16 · reserved u16 · cluster 16 · op u64 ·
 * view u64 · parent 16 · timestamp u64 · body length u32 · reserved u32 · body checksum 16 · zeros to 128.
 */
export interface PrepareHeader {
  readonly id: Checksum;
  readonly cluster: ClusterId;
  readonly op: Op;
  /** The view in which the prepare was made. */
  readonly view: View;
  /** Id of the prepare at `op - 1`; the root's for op 1. */
  readonly parent: Checksum;
  readonly timestamp: Timestamp;
  readonly bodyLengthBytes: number;
  readonly bodyChecksum: Checksum;
}

export interface Prepare {
  readonly header: PrepareHeader;
  /** Header and body exactly as they travel and are stored; `bytes.length = prepareHeaderBytes + bodyLengthBytes`. */
  readonly bytes: Uint8Array;
}

export const prepareHeaderBytes = 128;
const magic = 0x4c424d4b; // "KMBL"
const version = 1;
const idBytes = 16;

export type PrepareError = 'truncated' | 'not-a-prepare' | 'version' | 'header-checksum' | 'length' | 'body-checksum';

/** The header of op 0, from which every log grows. It differs by cluster, so foreign logs never link. */
export function rootHeader(cluster: ClusterId, hasher: Hasher): PrepareHeader {
  return makePrepare({ cluster, op: 0, view: 0, parent: '0'.repeat(32), timestamp: 0, body: new Uint8Array(0) }, hasher)
    .header;
}

export interface NewPrepare {
  readonly cluster: string;
  readonly op: number;
  readonly view: number;
  readonly parent: string;
  readonly timestamp: number;
  readonly body: Uint8Array;
}

/** Builds a prepare around a body. Called once per op, by the primary that assigns it. */
export function makePrepare(fields: NewPrepare, hasher: Hasher): Prepare {
  const { body } = fields;
  assert(body.length <= prepareBodyBytesMax, 'a prepare body is within its bound');
  const bodyChecksum = hasher(body);
  const writer = new FixedWriter(prepareHeaderBytes + body.length);
  writer.raw(new Uint8Array(idBytes)).u32(magic).u16(version).u16(0).hex128(fields.cluster);
  writer.u64(fields.op).u64(fields.view).hex128(fields.parent).u64(fields.timestamp);
  writer.u32(body.length).u32(0).hex128(bodyChecksum);
  assert(writer.offset <= prepareHeaderBytes, 'the header fits its fixed size');
  const { bytes } = writer;
  bytes.set(body, prepareHeaderBytes);
  const id = hasher(bytes.subarray(idBytes, prepareHeaderBytes));
  hexInto(id, bytes, 0);
  const header: PrepareHeader = {
    id,
    cluster: fields.cluster as ClusterId,
    op: fields.op as Op,
    view: fields.view as View,
    parent: fields.parent as Checksum,
    timestamp: fields.timestamp as Timestamp,
    bodyLengthBytes: body.length,
    bodyChecksum,
  };
  return { header, bytes };
}

/** Decodes and checks the first 128 bytes. Never throws. */
export function decodePrepareHeader(bytes: Uint8Array, hasher: Hasher): Result<PrepareHeader, PrepareError> {
  if (bytes.length < prepareHeaderBytes) return err('truncated');
  const reader = new FixedReader(bytes);
  const id = reader.hex128();
  if (reader.u32() !== magic) return err('not-a-prepare');
  if (reader.u16() !== version) return err('version');
  if (hasher(bytes.subarray(idBytes, prepareHeaderBytes)) !== id) return err('header-checksum');
  reader.u16();
  const cluster = reader.hex128() as ClusterId;
  const op = reader.u64() as Op;
  const view = reader.u64() as View;
  const parent = reader.hex128() as Checksum;
  const timestamp = reader.u64() as Timestamp;
  const bodyLengthBytes = reader.u32();
  reader.u32();
  const bodyChecksum = reader.hex128() as Checksum;
  if (reader.failed || bodyLengthBytes > prepareBodyBytesMax) return err('length');
  return ok({ id: id as Checksum, cluster, op, view, parent, timestamp, bodyLengthBytes, bodyChecksum });
}

/** Decodes and checks a whole prepare. `bytes` is kept, not copied: the caller owns it and never writes to it again. */
export function decodePrepare(bytes: Uint8Array, hasher: Hasher): Result<Prepare, PrepareError> {
  const header = decodePrepareHeader(bytes, hasher);
  if (!header.ok) return header;
  if (bytes.length !== prepareHeaderBytes + header.value.bodyLengthBytes) return err('length');
  if (hasher(bytes.subarray(prepareHeaderBytes)) !== header.value.bodyChecksum) return err('body-checksum');
  return ok({ header: header.value, bytes });
}

/** The 128 bytes of a header, for a message that carries headers alone. */
export function encodePrepareHeader(header: PrepareHeader): Uint8Array {
  const writer = new FixedWriter(prepareHeaderBytes);
  writer.hex128(header.id).u32(magic).u16(version).u16(0).hex128(header.cluster);
  writer.u64(header.op).u64(header.view).hex128(header.parent).u64(header.timestamp);
  writer.u32(header.bodyLengthBytes).u32(0).hex128(header.bodyChecksum);
  return writer.bytes;
}

export const prepareBody = (prepare: Prepare): Uint8Array => prepare.bytes.subarray(prepareHeaderBytes);
