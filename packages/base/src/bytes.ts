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

/** Little-endian fields in a fixed layout. u64 carries safe integers only. */
export class FixedWriter {
  readonly bytes: Uint8Array;
  private readonly data: DataView;
  private at = 0;

  constructor(sizeBytes: number) {
    this.bytes = new Uint8Array(sizeBytes);
    this.data = new DataView(this.bytes.buffer);
  }

  get offset(): number {
    return this.at;
  }
  u8(value: number): this {
    this.data.setUint8(this.at, value);
    this.at += 1;
    return this;
  }
  u16(value: number): this {
    this.data.setUint16(this.at, value, true);
    this.at += 2;
    return this;
  }
  u32(value: number): this {
    this.data.setUint32(this.at, value, true);
    this.at += 4;
    return this;
  }
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, () => `u64 field out of range: ${value}`);
    this.data.setUint32(this.at, value % two32, true);
    this.data.setUint32(this.at + 4, Math.floor(value / two32), true);
    this.at += 8;
    return this;
  }
  /** 128 bits given as 32 hex digits. */
  hex128(value: string): this {
    assert(value.length === 32, '128 bits are 32 hex digits');
    hexInto(value, this.bytes, this.at);
    this.at += 16;
    return this;
  }
  raw(value: Uint8Array): this {
    this.bytes.set(value, this.at);
    this.at += value.length;
    return this;
  }
}

/**
 * Reads what `FixedWriter` wrote. Never throws on short or strange input: reads past the end give zero
 * and `failed` becomes true, so a decoder checks once at its end.
 */
export class FixedReader {
  readonly bytes: Uint8Array;
  private readonly data: DataView;
  private at: number;
  failed = false;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
    return at < 0 ? 0 : this.data.getUint8(at);
  }
  u16(): number {
    const at = this.take(2);
    return at < 0 ? 0 : this.data.getUint16(at, true);
  }
  u32(): number {
    const at = this.take(4);
    return at < 0 ? 0 : this.data.getUint32(at, true);
  }
  /** A value beyond 2^53 - 1 counts as a failure. */
  u64(): number {
    const at = this.take(8);
    if (at < 0) return 0;
    const value = this.data.getUint32(at, true) + this.data.getUint32(at + 4, true) * two32;
    if (Number.isSafeInteger(value)) return value;
    this.failed = true;
    return 0;
  }
  hex128(): string {
    const at = this.take(16);
    return at < 0 ? '0'.repeat(32) : toHex(this.bytes.subarray(at, at + 16));
  }
  /** A view of the input, not a copy. */
  raw(length: number): Uint8Array {
    const at = this.take(length);
    return at < 0 ? new Uint8Array(0) : this.bytes.subarray(at, at + length);
  }
}
