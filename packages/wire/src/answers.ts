import { err, isNatural, ok, replyBytesMax, type Result } from '@kimberlite/base';
import type { ColumnType, KernelError, Plan, QueryAnswer, Row, Value } from '@kimberlite/kernel';
import { pack, unpack } from './msgpack.ts';
import { isKernelError } from './outcomes.ts';
import { type WireError, wireError } from './wire-error.ts';

// The answer to a query. Column names and types are said once, the rows are lists of values: smaller and
// faster than a map a row, and the other side can tell an int from a timestamp.

/** An answer with the types of its columns, as far as they are known. */
export interface TypedAnswer extends QueryAnswer {
  readonly types: Readonly<Record<string, ColumnType>>;
}

const columnTypes = [
  'int',
  'float',
  'text',
  'bool',
  'bytes',
  'timestamp',
  'json',
] as const satisfies readonly ColumnType[];
const isColumnType = (value: unknown): value is ColumnType => columnTypes.some((type) => type === value);

function tooLarge(bytes: number): KernelError {
  const reason = `the answer takes ${bytes} bytes, more than a reply may have (${replyBytesMax})`;
  const message = `The query cannot be answered: ${reason}. Select fewer columns, or set a lower limit and go on with the cursor.`;
  return { code: 'StateTransitionFailed', message, retryable: false, reason };
}

/** At most `replyBytesMax` bytes: a longer answer becomes an error that names the bound. */
export function encodeQueryAnswer(
  answer: Result<QueryAnswer, KernelError>,
  types: Readonly<Record<string, ColumnType>> = {},
): Uint8Array {
  if (!answer.ok) return new Uint8Array(pack([answer.error]));
  const { rows, cursor, position, timestamp, plan } = answer.value;
  const [first] = rows;
  const columns = first === undefined ? [] : Object.keys(first);
  const bytes = pack([
    columns,
    columns.map((column) => types[column] ?? null),
    rows.map((row) => columns.map((column) => row[column] ?? null)),
    cursor ?? null,
    position,
    timestamp,
    plan ?? null,
  ]);
  if (bytes.length > replyBytesMax) return new Uint8Array(pack([tooLarge(bytes.length)]));
  return new Uint8Array(bytes);
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
const isTextList = (value: unknown): value is readonly string[] =>
  isList(value) && value.every((v) => typeof v === 'string');

function unpackedRows(columns: readonly string[], lists: readonly unknown[]): Row[] | null {
  const rows: Row[] = [];
  for (const list of lists) {
    if (!isList(list) || list.length !== columns.length) return null;
    const row: Record<string, Value> = {};
    for (let i = 0; i < columns.length; i++) row[columns[i] as string] = list[i] as Value;
    rows.push(row);
  }
  return rows;
}

/** Never throws. */
export function decodeQueryAnswer(body: Uint8Array): Result<Result<TypedAnswer, KernelError>, WireError> {
  const value = unpack(body);
  if (!value.ok) return value;
  const refused = wireError('shape', 'an answer is not what an answer looks like');
  if (!isList(value.value)) return refused;
  if (value.value.length === 1) {
    const [error] = value.value;
    return isKernelError(error) ? ok(err(error)) : refused;
  }
  const [columns, kinds, lists, cursor, position, timestamp, plan] = value.value;
  if (value.value.length !== 7 || !isTextList(columns) || !isList(kinds) || !isList(lists)) return refused;
  if (!isNatural(position) || !isNatural(timestamp) || typeof plan !== 'object') return refused;
  if (cursor !== null && typeof cursor !== 'string') return refused;
  if (columns.includes('__proto__')) return refused;
  const rows = unpackedRows(columns, lists);
  if (rows === null || kinds.length !== columns.length) return refused;
  const types: Record<string, ColumnType> = {};
  for (let i = 0; i < columns.length; i++) {
    const kind = kinds[i];
    if (isColumnType(kind)) types[columns[i] as string] = kind;
  }
  const answer: { -readonly [K in keyof TypedAnswer]: TypedAnswer[K] } = { rows, types, position, timestamp };
  if (cursor !== null) answer.cursor = cursor;
  if (plan !== null) answer.plan = plan as Plan;
  return ok(ok(answer));
}
