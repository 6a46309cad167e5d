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

/** Bytes of one entry of a visited set. */
export const visitedEntryBytes = digestWords * 4;

/** Digests that were seen: open addressing, 16 bytes an entry, at most two thirds full. */
export class VisitedSet {
  private words: Uint32Array;
  private capacity: number;
  size = 0;

  constructor(capacity = 1 << 16) {
    this.capacity = capacity;
    this.words = new Uint32Array(capacity * digestWords);
  }

  /** True if it was not there. */
  add(digest: Uint32Array): boolean {
    if (this.size * 3 > this.capacity * 2) this.grow();
    const a = digest[0] as number;
    const b = digest[1] as number;
    const c = digest[2] as number;
    const d = digest[3] as number;
    const { words } = this;
    const mask = this.capacity - 1;
    for (let slot = a & mask; ; slot = (slot + 1) & mask) {
      const at = slot * digestWords;
      const empty = words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0;
      if (empty) {
        words[at] = a;
        words[at + 1] = b;
        words[at + 2] = c;
        words[at + 3] = d;
        this.size += 1;
        return true;
      }
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return false;
    }
  }

  private grow(): void {
    const { words } = this;
    this.capacity *= 2;
    this.words = new Uint32Array(this.capacity * digestWords);
    this.size = 0;
    const digest = new Uint32Array(digestWords);
    for (let at = 0; at < words.length; at += digestWords) {
      if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 0) continue;
      for (let i = 0; i < digestWords; i++) digest[i] = words[at + i] as number;
      this.add(digest);
    }
  }
}
