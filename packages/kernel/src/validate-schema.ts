import { ok, type Result } from '@kimberlite/base';
import { isRecord } from './canonical-json.ts';
import { showCell, toCell, typeTakes } from './cell.ts';
import type { KernelError } from './error.ts';
import { columnsMax } from './limits.ts';
import { checkMembers, checkName, checkValue, describe, invalid } from './validate-value.ts';
import type { Column, ColumnType } from './value.ts';

const types = ['int', 'float', 'text', 'bool', 'bytes', 'timestamp', 'json'] as const;
const isType = (value: unknown): value is ColumnType => types.some((type) => type === value);

const typeRule = `must be one of ${types.join(', ')}, with "?" behind it when null is allowed`;

interface TypeAndNull {
  readonly type: ColumnType;
  readonly nullable: boolean;
}

function checkType(value: unknown, path: string): Result<TypeAndNull, KernelError> {
  if (isType(value)) return ok({ type: value, nullable: false });
  const bare = typeof value === 'string' && value.endsWith('?') ? value.slice(0, -1) : undefined;
  return isType(bare) ? ok({ type: bare, nullable: true }) : invalid(path, `${typeRule}; got ${describe(value)}`);
}

function checkColumn(
  name: string,
  value: unknown,
  path: string,
  known: readonly string[],
): Result<Column, KernelError> {
  if (!isRecord(value)) {
    const type = checkType(value, path);
    return type.ok ? ok({ name, ...type.value }) : type;
  }
  const members = checkMembers(value, path, known);
  if (!members.ok) return members;
  const type = checkType(value['type'], `${path}.type`);
  if (!type.ok) return type;
  const given = value['nullable'];
  if (given !== undefined && typeof given !== 'boolean') return invalid(`${path}.nullable`, 'must be true or false');
  const nullable = type.value.nullable || given === true;
  const fallback = value['default'];
  if (fallback === undefined) return ok({ name, type: type.value.type, nullable });
  return checkDefault({ name, type: type.value.type, nullable }, fallback, `${path}.default`);
}

function checkDefault(column: Column, given: unknown, path: string): Result<Column, KernelError> {
  const value = checkValue(given, path);
  if (!value.ok) return value;
  if (value.value === null) {
    return column.nullable ? ok({ ...column, default: null }) : invalid(path, 'null needs a nullable column');
  }
  const cell = toCell(column.type, value.value);
  if (cell === undefined) return invalid(path, `must be ${typeTakes[column.type]}, not ${describe(given)}`);
  return ok({ ...column, default: showCell(column.type, cell) });
}

/** `{ id: "int", … }` or a list of `{ name, type, … }`, as a list in the given order. */
export function checkColumns(value: unknown): Result<readonly Column[], KernelError> {
  const given: [unknown, unknown, string][] = [];
  // In the record form the member's own name counts; a `name` inside could only contradict it.
  const known = Array.isArray(value) ? ['name', 'type', 'nullable', 'default'] : ['type', 'nullable', 'default'];
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && i <= columnsMax; i++) {
      const item: unknown = value[i];
      if (!isRecord(item))
        return invalid(`columns[${i}]`, `must be a record with name and type, not ${describe(item)}`);
      given.push([item['name'], item, `columns[${i}]`]);
    }
  } else if (isRecord(value)) {
    for (const name of Object.keys(value)) given.push([name, value[name], `columns.${name}`]);
  } else return invalid('columns', `must be a record such as { "id": "int", "name": "text?" }, not ${describe(value)}`);
  if (given.length === 0 || given.length > columnsMax) return invalid('columns', `must be 1 to ${columnsMax} columns`);
  const columns: Column[] = [];
  const seen = new Set<string>();
  for (const [givenName, item, path] of given) {
    const name = checkName(givenName, path);
    if (!name.ok) return name;
    if (seen.has(name.value)) return invalid(path, `"${name.value}" is there twice; name it once`);
    seen.add(name.value);
    const column = checkColumn(name.value, item, path, known);
    if (!column.ok) return column;
    columns.push(column.value);
  }
  return ok(columns);
}

/** The primary key's columns exist, are not nullable and have an order. */
export function checkPrimaryKey(columns: readonly Column[], key: readonly string[]): Result<void, KernelError> {
  for (let i = 0; i < key.length; i++) {
    const name = key[i];
    const path = `primaryKey[${i}]`;
    const column = columns.find((candidate) => candidate.name === name);
    if (column === undefined) return invalid(path, `there is no column "${name}"; add it to columns`);
    if (column.nullable) return invalid(path, `column "${name}" is nullable; a primary key column must not be`);
    if (column.type === 'json') return invalid(path, `column "${name}" is json, which has no order; use text or bytes`);
  }
  return ok(undefined);
}
