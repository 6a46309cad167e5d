import { err, nestingMax, ok, type Result } from '@kimberlite/base';
import type { JsonValue } from '@kimberlite/kernel';

// The edge where values become JSON for people and scripts: an int beyond ±(2^53 − 1) is a decimal string,
// bytes are base64, a timestamp is its microseconds. The kernel accepts the same forms back, since only the
// column's type can say what a text means.

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** RFC 4648, with padding. */
export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const [a, b, c] = [bytes[i] as number, bytes[i + 1] ?? 0, bytes[i + 2] ?? 0];
    text += alphabet.charAt(a >> 2) + alphabet.charAt(((a & 3) << 4) | (b >> 4));
    text += left > 1 ? alphabet.charAt(((b & 15) << 2) | (c >> 6)) : '=';
    text += left > 2 ? alphabet.charAt(c & 63) : '=';
  }
  return text;
}

const safeMax = BigInt(Number.MAX_SAFE_INTEGER);

/** Rows, outcomes, answers and errors as JSON can carry them. What is `undefined` is left out. */
export function toJson(value: unknown): JsonValue {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return value >= -safeMax && value <= safeMax ? Number(value) : value.toString();
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') return value;
  if (value instanceof Uint8Array) return toBase64(value);
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== 'object') return null;
  const object: Record<string, JsonValue> = {};
  for (const [key, item] of Object.entries(value)) if (item !== undefined) object[key] = toJson(item);
  return object;
}

const jsonDepthMax = 2 * nestingMax;

/** Finds what JSON allows and a command must not have; without recursion past a fixed depth. */
function objection(value: unknown, depth: number): string | null {
  if (typeof value !== 'object' || value === null) return null;
  if (depth > jsonDepthMax) return `it nests deeper than ${jsonDepthMax}`;
  if (Object.hasOwn(value, '__proto__')) return 'an object has the key "__proto__"';
  for (const item of Object.values(value)) {
    const found = objection(item, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

/** JSON text as a command or query may be written. The error is a sentence for the person who wrote it. */
export function parseJson(text: string): Result<unknown, string> {
  try {
    const value = JSON.parse(text) as unknown;
    const found = objection(value, 0);
    return found === null ? ok(value) : err(`This JSON cannot be used: ${found}.`);
  } catch (thrown) {
    return err(`This is not JSON: ${thrown instanceof Error ? thrown.message : 'unreadable'}`);
  }
}
