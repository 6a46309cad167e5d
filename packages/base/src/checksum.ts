import { toHex } from './bytes.ts';
import type { Checksum } from './ids.ts';
import { sha256 } from './sha256.ts';

/**
 * 128 bits of SHA-256 over some bytes: an identity, not only an error check (pitfall 66).
 * Pure packages get it injected; the node passes the platform's implementation.
 */
export type Hasher = (bytes: Uint8Array) => Checksum;

export const sha256Hasher: Hasher = (bytes) => toHex(sha256(bytes).subarray(0, 16)) as Checksum;

const crcTable: Uint32Array = new Uint32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  crcTable[n] = c >>> 0;
}

/** CRC-32 (IEEE 802.3, as zlib has it): finds damage in frames. Never an identity. */
export type Crc32 = (bytes: Uint8Array, seed?: number) => number;

export const crc32: Crc32 = (bytes, seed = 0) => {
  let c = ~seed;
  for (let i = 0; i < bytes.length; i++) c = (c >>> 8) ^ (crcTable[(c ^ (bytes[i] as number)) & 0xff] as number);
  return ~c >>> 0;
};
