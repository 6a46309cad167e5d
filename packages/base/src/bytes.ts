import { assert } from './assert.ts';

const hexDigits = '0123456789abcdef';
const hexOfByte: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => hexDigits.charAt(byte >> 4) + hexDigits.charAt(byte & 15),
);

export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += hexOfByte[bytes[i] as number] as string;
  return text;
}

const codeOfDigit: Uint8Array = Uint8Array.from(hexDigits, (digit) => digit.charCodeAt(0));
const hi = (byte: number | undefined): number => codeOfDigit[(byte as number) >> 4] as number;
const lo = (byte: number | undefined): number => codeOfDigit[(byte as number) & 15] as number;

/**
 * The 32 hex digits of the 16 bytes at `at`. In one call, since ids are read from every frame and compared at once:
 * a string put together piece by piece is a tree that has to be flattened first, which takes several times as long.
 */
export function hexOf128(bytes: Uint8Array, at: number): string {
  const b = bytes;
  // biome-ignore format: four bytes a line
  return String.fromCharCode(
    hi(b[at + 0]), lo(b[at + 0]), hi(b[at + 1]), lo(b[at + 1]), hi(b[at + 2]), lo(b[at + 2]), hi(b[at + 3]), lo(b[at + 3]),
    hi(b[at + 4]), lo(b[at + 4]), hi(b[at + 5]), lo(b[at + 5]), hi(b[at + 6]), lo(b[at + 6]), hi(b[at + 7]), lo(b[at + 7]),
    hi(b[at + 8]), lo(b[at + 8]), hi(b[at + 9]), lo(b[at + 9]), hi(b[at + 10]), lo(b[at + 10]), hi(b[at + 11]), lo(b[at + 11]),
    hi(b[at + 12]), lo(b[at + 12]), hi(b[at + 13]), lo(b[at + 13]), hi(b[at + 14]), lo(b[at + 14]), hi(b[at + 15]), lo(b[at + 15]),
  );
}

const nibble = (code: number): number =>
  code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 : -1;

/** Writes the bytes that lower-case hex digits stand for. */
export function hexInto(text: string, target: Uint8Array, offset: number): void {
  assert(text.length % 2 === 0, 'hex text has an even length');
  for (let i = 0; i < text.length; i += 2) {
    const high = nibble(text.charCodeAt(i));
    const low = nibble(text.charCodeAt(i + 1));
    assert(high >= 0 && low >= 0, 'hex text has only the digits 0 to 9 and a to f');
    target[offset + i / 2] = (high << 4) | low;
  }
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Orders byte strings as unsigned bytes, a prefix first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference < 0 ? -1 : 1;
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const two32 = 0x1_0000_0000;

/**
 * Little-endian fields in a fixed layout. u64 carries safe integers only. Byte by byte, and not through a DataView:
 * making one costs more than writing most messages.
 */
export class FixedWriter {
  readonly bytes: Uint8Array;
  private at = 0;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
  }

  get offset(): number {
    return this.at;
  }
  private take(length: number): number {
    const at = this.at;
    assert(at + length <= this.bytes.length, 'the fields fit the size that was given for them');
    this.at = at + length;
    return at;
  }
  u8(value: number): this {
    this.bytes[this.take(1)] = value;
    return this;
  }
  u16(value: number): this {
    const at = this.take(2);
    this.bytes[at] = value;
    this.bytes[at + 1] = value >>> 8;
    return this;
  }
  u32(value: number): this {
    this.put32(this.take(4), value);
    return this;
  }
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, () => `u64 field out of range: ${value}`);
    const at = this.take(8);
    this.put32(at, value >>> 0);
    this.put32(at + 4, Math.floor(value / two32));
    return this;
  }
  private put32(at: number, value: number): void {
    const { bytes } = this;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
  }
  /** 128 bits given as 32 hex digits. */
  hex128(value: string): this {
    assert(value.length === 32, '128 bits are 32 hex digits');
    hexInto(value, this.bytes, this.take(16));
    return this;
  }
  raw(value: Uint8Array): this {
    this.bytes.set(value, this.take(value.length));
    return this;
  }
}

/**
 * Reads what `FixedWriter` wrote. Never throws on short or strange input: reads past the end give zero
 * and `failed` becomes true, so a decoder checks once at its end.
 */
export class FixedReader {
  readonly bytes: Uint8Array;
  private at: number;
  failed = false;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.at = offset;
  }

  get offset(): number {
    return this.at;
  }
  get remaining(): number {
    return this.bytes.length - this.at;
  }
  private take(length: number): number {
    const at = this.at;
    if (length < 0 || at + length > this.bytes.length) {
      this.failed = true;
      return -1;
    }
    this.at = at + length;
    return at;
  }
  u8(): number {
    const at = this.take(1);
    return at < 0 ? 0 : (this.bytes[at] as number);
  }
  u16(): number {
    const at = this.take(2);
    return at < 0 ? 0 : (this.bytes[at] as number) | ((this.bytes[at + 1] as number) << 8);
  }
  u32(): number {
    const at = this.take(4);
    return at < 0 ? 0 : this.get32(at);
  }
  /** A value beyond 2^53 - 1 counts as a failure. */
  u64(): number {
    const at = this.take(8);
    if (at < 0) return 0;
    const value = this.get32(at) + this.get32(at + 4) * two32;
    if (Number.isSafeInteger(value)) return value;
    this.failed = true;
    return 0;
  }
  private get32(at: number): number {
    const { bytes } = this;
    const [b0, b1, b2, b3] = [
      bytes[at] as number,
      bytes[at + 1] as number,
      bytes[at + 2] as number,
      bytes[at + 3] as number,
    ];
    return (b0 | (b1 << 8) | (b2 << 16) | (b3 << 24)) >>> 0;
  }
  hex128(): string {
    const at = this.take(16);
    return at < 0 ? '0'.repeat(32) : hexOf128(this.bytes, at);
  }
  /** A view of the input, not a copy. */
  raw(length: number): Uint8Array {
    const at = this.take(length);
    return at < 0 ? new Uint8Array(0) : this.bytes.subarray(at, at + length);
  }
}
