import { err, isWellFormed, ok, type Result, utf8Length } from '@kimberlite/base';
import { isJsonValue, isRecord } from './canonical-json.ts';
import { kindOf } from './cell.ts';
import type { KernelError } from './error.ts';
import { columnsMax, idempotencyIdBytesMax, nameLengthMax } from './limits.ts';
import { clip, invalidCommand, invalidTenantId } from './reject.ts';
import { isInt64 } from './text-forms.ts';
import type { Row, Value } from './value.ts';

// The parts commands and queries are made of. Each check takes the path it is at, for the message.

/** What a command or query looks like before anything about it is known. */
export type Unknowns = Readonly<Record<string, unknown>>;

export const invalid = (path: string, problem: string): { readonly ok: false; readonly error: KernelError } =>
  err(invalidCommand(path, problem));

/** Words that mean something in `where`. */
const reserved: ReadonlySet<string> = new Set(['and', 'or', 'not', '__proto__']);

/** Letters, digits, `_`, `-` and `.`, not beginning with a digit, `-` or `.`. */
export function isName(value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > nameLengthMax) return false;
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    const letter = (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95;
    if (letter) continue;
    if (i === 0 || !((c >= 48 && c <= 57) || c === 45 || c === 46)) return false;
  }
  return !reserved.has(value);
}

export const nameRule = `a name is 1 to ${nameLengthMax} letters, digits, "_", "-" or ".", begins with a letter or "_", and is not and, or, not`;

export function checkName(value: unknown, path: string): Result<string, KernelError> {
  return isName(value) ? ok(value) : invalid(path, `${nameRule}; got ${describe(value)}`);
}

export function describe(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(clip(value))
    : typeof value === 'number'
      ? `${value}`
      : kindOf(value);
}

export function checkTenantId(value: unknown): Result<number, KernelError> {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return ok(value);
  return err(invalidTenantId(typeof value === 'number' && Number.isFinite(value) ? value : null));
}

export function checkWhole(value: unknown, path: string, low: number, high: number): Result<number, KernelError> {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= low && value <= high) return ok(value + 0);
  return invalid(path, `must be a whole number from ${low} to ${high}, not ${describe(value)}`);
}

/** Names in a list, none twice. */
export function checkNames(value: unknown, path: string, max: number): Result<readonly string[], KernelError> {
  if (!Array.isArray(value) || value.length === 0 || value.length > max) {
    return invalid(path, `must be a list of 1 to ${max} column names, not ${describe(value)}`);
  }
  const names: string[] = [];
  for (let i = 0; i < value.length; i++) {
    const name = checkName(value[i], `${path}[${i}]`);
    if (!name.ok) return name;
    if (names.includes(name.value)) return invalid(`${path}[${i}]`, `"${name.value}" is there twice; name it once`);
    names.push(name.value);
  }
  return ok(names);
}

/** A name for people rather than for programs. */
export function checkTitle(value: unknown, path: string): Result<string, KernelError> {
  if (typeof value === 'string' && value.length > 0 && value.length <= nameLengthMax && isWellFormed(value))
    return ok(value);
  return invalid(
    path,
    `must be text of 1 to ${nameLengthMax} characters without lone surrogates, not ${describe(value)}`,
  );
}

export function checkIdempotencyId(value: unknown): Result<string, KernelError> {
  if (typeof value === 'string' && value.length > 0 && value.length <= idempotencyIdBytesMax) {
    if (isWellFormed(value) && utf8Length(value) <= idempotencyIdBytesMax) return ok(value);
  }
  return invalid('idempotencyId', `must be text of 1 to ${idempotencyIdBytesMax} UTF-8 bytes without lone surrogates`);
}

/** What is wrong with a value, or undefined when it is fine. */
export function valueProblem(value: unknown): string | undefined {
  switch (typeof value) {
    case 'boolean':
      return undefined;
    case 'number':
      return Number.isFinite(value) ? undefined : 'numbers must be finite; use null for "no number"';
    case 'string':
      return isWellFormed(value) ? undefined : 'text must not contain lone surrogates; fix its encoding';
    case 'bigint':
      return isInt64(value) ? undefined : 'integers must fit 64 bits; use text for longer ones';
    case 'undefined':
      return 'is undefined; leave the member out or give null';
    case 'object':
      if (value === null || value instanceof Uint8Array) return undefined;
      return isJsonValue(value)
        ? undefined
        : 'must be null, a boolean, a finite number, text, bytes, or JSON at most 32 levels deep without "__proto__"; of a Date give toISOString()';
    default:
      return `a ${typeof value} is not data`;
  }
}

export function checkValue(value: unknown, path: string): Result<Value, KernelError> {
  const problem = valueProblem(value);
  return problem === undefined ? ok(value as Value) : invalid(path, problem);
}

/** A record of column names to values, copied. */
export function checkRow(value: unknown, path: string): Result<Row, KernelError> {
  if (!isRecord(value)) return invalid(path, `must be a record of column names to values, not ${describe(value)}`);
  const row: Record<string, Value> = {};
  let count = 0;
  for (const name of Object.keys(value)) {
    if (!isName(name)) return invalid(`${path}[${describe(name)}]`, `is no column name: ${nameRule}`);
    if (++count > columnsMax) return invalid(path, `has more than ${columnsMax} columns`);
    const member = value[name];
    const problem = valueProblem(member);
    if (problem !== undefined) return invalid(`${path}.${name}`, problem);
    row[name] = member as Value;
  }
  return count > 0 ? ok(row) : invalid(path, 'is empty; name at least one column');
}

/** Refuses members nobody asked for: a misspelt option must not be silently ignored. */
export function checkMembers(value: Unknowns, path: string, known: readonly string[]): Result<void, KernelError> {
  for (const name of Object.keys(value)) {
    if (known.includes(name) || value[name] === undefined) continue;
    return invalid(
      path === '' ? clip(name) : `${path}.${clip(name)}`,
      `is not known here; known are ${known.join(', ')}`,
    );
  }
  return ok(undefined);
}
