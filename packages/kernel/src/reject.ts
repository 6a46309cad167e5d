import { assert } from '@kimberlite/base';
import type { KernelError } from './error.ts';
import type { Row } from './value.ts';

// Every rejection in one place, so that the catalogue and its messages can be read at once.

/** Just enough of a value or name for a message: long ones are cut. */
export function clip(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

const showKey = (key: Row): string =>
  clip(
    Object.entries(key)
      .map(([name, value]) => `${name}=${value instanceof Uint8Array ? `${value.length} bytes` : String(value)}`)
      .join(', '),
  );

export const tenantNotFound = (tenantId: number): KernelError => ({
  code: 'TenantNotFound',
  message: `there is no tenant ${tenantId}; create it with CreateTenant or check the tenantId`,
  retryable: false,
  tenantId,
});

export const tenantAlreadyExists = (tenantId: number, name: string): KernelError => ({
  code: 'TenantAlreadyExists',
  message: `tenant ${tenantId} exists already, named "${name}"; use another tenantId`,
  retryable: false,
  tenantId,
});

export const invalidTenantId = (tenantId: number | null): KernelError => ({
  code: 'InvalidTenantId',
  message: `tenantId must be a whole number from 1 to 2^53-1${tenantId === null ? '' : `, not ${tenantId}`}`,
  retryable: false,
  tenantId,
});

export const tableNotFound = (tenantId: number, table: string): KernelError => ({
  code: 'TableNotFound',
  message: `tenant ${tenantId} has no table "${clip(table)}"; create it with CreateTable or look at $tables`,
  retryable: false,
  tenantId,
  table,
});

export const tableAlreadyExists = (tenantId: number, table: string): KernelError => ({
  code: 'TableAlreadyExists',
  message: `tenant ${tenantId} has a table "${table}" already; drop it first or use another name`,
  retryable: false,
  tenantId,
  table,
});

export const indexNotFound = (tenantId: number, index: string): KernelError => ({
  code: 'IndexNotFound',
  message: `tenant ${tenantId} has no index "${index}"; look at $indexes`,
  retryable: false,
  tenantId,
  index,
});

export const indexAlreadyExists = (tenantId: number, index: string): KernelError => ({
  code: 'IndexAlreadyExists',
  message: `tenant ${tenantId} has an index "${index}" already (index names are per tenant); use another name`,
  retryable: false,
  tenantId,
  index,
});

interface TableName {
  readonly tenantId: number;
  readonly name: string;
}

export const columnNotFound = (at: TableName, column: string, known: readonly string[]): KernelError => ({
  code: 'ColumnNotFound',
  message: `table "${at.name}" has no column "${clip(column)}"; it has ${clip(known.join(', '))}`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  column,
});

export const typeMismatch = (at: TableName, column: string, expected: string, got: string): KernelError => ({
  code: 'TypeMismatch',
  message: `column "${column}" of table "${at.name}" takes ${expected}, not ${clip(got)}`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  column,
  expected,
  got,
});

export const notNullViolation = (at: TableName, column: string): KernelError => ({
  code: 'NotNullViolation',
  message: `column "${column}" of table "${at.name}" is not nullable and has no default; give it a value`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  column,
});

export const duplicateKey = (at: TableName, key: Row, version: number): KernelError => ({
  code: 'DuplicateKey',
  message: `table "${at.name}" has a row ${showKey(key)} already; use Update or Upsert to change it`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  key,
  version,
});

export const uniqueViolation = (at: TableName, index: string, key: Row): KernelError => ({
  code: 'UniqueViolation',
  message: `unique index "${index}" of table "${at.name}" has ${showKey(key)} already; change the value, or the other row first`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  index,
  key,
});

export const rowNotFound = (at: TableName, key: Row): KernelError => ({
  code: 'RowNotFound',
  message: `table "${at.name}" has no row ${showKey(key)}; use Insert or Upsert to make it`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  key,
});

export const rowTooLarge = (at: TableName, what: string, bytes: number, bytesMax: number): KernelError => ({
  code: 'RowTooLarge',
  message: `the ${what} for table "${at.name}" takes ${bytes} bytes and may take ${bytesMax}; split it or keep large values elsewhere`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  bytes,
  bytesMax,
});

export const preconditionFailed = (at: TableName, key: Row, expected: number, actual: number): KernelError => ({
  code: 'PreconditionFailed',
  message:
    actual === 0
      ? `there is no row ${showKey(key)} in table "${at.name}", so it is not at version ${expected}; read again and decide anew`
      : `row ${showKey(key)} of table "${at.name}" is at version ${actual}, not ${expected}; read it again and decide anew`,
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  key,
  expectedVersion: expected,
  actualVersion: actual,
});

export interface QuotaUse {
  readonly scope: 'cluster' | 'tenant';
  readonly usedBytes: number;
  readonly neededBytes: number;
  readonly limitBytes: number;
}

export function quotaExceeded(use: QuotaUse): KernelError {
  assert(use.neededBytes > 0, 'only what grows can exceed a quota');
  const owner = use.scope === 'cluster' ? 'the cluster' : 'the tenant';
  const remedy = use.scope === 'cluster' ? 'delete rows or raise the budget with SetBudget' : 'delete rows';
  return {
    code: 'QuotaExceeded',
    message: `${owner} uses ${use.usedBytes} of ${use.limitBytes} bytes and this needs ${use.neededBytes} more; ${remedy}, then try again`,
    retryable: true,
    ...use,
  };
}

/** A bound on what one query looks at, and what it counts. */
export interface QueryBound {
  readonly bound: 'rowsExaminedMax' | 'charactersExaminedMax';
  readonly limit: number;
}

export const queryTooExpensive = (
  at: TableName,
  { bound, limit }: QueryBound,
  suggestedIndex: readonly string[],
): KernelError => ({
  code: 'QueryTooExpensive',
  message:
    `the query on table "${at.name}" would look at more than ${limit} ` +
    `${bound === 'rowsExaminedMax' ? 'rows' : 'characters of text'} (${bound}); ` +
    (suggestedIndex.length > 0
      ? `create an index on (${suggestedIndex.join(', ')})`
      : 'narrow it with a condition on the primary key or an indexed column'),
  retryable: false,
  tenantId: at.tenantId,
  table: at.name,
  bound,
  limit,
  suggestedIndex,
});

export const duplicateIdempotencyId = (idempotencyId: string, firstPosition: number): KernelError => ({
  code: 'DuplicateIdempotencyId',
  message: `idempotencyId "${idempotencyId}" was used at position ${firstPosition} for a different command; use a new id for each new command`,
  retryable: false,
  idempotencyId,
  firstPosition,
});

/** `problem` says what is wrong and what would be right. */
export const invalidCommand = (path: string, problem: string): KernelError => ({
  code: 'InvalidCommand',
  message: `${path === '' ? 'command' : clip(path)}: ${problem}`,
  retryable: false,
  path,
});

export const stateTransitionFailed = (reason: string): KernelError => ({
  code: 'StateTransitionFailed',
  message: reason,
  retryable: false,
  reason,
});
