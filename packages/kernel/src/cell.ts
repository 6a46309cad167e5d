import { assert, unreachable } from '@kimberlite/base';
import { canonicalJson, isJsonValue, parseCanonicalJson } from './canonical-json.ts';
import { ownBytes } from './own-bytes.ts';
import { isInt64, normalInt, parseBase64, parseInt64, parseIsoTimestamp, toBase64 } from './text-forms.ts';
import type { Cell, Column, ColumnType, JsonValue, Row, StoredRow, Value } from './value.ts';

// Between values as commands carry them and cells as state holds them. The column's type decides, so this
// happens where the schema is known: inside apply and query, not in `validate`.

/** The canonical cell of a non-null value, or undefined when the column's type does not take it. */
export function toCell(type: ColumnType, value: Value): Cell | undefined {
  switch (type) {
    case 'int':
      return toInt(value);
    case 'timestamp': {
      if (typeof value === 'string') return parseIsoTimestamp(value) ?? parseInt64(value);
      return toInt(value);
    }
    case 'float':
      return typeof value === 'number' && Number.isFinite(value) ? value + 0 : undefined;
    case 'text':
      return typeof value === 'string' ? value : undefined;
    case 'bool':
      return typeof value === 'boolean' ? value : undefined;
    case 'bytes':
      if (value instanceof Uint8Array) return ownBytes(value);
      return typeof value === 'string' ? parseBase64(value) : undefined;
    case 'json':
      return isJsonValue(value) ? canonicalJson(value) : undefined;
    default:
      return unreachable(type);
  }
}

function toInt(value: Value): number | bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value + 0 : undefined;
  if (typeof value === 'bigint') return isInt64(value) ? normalInt(value) : undefined;
  return typeof value === 'string' ? parseInt64(value) : undefined;
}

/** A cell as people see it. */
export function showCell(type: ColumnType, cell: Cell): Value {
  if (type !== 'json' || cell === null) return cell;
  assert(typeof cell === 'string', 'a json cell is its canonical text');
  return parseCanonicalJson(cell);
}

/** A stored row as people see it: column name to value. */
export function showRow(columns: readonly Column[], row: StoredRow): Row {
  assert(columns.length === row.cells.length, 'a row has a cell for every column');
  const shown: Record<string, Value> = {};
  for (let i = 0; i < columns.length; i++) {
    const { name, type } = columns[i] as Column;
    shown[name] = showCell(type, row.cells[i] as Cell);
  }
  return shown;
}

/** Names the kind of a value in messages to people. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  if (value instanceof Uint8Array) return 'bytes';
  return typeof value === 'object' ? 'record' : typeof value;
}

/** What a column of this type takes, for messages to people. */
export const typeTakes: Readonly<Record<ColumnType, string>> = {
  int: 'a 64-bit integer (as a decimal string beyond ±(2^53-1))',
  float: 'a finite number',
  text: 'text',
  bool: 'true or false',
  bytes: 'bytes (base64 in JSON)',
  timestamp: 'microseconds since 1970 as an integer, or ISO 8601 text such as 2026-11-23T07:05:09Z',
  json: 'a JSON value at most 32 levels deep',
};

/**
 * Any outcome, row or answer as JSON can carry it: ints beyond the safe ones as decimal strings, bytes as
 * base64. Undefined members are left out. The input is the kernel's own, so its depth is bounded.
 */
export function toJson(value: unknown): JsonValue {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return toBase64(value);
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value === 'object' && value !== null) {
    const shown: Record<string, JsonValue> = {};
    for (const [key, member] of Object.entries(value)) if (member !== undefined) shown[key] = toJson(member);
    return shown;
  }
  return value === undefined ? null : (value as JsonValue);
}
