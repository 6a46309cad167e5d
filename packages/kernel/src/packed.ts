import { assert, type DecodeText, decodeUtf8, encodeUtf8Into, err, ok, type Result } from '@kimberlite/base';
import { Digest, hashInto } from './digest.ts';
import { commandDepthMax } from './limits.ts';
import type { Cell } from './value.ts';

// Packed form: one canonical byte string for every piece of plain data. It is what rows, schemas and
// remembered outcomes are encoded, hashed and counted as. A tag byte, then:
//   0 null, 1 false, 2 true · 3 safe integer, i64 · 4 other integer, i64 · 5 other finite float, f64
//   6 text, u32 length + UTF-8 · 7 bytes, u32 length + bytes · 8 list, u32 count + items
//   9 record, u32 count + (key as text without tag, value), keys ascending by UTF-16 unit
// All numbers are big-endian.

/** Plain data that has a packed form. Undefined members of records are left out. */
export type Plain = Cell | readonly Plain[] | { readonly [key: string]: Plain | undefined };

/** Bytes that are copied one by one sooner than all at once. */
const loopBytesMax = 192;

/** A growing byte buffer, reused between uses; always with room for the hash's padding. */
export class PackedWriter {
  private buffer: Uint8Array;
  private data: DataView;
  length = 0;

  constructor(capacity = 4096) {
    this.buffer = new Uint8Array(capacity);
    this.data = new DataView(this.buffer.buffer);
  }

  reset(): this {
    this.length = 0;
    return this;
  }

  private room(bytes: number): void {
    if (this.length + bytes + 16 <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + bytes + 64));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
    this.data = new DataView(grown.buffer);
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }

  hash(out: Digest, seed: Digest): void {
    this.room(0);
    hashInto(out, seed, this.buffer, this.data, this.length);
  }

  u8(value: number): void {
    this.room(1);
    this.buffer[this.length++] = value;
  }

  u32(value: number): void {
    assert(value >= 0 && value <= 0xffffffff, 'a u32 is within 32 bits');
    this.room(4);
    this.data.setUint32(this.length, value);
    this.length += 4;
  }

  /** A length that is known only once what it is the length of has been written: its place, for `endLength`. */
  beginLength(): number {
    this.u32(0);
    return this.length;
  }

  endLength(begun: number): void {
    assert(begun >= 4 && begun <= this.length, 'a length was begun before it ends');
    this.data.setUint32(begun - 4, this.length - begun);
  }

  /** A safe integer as i64. */
  i64(value: number): void {
    assert(Number.isSafeInteger(value), 'an i64 given as number is a safe integer');
    this.room(8);
    this.data.setInt32(this.length, Math.floor(value / 0x1_0000_0000));
    this.data.setInt32(this.length + 4, value | 0);
    this.length += 8;
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Some of the bytes. A view of a few of them costs more than the loop. */
  rawOf(bytes: Uint8Array, from: number, to: number): void {
    if (to - from > loopBytesMax) return this.raw(bytes.subarray(from, to));
    this.room(to - from);
    const { buffer } = this;
    let at = this.length;
    for (let i = from; i < to; i++) buffer[at++] = bytes[i] as number;
    this.length = at;
  }

  /** A byte string: one byte a code unit, with its length in front. */
  byteString(text: string): void {
    this.u32(text.length);
    this.codeUnits(text);
  }

  /** One byte a code unit. */
  codeUnits(text: string): void {
    this.room(text.length);
    const { buffer } = this;
    let at = this.length;
    for (let i = 0; i < text.length; i++) buffer[at++] = text.charCodeAt(i);
    this.length = at;
  }

  text(text: string): void {
    this.room(text.length * 3 + 4);
    const start = this.length + 4;
    const end = encodeUtf8Into(text, this.buffer, start);
    this.data.setUint32(this.length, end - start);
    this.length = end;
  }

  cell(value: Cell): void {
    switch (typeof value) {
      case 'number':
        if (Number.isSafeInteger(value)) {
          this.u8(3);
          this.i64(value);
          return;
        }
        assert(Number.isFinite(value), 'stored floats are finite');
        this.u8(5);
        this.room(8);
        this.data.setFloat64(this.length, value);
        this.length += 8;
        return;
      case 'string':
        this.u8(6);
        this.text(value);
        return;
      case 'boolean':
        this.u8(value ? 2 : 1);
        return;
      case 'bigint':
        // One number, one form: an idempotent command repeated with 5 instead of 5n is the same command.
        if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)) {
          this.u8(3);
          this.i64(Number(value));
          return;
        }
        this.u8(4);
        this.room(8);
        this.data.setBigInt64(this.length, value);
        this.length += 8;
        return;
      case 'object':
        if (value === null) {
          this.u8(0);
          return;
        }
        this.u8(7);
        this.u32(value.length);
        this.raw(value);
        return;
    }
  }

  /** Any plain data within the depth bound; the caller has checked its depth. */
  plain(value: Plain, depth = 0): void {
    assert(depth <= commandDepthMax, 'packed data is within the depth bound');
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array) {
      this.cell(value);
      return;
    }
    if (isList(value)) {
      this.u8(8);
      this.u32(value.length);
      for (const item of value) this.plain(item, depth + 1);
      return;
    }
    const keys = Object.keys(value)
      .filter((key) => value[key] !== undefined)
      .sort();
    this.u8(9);
    this.u32(keys.length);
    for (const key of keys) {
      this.text(key);
      this.plain(value[key] as Plain, depth + 1);
    }
  }
}

const isList = (value: Plain): value is readonly Plain[] => Array.isArray(value);

/** Packs one value. */
export function pack(value: Plain): Uint8Array {
  const writer = new PackedWriter(256);
  writer.plain(value);
  return writer.take();
}

/** Reads the packed form. Never throws: `failed` turns true on anything malformed, and reads then give null. */
export class PackedReader {
  private readonly bytes: Uint8Array;
  private readonly data: DataView;
  private readonly decodeText: DecodeText;
  at = 0;
  failed = false;

  constructor(bytes: Uint8Array, decodeText: DecodeText = decodeUtf8) {
    this.bytes = bytes;
    this.decodeText = decodeText;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  /** Offset of `length` readable bytes, or -1. */
  private need(length: number): number {
    const { at } = this;
    if (this.failed || length > this.bytes.length - at) {
      this.failed = true;
      return -1;
    }
    this.at = at + length;
    return at;
  }

  u8(): number {
    const at = this.need(1);
    return at < 0 ? 0 : (this.bytes[at] as number);
  }

  u32(): number {
    const at = this.need(4);
    return at < 0 ? 0 : this.data.getUint32(at);
  }

  i64(): number {
    const at = this.need(8);
    if (at < 0) return 0;
    const value = this.data.getInt32(at) * 0x1_0000_0000 + this.data.getUint32(at + 4);
    if (!Number.isSafeInteger(value)) this.failed = true;
    return value;
  }

  raw(length: number): Uint8Array {
    const at = this.need(length);
    return at < 0 ? new Uint8Array(0) : this.bytes.slice(at, at + length);
  }

  byteString(): string {
    const length = this.u32();
    const at = this.need(length);
    if (at < 0) return '';
    let text = '';
    for (let i = at; i < at + length; i += 4096) {
      text += String.fromCharCode(...this.bytes.subarray(i, Math.min(i + 4096, at + length)));
    }
    return text;
  }

  /** Whether the bytes at `at` are these code units. */
  matches(at: number, text: string): boolean {
    if (text.length > this.bytes.length - at) return false;
    for (let i = 0; i < text.length; i++) if (this.bytes[at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  /** Writes the bytes between two places as they are. */
  copyTo(writer: PackedWriter, from: number, to: number): void {
    assert(from <= to && to <= this.bytes.length, 'what is copied is there');
    writer.rawOf(this.bytes, from, to);
  }

  /** Well-formed text: its UTF-8 is decoded strictly. */
  text(): string {
    const length = this.u32();
    const at = this.need(length);
    if (at < 0) return '';
    const text = this.decodeText(this.bytes, at, at + length);
    if (text === undefined) this.failed = true;
    return text ?? '';
  }

  /** One value; lists and records only where `depth` still allows them. */
  plain(depth = commandDepthMax): Plain {
    const tag = this.u8();
    if (tag === 8 || tag === 9) return depth > 0 ? this.nested(tag, depth - 1) : this.fail();
    return this.tagged(tag);
  }

  cell(): Cell {
    return this.tagged(this.u8());
  }

  private fail(): null {
    this.failed = true;
    return null;
  }

  private tagged(tag: number): Cell {
    switch (tag) {
      case 0:
        return null;
      case 1:
        return false;
      case 2:
        return true;
      case 3:
        return this.i64();
      case 4: {
        const at = this.need(8);
        const value = at < 0 ? 0n : this.data.getBigInt64(at);
        const safe = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
        return safe ? this.fail() : value;
      }
      case 5: {
        const at = this.need(8);
        const value = at < 0 ? 0 : this.data.getFloat64(at);
        return Number.isFinite(value) && !Number.isSafeInteger(value) ? value : this.fail();
      }
      case 6:
        return this.text();
      case 7:
        return this.raw(this.u32());
      default:
        return this.fail();
    }
  }

  private nested(tag: number, depth: number): Plain {
    const count = this.u32();
    if (tag === 8) {
      const list: Plain[] = [];
      for (let i = 0; i < count && !this.failed; i++) list.push(this.plain(depth));
      return list;
    }
    const record: Record<string, Plain> = {};
    let previous: string | undefined;
    for (let i = 0; i < count && !this.failed; i++) {
      const key = this.text();
      if (key === '__proto__' || (previous !== undefined && key <= previous)) return this.fail();
      previous = key;
      record[key] = this.plain(depth);
    }
    return record;
  }
}

/** Unpacks one value that fills all of `bytes`. */
export function unpack(bytes: Uint8Array): Result<Plain, string> {
  const reader = new PackedReader(bytes);
  const value = reader.plain();
  return reader.failed || !reader.done ? err('not a packed value') : ok(value);
}

/** One writer for hashing: apply is synchronous, and nobody keeps it across a call. */
export const scratch = new PackedWriter(65_536);

export const zeroDigest: Readonly<Digest> = Object.freeze(new Digest());
