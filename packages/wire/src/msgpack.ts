import { ok, type Result } from '@kimberlite/base';
import { Packr, RESERVE_START_SPACE } from 'msgpackr';
import { frameHeaderBytes } from './frame.ts';
import { msgpackDepthMax } from './limits.ts';
import { type WireError, wireError } from './wire-error.ts';

// msgpackr behind a gate. By itself it honours record definitions and class extensions from whoever sends
// them, recurses as deep as the input nests, repairs broken UTF-8 and renames keys; each of these would let a
// peer choose what is built here, or let two replicas read one body differently. So bytes are walked first,
// without recursion, and only plain nil, bool, numbers, text, bytes, arrays and maps with text keys get through.

const packr = new Packr({ useRecords: false, copyBuffers: true, encodeUndefinedAsNil: true });
const viewing = new Packr({ useRecords: false, copyBuffers: false });

/** The value as msgpack. What is `undefined` becomes null. */
export function pack(value: unknown): Uint8Array {
  const bytes: Uint8Array = packr.pack(value);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The same behind room for a frame header. */
export function packFrameBody(value: unknown): Uint8Array {
  const bytes: Uint8Array = packr.pack(value, RESERVE_START_SPACE | frameHeaderBytes);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Plain data only; byte strings are copies. Never throws. */
export const unpack = (bytes: Uint8Array): Result<unknown, WireError> => unpackWith(packr, bytes);

/** The same with byte strings as views of `bytes`: for who keeps neither, or both. */
export const unpackViews = (bytes: Uint8Array): Result<unknown, WireError> => unpackWith(viewing, bytes);

function unpackWith(unpackr: Packr, bytes: Uint8Array): Result<unknown, WireError> {
  const problem = scan(bytes);
  if (problem !== null) return wireError('shape', `not plain msgpack: ${problem}`);
  try {
    return ok(unpackr.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)) as unknown);
  } catch (thrown) {
    return wireError('shape', `not plain msgpack: ${thrown instanceof Error ? thrown.message : 'unreadable'}`);
  }
}

type Item =
  /** A scalar with this many bytes behind its token. */
  | { readonly type: 'scalar'; readonly bytes: number }
  /** A string or byte string whose length has this many bytes. */
  | { readonly type: 'text' | 'bytes' | 'array' | 'map'; readonly lengthBytes: number; readonly length: number }
  | { readonly type: 'refused' };

const refused: Item = { type: 'refused' };

function itemOf(token: number): Item {
  if (token < 0x80 || token >= 0xe0) return { type: 'scalar', bytes: 0 };
  if (token < 0x90) return { type: 'map', lengthBytes: 0, length: token & 0x0f };
  if (token < 0xa0) return { type: 'array', lengthBytes: 0, length: token & 0x0f };
  if (token < 0xc0) return { type: 'text', lengthBytes: 0, length: token & 0x1f };
  switch (token) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return { type: 'scalar', bytes: 0 };
    case 0xcc:
    case 0xd0:
      return { type: 'scalar', bytes: 1 };
    case 0xcd:
    case 0xd1:
      return { type: 'scalar', bytes: 2 };
    case 0xca:
    case 0xce:
    case 0xd2:
      return { type: 'scalar', bytes: 4 };
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return { type: 'scalar', bytes: 8 };
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return { type: 'bytes', lengthBytes: 1 << (token - 0xc4), length: 0 };
    case 0xd9:
    case 0xda:
    case 0xdb:
      return { type: 'text', lengthBytes: 1 << (token - 0xd9), length: 0 };
    case 0xdc:
    case 0xdd:
      return { type: 'array', lengthBytes: 2 << (token - 0xdc), length: 0 };
    case 0xde:
    case 0xdf:
      return { type: 'map', lengthBytes: 2 << (token - 0xde), length: 0 };
    default:
      // 0xc1 and every extension: records, classes, dates, sets, references, bundled strings.
      return refused;
  }
}

const items: readonly Item[] = Array.from({ length: 256 }, (_, token) => itemOf(token));

/** Null for exactly one value of plain msgpack, else what is wrong with it. */
function scan(bytes: Uint8Array): string | null {
  const left: number[] = [1];
  const isMap: boolean[] = [false];
  let depth = 0;
  let at = 0;
  // Each turn takes at least one byte or leaves one container, so it ends.
  for (;;) {
    while (left[depth] === 0) {
      if (depth === 0) return at === bytes.length ? null : 'bytes follow the value';
      depth--;
    }
    const remaining = left[depth] as number;
    const wantsKey = isMap[depth] === true && remaining % 2 === 0;
    left[depth] = remaining - 1;
    if (at >= bytes.length) return 'it ends early';
    const item = items[bytes[at] as number] as Item;
    at++;
    if (item.type === 'refused') return 'it has an extension';
    if (wantsKey && item.type !== 'text') return 'a map has a key that is not text';
    if (item.type === 'scalar') {
      at += item.bytes;
      if (at > bytes.length) return 'it ends early';
      continue;
    }
    if (at + item.lengthBytes > bytes.length) return 'it ends early';
    let length = item.length;
    for (let i = 0; i < item.lengthBytes; i++) length = length * 256 + (bytes[at + i] as number);
    at += item.lengthBytes;
    if (item.type === 'array' || item.type === 'map') {
      const count = item.type === 'map' ? 2 * length : length;
      if (count > bytes.length - at) return 'it ends early';
      depth++;
      if (depth > msgpackDepthMax) return `it nests deeper than ${msgpackDepthMax}`;
      left[depth] = count;
      isMap[depth] = item.type === 'map';
      continue;
    }
    const end = at + length;
    if (end > bytes.length) return 'it ends early';
    if (item.type === 'text') {
      if (!isUtf8(bytes, at, end)) return 'text is not well-formed UTF-8';
      if (wantsKey && isProto(bytes, at, length)) return 'a map has the key __proto__';
    }
    at = end;
  }
}

const proto = [0x5f, 0x5f, 0x70, 0x72, 0x6f, 0x74, 0x6f, 0x5f, 0x5f];

const isProto = (bytes: Uint8Array, at: number, length: number): boolean =>
  length === proto.length && proto.every((byte, i) => bytes[at + i] === byte);

/** Strict: overlong forms, surrogates and values past U+10FFFF are not UTF-8. */
function isUtf8(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  while (at < to) {
    const first = bytes[at] as number;
    if (first < 0x80) {
      at++;
      continue;
    }
    const extra = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || at + extra >= to) return false;
    const second = bytes[at + 1] as number;
    const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) return false;
    for (let i = 2; i <= extra; i++) if (((bytes[at + i] as number) & 0xc0) !== 0x80) return false;
    at += extra + 1;
  }
  return true;
}
