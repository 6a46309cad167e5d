import { assert, hexInto } from '@kimberlite/base';

// Tables on typed arrays: an exploration keeps hundreds of millions of small numbers.

/** A growing list of 32-bit numbers. */
export class NumberList {
  private items: Uint32Array;
  length = 0;

  constructor(capacity = 1024) {
    this.items = new Uint32Array(capacity);
  }

  get(at: number): number {
    assert(at < this.length, 'within the list');
    return this.items[at] as number;
  }

  push(value: number): void {
    if (this.length === this.items.length) {
      const larger = new Uint32Array(this.items.length * 2);
      larger.set(this.items);
      this.items = larger;
    }
    this.items[this.length++] = value;
  }
}

/** 128 bits. */
export const digestWords = 4;

/** Digests by number, four words each. */
export class DigestList {
  words: Uint32Array = new Uint32Array(1024 * digestWords);
  length = 0;
  private readonly bytes = new Uint8Array(16);
  private readonly view = new DataView(this.bytes.buffer);

  push(hex: string): number {
    const at = this.length * digestWords;
    if (at === this.words.length) {
      const larger = new Uint32Array(this.words.length * 2);
      larger.set(this.words);
      this.words = larger;
    }
    hexInto(hex, this.bytes, 0);
    for (let i = 0; i < digestWords; i++) this.words[at + i] = this.view.getUint32(i * 4);
    return this.length++;
  }

  /** Adds (or takes away again: it is the same) digest `at` to the sum of digests in `into`. */
  mix(at: number, into: Uint32Array): void {
    const from = at * digestWords;
    for (let i = 0; i < digestWords; i++) into[i] = ((into[i] as number) ^ (this.words[from + i] as number)) >>> 0;
  }
}

const scramble = (a: number, b: number): number => {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return (h ^ (h >>> 15)) >>> 0;
};

/** From two numbers to one, which is never 0: a hash table with open addressing. */
export class PairTable {
  private first: Uint32Array;
  private second: Uint32Array;
  private values: Uint32Array;
  private mask: number;
  size = 0;

  constructor(capacity = 1 << 12) {
    this.first = new Uint32Array(capacity);
    this.second = new Uint32Array(capacity);
    this.values = new Uint32Array(capacity);
    this.mask = capacity - 1;
  }

  /** 0: not there. */
  get(a: number, b: number): number {
    const { first, second, values, mask } = this;
    for (let at = scramble(a, b) & mask; ; at = (at + 1) & mask) {
      const value = values[at] as number;
      if (value === 0 || (first[at] === a && second[at] === b)) return value;
    }
  }

  set(a: number, b: number, value: number): void {
    assert(value !== 0, 'zero stands for nothing');
    if (this.size * 2 > this.mask) this.grow();
    const { first, second, values, mask } = this;
    let at = scramble(a, b) & mask;
    while (values[at] !== 0) at = (at + 1) & mask;
    first[at] = a;
    second[at] = b;
    values[at] = value;
    this.size += 1;
  }

  private grow(): void {
    const { first, second, values } = this;
    const capacity = (this.mask + 1) * 2;
    this.first = new Uint32Array(capacity);
    this.second = new Uint32Array(capacity);
    this.values = new Uint32Array(capacity);
    this.mask = capacity - 1;
    this.size = 0;
    for (let at = 0; at < values.length; at++) {
      const value = values[at] as number;
      if (value !== 0) this.set(first[at] as number, second[at] as number, value);
    }
  }
}

/** Parts of a visited set: each grows by itself, so that growing never copies the whole, and no array becomes too long. */
const shardBits = 4;

/** Digests that were seen: 16 bytes each in open addressing, at most two thirds full. */
export class VisitedSet {
  private readonly shards = Array.from({ length: 1 << shardBits }, () => new Shard());

  get size(): number {
    return this.shards.reduce((sum, shard) => sum + shard.size, 0);
  }

  /** True if it was not there. */
  add(digest: Uint32Array): boolean {
    return this.shardOf(digest).add(digest[0] as number, digest[1] as number, digest[2] as number, digest[3] as number);
  }

  has(digest: Uint32Array): boolean {
    const [a = 0, b = 0, c = 0, d = 0] = digest;
    return this.shardOf(digest).find(a, b, c, d) < 0;
  }

  private shardOf(digest: Uint32Array): Shard {
    return this.shards[(digest[digestWords - 1] as number) >>> (32 - shardBits)] as Shard;
  }
}

class Shard {
  size = 0;
  private capacity = 1 << 10;
  private words = new Uint32Array(this.capacity * digestWords);

  /** The place for it if it is not there; below zero if it is. */
  find(a: number, b: number, c: number, d: number): number {
    const { words } = this;
    const mask = this.capacity - 1;
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      const at = slot * digestWords;
      // A digest of zeros only would be taken for an empty place: it does not occur in any time that matters.
      if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0) return at;
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return -1;
    }
  }

  add(a: number, b: number, c: number, d: number): boolean {
    if (this.size * 3 > this.capacity * 2) this.grow();
    const at = this.find(a, b, c, d);
    if (at < 0) return false;
    const { words } = this;
    words[at] = a;
    words[at + 1] = b;
    words[at + 2] = c;
    words[at + 3] = d;
    this.size += 1;
    return true;
  }

  private grow(): void {
    const { words } = this;
    this.capacity *= 2;
    this.words = new Uint32Array(this.capacity * digestWords);
    this.size = 0;
    for (let at = 0; at < words.length; at += digestWords) {
      const [a = 0, b = 0, c = 0, d = 0] = words.subarray(at, at + digestWords);
      if (a !== 0 || b !== 0 || c !== 0 || d !== 0) this.add(a, b, c, d);
    }
  }
}
