import { assert, encodeUtf8 } from '@kimberlite/base';
import type { Cell, ColumnType } from './value.ts';

// The one total order of keys. A key is a byte string (one code unit, 0 to 255, a byte) whose byte order is
// the order of what it stands for: in primary keys, in indexes, in `orderBy` and in the encoded state alike.
//   nullable column: byte 0 for null, else byte 1 and the value; so null sorts first
//   int, timestamp: 8 bytes, big-endian, sign bit inverted
//   float: 8 bytes of IEEE 754, sign bit inverted when positive, all bits when negative
//   bool: 0 or 1
//   text (as UTF-8), bytes: byte 0 is written as 0 255; two bytes 0 0 end the value
// Every part is self-delimiting, so joined parts compare part by part and equal parts are a common prefix.

const two32 = 0x1_0000_0000;
const floatBits = new DataView(new ArrayBuffer(8));

function fromHalves(high: number, low: number): string {
  return String.fromCharCode(
    high >>> 24,
    (high >>> 16) & 255,
    (high >>> 8) & 255,
    high & 255,
    low >>> 24,
    (low >>> 16) & 255,
    (low >>> 8) & 255,
    low & 255,
  );
}

/** 8 bytes that order like the integer. */
export function intKey(value: number | bigint): string {
  if (typeof value === 'number') {
    assert(Number.isSafeInteger(value), 'an int key given as number is a safe integer');
    return fromHalves((Math.floor(value / two32) ^ 0x80000000) >>> 0, value >>> 0);
  }
  const bits = BigInt.asUintN(64, value);
  return fromHalves((Number(bits >> 32n) ^ 0x80000000) >>> 0, Number(bits & 0xffffffffn));
}

function floatKey(value: number): string {
  assert(Number.isFinite(value), 'float keys are finite');
  floatBits.setFloat64(0, value);
  const high = floatBits.getUint32(0);
  const low = floatBits.getUint32(4);
  return high >>> 31 === 1 ? fromHalves(~high >>> 0, ~low >>> 0) : fromHalves((high | 0x80000000) >>> 0, low);
}

/** Bytes that become text at once: arguments of one call. */
const chunkLength = 4096;
const needsEscape = /[^\u0001-\u007f]/;

/** Text or bytes with zero bytes escaped and without the end mark: the common start of all keys with this prefix. */
function escaped(value: string | Uint8Array): string {
  if (typeof value === 'string' && !needsEscape.test(value)) return value;
  const bytes = typeof value === 'string' ? encodeUtf8(value) : value;
  let text = '';
  for (let i = 0; i < bytes.length; i += chunkLength) {
    text += Reflect.apply(String.fromCharCode, null, bytes.subarray(i, i + chunkLength));
  }
  return bytes.includes(0) ? text.replaceAll('\u0000', '\u0000\u00ff') : text;
}

/** The key part of one non-json cell. */
export function keyPart(type: ColumnType, nullable: boolean, cell: Cell): string {
  assert(type !== 'json', 'json has no order');
  if (cell === null) {
    assert(nullable, 'only a nullable column holds null');
    return '\u0000';
  }
  const part = valuePart(cell, type);
  return nullable ? `\u0001${part}` : part;
}

function valuePart(cell: Exclude<Cell, null>, type: ColumnType): string {
  switch (typeof cell) {
    case 'number':
      return type === 'float' ? floatKey(cell) : intKey(cell);
    case 'bigint':
      return intKey(cell);
    case 'boolean':
      return cell ? '\u0001' : '\u0000';
    case 'string':
    case 'object':
      return `${escaped(cell)}\u0000\u0000`;
  }
}

/** What every key part of a text or bytes value with this prefix starts with. */
export function keyPrefix(nullable: boolean, prefix: string | Uint8Array): string {
  return nullable ? `\u0001${escaped(prefix)}` : escaped(prefix);
}

/** The least byte string above every one that starts with `prefix`; undefined: there is none. */
export function afterPrefix(prefix: string): string | undefined {
  let end = prefix.length;
  while (end > 0 && prefix.charCodeAt(end - 1) === 255) end--;
  return end === 0 ? undefined : prefix.slice(0, end - 1) + String.fromCharCode(prefix.charCodeAt(end - 1) + 1);
}

/** Key of a tenant in state. */
export const tenantKey = (tenantId: number): string => intKey(tenantId);

/** Key of something a tenant names. Names are ASCII, so the name is its own byte string. */
export const namedKey = (tenantId: number, name: string): string => `${intKey(tenantId)}${name}\u0000`;
