import { assert } from '@kimberlite/base';
import type { Lanes } from './value.ts';

// The state hash is a sum modulo 2^128 of one 128-bit hash per (part, key, value), so adding or removing an
// entry costs that entry alone and the order of changes does not matter. The hash of an entry is
// MurmurHash3 x86_128 (Appleby, public domain) with four seeds: it only has to find accidents and bugs, since
// replicas trust each other; prepares are protected by SHA-256.

const hexDigits = '0123456789abcdef';

/** A sum of hashes. Mutable; copy before sharing. */
export class Digest implements Lanes {
  a: number;
  b: number;
  c: number;
  d: number;

  constructor(a = 0, b = 0, c = 0, d = 0) {
    this.a = a | 0;
    this.b = b | 0;
    this.c = c | 0;
    this.d = d | 0;
  }

  copy(): Digest {
    return new Digest(this.a, this.b, this.c, this.d);
  }

  /** this := this + other (mod 2^128). */
  add(other: Lanes): void {
    const a = (this.a >>> 0) + (other.a >>> 0);
    const b = (this.b >>> 0) + (other.b >>> 0) + (a > 0xffffffff ? 1 : 0);
    const c = (this.c >>> 0) + (other.c >>> 0) + (b > 0xffffffff ? 1 : 0);
    this.d = (this.d + other.d + (c > 0xffffffff ? 1 : 0)) | 0;
    this.a = a | 0;
    this.b = b | 0;
    this.c = c | 0;
  }

  /** this := this - other (mod 2^128). */
  subtract(other: Lanes): void {
    const a = (this.a >>> 0) - (other.a >>> 0);
    const b = (this.b >>> 0) - (other.b >>> 0) - (a < 0 ? 1 : 0);
    const c = (this.c >>> 0) - (other.c >>> 0) - (b < 0 ? 1 : 0);
    this.d = (this.d - other.d - (c < 0 ? 1 : 0)) | 0;
    this.a = a | 0;
    this.b = b | 0;
    this.c = c | 0;
  }

  /** 32 lower-case hex digits, most significant first. */
  hex(): string {
    let text = '';
    for (const lane of [this.d, this.c, this.b, this.a]) {
      for (let shift = 28; shift >= 0; shift -= 4) text += hexDigits.charAt((lane >>> shift) & 15);
    }
    assert(text.length === 32, '128 bits are 32 hex digits');
    return text;
  }
}

const rotl = (x: number, r: number): number => (x << r) | (x >>> (32 - r));

function finalMix(x: number): number {
  let h = x;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

const c1 = 0x239b961b;
const c2 = 0xab0e9789;
const c3 = 0x38b34ae5;
const c4 = 0xa1e38b93;

/**
 * Hashes the first `length` bytes into `out`, seeded with `seed`. `data` views `bytes` and has at least fifteen
 * readable bytes behind `length`, which are overwritten with zeros: the tail is then one more whole block.
 */
export function hashInto(out: Digest, seed: Digest, bytes: Uint8Array, data: DataView, length: number): void {
  assert(bytes.length >= length + 15, 'the tail can be padded in place');
  const padded = (length + 15) & ~15;
  for (let i = length; i < padded; i++) bytes[i] = 0;
  let h1 = seed.a;
  let h2 = seed.b;
  let h3 = seed.c;
  let h4 = seed.d;
  for (let i = 0; i < padded; i += 16) {
    h1 ^= Math.imul(rotl(Math.imul(data.getInt32(i, true), c1), 15), c2);
    h1 = (Math.imul((rotl(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0;
    h2 ^= Math.imul(rotl(Math.imul(data.getInt32(i + 4, true), c2), 16), c3);
    h2 = (Math.imul((rotl(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0;
    h3 ^= Math.imul(rotl(Math.imul(data.getInt32(i + 8, true), c3), 17), c4);
    h3 = (Math.imul((rotl(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0;
    h4 ^= Math.imul(rotl(Math.imul(data.getInt32(i + 12, true), c4), 18), c1);
    h4 = (Math.imul((rotl(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0;
  }
  h1 ^= length;
  h2 ^= length;
  h3 ^= length;
  h4 ^= length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = finalMix(h1);
  h2 = finalMix(h2);
  h3 = finalMix(h3);
  h4 = finalMix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  out.a = h1;
  out.b = (h2 + h1) | 0;
  out.c = (h3 + h1) | 0;
  out.d = (h4 + h1) | 0;
}
