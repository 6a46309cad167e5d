import { assert, isWellFormed, nestingMax } from '@kimberlite/base';
import type { JsonValue } from './value.ts';

// RFC 8785: members sorted by UTF-16 units, no white space, strings as JSON.stringify writes them, numbers as
// ECMAScript's Number::toString, which the language specifies to the last digit.

/** True for what JSON can hold: finite numbers, well-formed text, plain lists and records, `nestingMax` deep. */
export function isJsonValue(value: unknown, depth = 0): value is JsonValue {
  switch (typeof value) {
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'string':
      return isWellFormed(value);
    case 'object':
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth >= nestingMax) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!isJsonValue(value[i], depth + 1)) return false;
    return true;
  }
  if (!isRecord(value)) return false;
  for (const key of Object.keys(value)) {
    if (key === '__proto__' || !isWellFormed(key) || !isJsonValue(value[key], depth + 1)) return false;
  }
  return true;
}

/** True for an object that is nothing but named members. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The canonical text. The caller has checked with `isJsonValue`, so the depth is bounded. */
export function canonicalJson(value: JsonValue, depth = 0): string {
  assert(depth <= nestingMax, 'canonical JSON is within the depth bound');
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    assert(Number.isFinite(value), 'JSON numbers are finite');
    return String(value);
  }
  if (typeof value === 'string') return JSON.stringify(value);
  if (isList(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`;
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] as JsonValue, depth + 1)}`);
  return `{${members.join(',')}}`;
}

const isList = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

/** The value that canonical text stands for. */
export function parseCanonicalJson(text: string): JsonValue {
  return JSON.parse(text) as JsonValue;
}
