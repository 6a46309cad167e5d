import { assert } from '@kimberlite/base';

// Text that stands for other values where JSON has no form of its own. Exact and total: no Date, no Math
// function, no locale.

const int64Min = -(2n ** 63n);
const int64Max = 2n ** 63n - 1n;

export const isInt64 = (value: bigint): boolean => value >= int64Min && value <= int64Max;

/** Number when safe, else bigint: the one form of an int. */
export function normalInt(value: bigint): number | bigint {
  assert(isInt64(value), 'an int is within 64 bits');
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

const decimal = /^-?(?:0|[1-9][0-9]{0,18})$/;

/** A decimal string as a 64-bit integer. */
export function parseInt64(text: string): number | bigint | undefined {
  if (!decimal.test(text)) return undefined;
  const value = BigInt(text);
  return isInt64(value) ? normalInt(value) : undefined;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const sextets: Readonly<Record<string, number>> = Object.fromEntries([...alphabet].map((c, i) => [c, i]));
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Standard base64 with padding; bits beyond the last byte must be zero, so that each value has one form. */
export function parseBase64(text: string): Uint8Array | undefined {
  if (!base64.test(text)) return undefined;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < text.length - padding; i++) {
    held = ((held << 6) | (sextets[text.charAt(i)] as number)) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = (held >>> bits) & 255;
  }
  return (held & ((1 << bits) - 1)) === 0 ? bytes : undefined;
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word =
      ((bytes[i] as number) << 16) |
      (left > 1 ? (bytes[i + 1] as number) << 8 : 0) |
      (left > 2 ? (bytes[i + 2] as number) : 0);
    text += alphabet.charAt(word >>> 18) + alphabet.charAt((word >>> 12) & 63);
    text += left > 1 ? alphabet.charAt((word >>> 6) & 63) : '=';
    text += left > 2 ? alphabet.charAt(word & 63) : '=';
  }
  return text;
}

const iso =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?(Z|[+-][0-9]{2}:[0-9]{2}))?$/;
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Days from 1970-01-01 in the proleptic Gregorian calendar. */
function daysFrom1970(year: number, month: number, day: number): number {
  // Years are counted from March, so that the leap day is the last of its year.
  const y = month > 2 ? year : year - 1;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/**
 * `2026-11-23` (midnight UTC) or `2026-11-23T07:05[:09[.123456]]` with `Z` or an offset, as microseconds since
 * 1970. No leap seconds, no 24:00.
 */
export function parseIsoTimestamp(text: string): number | bigint | undefined {
  const match = iso.exec(text);
  if (match === null) return undefined;
  const part = (i: number): number => Number(match[i] ?? '0');
  const [year, month, day, hour, minute, second] = [part(1), part(2), part(3), part(4), part(5), part(6)];
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return undefined;
  if (day > (month === 2 && leap ? 29 : (monthDays[month - 1] as number))) return undefined;
  const zone = match[8] ?? 'Z';
  let offset = 0;
  if (zone !== 'Z') {
    const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(4, 6))];
    if (hours > 23 || minutes > 59) return undefined;
    offset = (hours * 60 + minutes) * (zone.startsWith('-') ? -1 : 1);
  }
  const minutes = daysFrom1970(year, month, day) * 1440 + hour * 60 + minute - offset;
  const micros = Number((match[7] ?? '').padEnd(6, '0'));
  return normalInt(BigInt(minutes * 60 + second) * 1_000_000n + BigInt(micros));
}
