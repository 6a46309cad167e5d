import {
  assert,
  type Crc32,
  describeVersions,
  frameBytesMax,
  ok,
  type Result,
  speaks,
  type VersionRange,
} from '@kimberlite/base';
import { type WireError, wireError } from './wire-error.ts';

/**
 * Every message on every socket travels in a frame: a fixed header written by hand, then a body.
 *
 * Header, little-endian, 16 bytes: magic u32 · crc32 u32 over all that follows · protocol version u16 ·
 * kind u8 · reserved u8 (0) · body length u32. So a flip anywhere is found: in the magic or the checksum by
 * comparison, everywhere else by the checksum.
 *
 * The header is the same in every version of the protocol, and so is what travels with version 0: greetings, with which
 * two sides find out what they have in common, and the errors that say that it is nothing. A later release may add to
 * a greeting, which earlier ones overlook, and never takes anything away.
 */
export const frameHeaderBytes = 16;
const magic = 0x574c_424b; // "KBLW"
const checkedFrom = 8;

/** Of a frame that is understood before a version is agreed on. */
export const greetingVersion = 0;

export interface Opened {
  /** `greetingVersion`, or one that this side speaks. */
  readonly version: number;
  /** A view of the frame: copy what is kept. */
  readonly body: Uint8Array;
}

export type FrameKind = 'peer' | 'client' | 'server' | 'peer-hello';
const kindCodes: { readonly [Kind in FrameKind]: number } = { peer: 1, client: 2, server: 3, 'peer-hello': 4 };

/** Writes the header in front of a body that is in place already, at `frameHeaderBytes`. */
export function sealFrame(kind: FrameKind, version: number, frame: Uint8Array, crc32: Crc32): Uint8Array {
  assert(frame.length >= frameHeaderBytes, 'a frame has room for its header');
  assert(frame.length <= frameBytesMax, () => `a frame of ${frame.length} bytes is over its bound ${frameBytesMax}`);
  const data = new DataView(frame.buffer, frame.byteOffset, frame.length);
  data.setUint32(0, magic, true);
  data.setUint16(8, version, true);
  data.setUint8(10, kindCodes[kind]);
  data.setUint8(11, 0);
  data.setUint32(12, frame.length - frameHeaderBytes, true);
  data.setUint32(4, crc32(frame.subarray(checkedFrom)), true);
  return frame;
}

export interface OpenOptions {
  readonly kind: FrameKind;
  readonly crc32: Crc32;
  readonly versions: VersionRange;
}

/** Never throws. */
export function openFrame(frame: Uint8Array, { kind, crc32, versions }: OpenOptions): Result<Opened, WireError> {
  // The size first: nothing below may cost more than a bounded amount.
  if (frame.length > frameBytesMax) {
    return wireError('too-large', `a frame of ${frame.length} bytes; at most ${frameBytesMax} are allowed`);
  }
  if (frame.length < frameHeaderBytes) {
    return wireError('truncated', `a frame of ${frame.length} bytes; its header alone has ${frameHeaderBytes}`);
  }
  const data = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (data.getUint32(0, true) !== magic) return wireError('magic', 'this is not a Kimberlite frame');
  const version = data.getUint16(8, true);
  if (version !== greetingVersion && !speaks(versions, version)) {
    const own = describeVersions(versions);
    return wireError('version', `a frame of protocol version ${version}; this side speaks ${own}`);
  }
  const lengthBytes = data.getUint32(12, true);
  const foundBytes = frame.length - frameHeaderBytes;
  if (foundBytes < lengthBytes) {
    return wireError('truncated', `a frame body of ${foundBytes} bytes; its header says ${lengthBytes}`);
  }
  if (foundBytes > lengthBytes) {
    return wireError('length', `a frame body of ${foundBytes} bytes; its header says ${lengthBytes}`);
  }
  if (data.getUint32(4, true) !== crc32(frame.subarray(checkedFrom))) {
    return wireError('checksum', 'the frame was damaged on its way');
  }
  const found = data.getUint8(10);
  if (found !== kindCodes[kind])
    return wireError('kind', `a frame of kind ${found}; ${kindCodes[kind]} (${kind}) was expected`);
  if (data.getUint8(11) !== 0) return wireError('shape', 'the reserved byte of the frame is not 0');
  // A plain view also where the platform hands out a subclass whose `slice` does not copy.
  return ok({ version, body: new Uint8Array(frame.buffer, frame.byteOffset + frameHeaderBytes, lengthBytes) });
}
