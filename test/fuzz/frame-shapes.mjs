import { frameHeaderBytes } from '@kimberlite/wire';
import { nodeCrc32 } from '@kimberlite/node';

// Frames put together by hand, so that also those can be made that the codec never would.

const magic = 0x574c_424b;
export const kinds = { peer: 1, client: 2, server: 3, peerHello: 4 };

/** A frame with a right checksum around whatever it is told to say. */
export function seal(body, { kind = kinds.client, version = 1, reserved = 0, length = body.length } = {}) {
  const frame = new Uint8Array(frameHeaderBytes + body.length);
  frame.set(body, frameHeaderBytes);
  const view = new DataView(frame.buffer);
  view.setUint32(0, magic, true);
  view.setUint16(8, version, true);
  view.setUint8(10, kind);
  view.setUint8(11, reserved);
  view.setUint32(12, length, true);
  view.setUint32(4, nodeCrc32(frame.subarray(8)), true);
  return frame;
}

export function flipBits(random, frame, flips) {
  const copy = frame.slice();
  for (let i = 0; i < flips; i++) copy[random.below(copy.length)] ^= 1 << random.below(8);
  // An even number of flips may cancel out.
  return copy.every((byte, i) => byte === frame[i]) ? flipBits(random, frame, 1) : copy;
}

export const truncate = (random, frame) => frame.slice(0, random.below(frame.length));

export function lengthen(random, frame) {
  const longer = new Uint8Array(frame.length + 1 + random.below(64));
  longer.set(frame);
  return longer;
}

/** MessagePack that claims or nests more than it may, or that names what no plain value has. */
export const bombs = {
  'array32 of 2^32 - 1': () => Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
  'map32 of 2^32 - 1': () => Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x61),
  'bin32 of 2^32 - 1': () => Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff),
  'str32 of 2^31': () => Uint8Array.of(0xdb, 0x80, 0, 0, 0),
  '10,000 arrays deep': () => new Uint8Array(10_000).fill(0x91),
  '10,000 maps deep': () => Uint8Array.from({ length: 30_000 }, (_, i) => [0x81, 0xa1, 0x61][i % 3]),
  '60,000 empty maps': () => {
    const bytes = new Uint8Array(60_003).fill(0x80);
    bytes.set([0xdc, 60_000 >> 8, 60_000 & 0xff]);
    return bytes;
  },
  'key __proto__': () => Uint8Array.of(0x91, 0x81, 0xa9, ...Buffer.from('__proto__'), 0x80),
  'key constructor': () => Uint8Array.of(0x91, 0x81, 0xab, ...Buffer.from('constructor'), 0x80),
  'record definition': () => Uint8Array.of(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01),
  'class Error': () => Uint8Array.of(0xc7, 0x00, 0x65, 0x92, 0xa5, ...Buffer.from('Error'), 0xa1, 0x78),
  'regular expression': () => Uint8Array.of(0xc7, 0x00, 0x78, 0x92, 0xa6, ...Buffer.from('(a+)+$'), 0xa0),
  'typed array': () => Uint8Array.of(0xc7, 0x05, 0x74, 0x08, 1, 2, 3, 4),
  'NaN where a list belongs': () => Uint8Array.of(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0),
  'broken UTF-8': () => Uint8Array.of(0x91, 0xa2, 0xc3, 0x28),
  'lone surrogate': () => Uint8Array.of(0x91, 0xa3, 0xed, 0xa0, 0x80),
  nothing: () => new Uint8Array(0),
};
