import { ok, type Result } from '@kimberlite/base';
import { isRecord } from './canonical-json.ts';
import type { Command, CommandType, Delete, Insert, Update, Upsert } from './command.ts';
import type { KernelError } from './error.ts';
import { keyColumnsMax } from './limits.ts';
import { checkColumns, checkPrimaryKey } from './validate-schema.ts';
import { validateQuery } from './validate-query.ts';
import {
  checkIdempotencyId,
  checkMembers,
  checkName,
  checkNames,
  checkRow,
  checkTenantId,
  checkTitle,
  checkWhole,
  describe,
  invalid,
  type Unknowns,
} from './validate-value.ts';

type Checked = Result<Command, KernelError>;
type Base = { readonly idempotencyId?: string };

/** The members each command may have. */
const members: Readonly<Record<CommandType, readonly string[]>> = {
  CreateTenant: ['type', 'idempotencyId', 'tenantId', 'name', 'quotaBytes'],
  DeleteTenant: ['type', 'idempotencyId', 'tenantId'],
  CreateTable: ['type', 'idempotencyId', 'tenantId', 'table', 'columns', 'primaryKey'],
  DropTable: ['type', 'idempotencyId', 'tenantId', 'table'],
  CreateIndex: ['type', 'idempotencyId', 'tenantId', 'table', 'index', 'columns', 'unique'],
  DropIndex: ['type', 'idempotencyId', 'tenantId', 'index'],
  Insert: ['type', 'idempotencyId', 'tenantId', 'table', 'row'],
  Update: ['type', 'idempotencyId', 'tenantId', 'table', 'key', 'set', 'ifVersion'],
  Upsert: ['type', 'idempotencyId', 'tenantId', 'table', 'row', 'ifVersion'],
  Delete: ['type', 'idempotencyId', 'tenantId', 'table', 'key', 'ifVersion'],
  Query: ['type', 'query', 'tenantId', 'table', 'where', 'select', 'orderBy', 'limit', 'cursor', 'explain'],
  Checkpoint: ['type', 'idempotencyId'],
  Compact: ['type', 'idempotencyId'],
  SetBudget: ['type', 'idempotencyId', 'budgetBytes'],
};

export const commandTypes = Object.keys(members) as readonly CommandType[];

const isCommandType = (value: unknown): value is CommandType =>
  typeof value === 'string' && Object.hasOwn(members, value);

function checkCreateTenant(value: Unknowns, base: Base): Checked {
  const tenantId = checkTenantId(value['tenantId']);
  if (!tenantId.ok) return tenantId;
  const name = checkTitle(value['name'], 'name');
  if (!name.ok) return name;
  const created = { type: 'CreateTenant', tenantId: tenantId.value, name: name.value, ...base } as const;
  if (value['quotaBytes'] === undefined) return ok(created);
  const quotaBytes = checkWhole(value['quotaBytes'], 'quotaBytes', 1, Number.MAX_SAFE_INTEGER);
  return quotaBytes.ok ? ok({ ...created, quotaBytes: quotaBytes.value }) : quotaBytes;
}

function checkCreateTable(value: Unknowns, base: Base): Checked {
  const at = checkTable(value);
  if (!at.ok) return at;
  const columns = checkColumns(value['columns']);
  if (!columns.ok) return columns;
  const primaryKey = checkNames(value['primaryKey'], 'primaryKey', keyColumnsMax);
  if (!primaryKey.ok) return primaryKey;
  const sound = checkPrimaryKey(columns.value, primaryKey.value);
  if (!sound.ok) return sound;
  return ok({ type: 'CreateTable', ...at.value, columns: columns.value, primaryKey: primaryKey.value, ...base });
}

function checkCreateIndex(value: Unknowns, base: Base): Checked {
  const at = checkTable(value);
  if (!at.ok) return at;
  const index = checkName(value['index'], 'index');
  if (!index.ok) return index;
  const columns = checkNames(value['columns'], 'columns', keyColumnsMax);
  if (!columns.ok) return columns;
  const unique = value['unique'] ?? false;
  if (typeof unique !== 'boolean') return invalid('unique', `must be true or false, not ${describe(unique)}`);
  return ok({ type: 'CreateIndex', ...at.value, index: index.value, columns: columns.value, unique, ...base });
}

interface InTable {
  readonly tenantId: number;
  readonly table: string;
}

function checkTable(value: Unknowns): Result<InTable, KernelError> {
  const tenantId = checkTenantId(value['tenantId']);
  if (!tenantId.ok) return tenantId;
  const table = checkName(value['table'], 'table');
  return table.ok ? ok({ tenantId: tenantId.value, table: table.value }) : table;
}

// The four commands that come by the hundred are put together member by member: spreading costs more than checking.

interface Optional {
  ifVersion?: number;
  idempotencyId?: string;
}

/** Adds to a new command the optional members that were given. */
function addGiven(command: Optional, ifVersion: number | undefined, { idempotencyId }: Base): void {
  if (ifVersion !== undefined) command.ifVersion = ifVersion;
  if (idempotencyId !== undefined) command.idempotencyId = idempotencyId;
}

function checkIfVersion(value: Unknowns, low: number): Result<number | undefined, KernelError> {
  const ifVersion = value['ifVersion'];
  return ifVersion === undefined ? ok(undefined) : checkWhole(ifVersion, 'ifVersion', low, Number.MAX_SAFE_INTEGER);
}

function checkInsert(value: Unknowns, base: Base): Checked {
  const at = checkTable(value);
  if (!at.ok) return at;
  const { tenantId, table } = at.value;
  const row = checkRow(value['row'], 'row');
  if (!row.ok) return row;
  const command: Insert = { type: 'Insert', tenantId, table, row: row.value };
  addGiven(command, undefined, base);
  return ok(command);
}

function checkUpsert(value: Unknowns, base: Base): Checked {
  const at = checkTable(value);
  if (!at.ok) return at;
  const { tenantId, table } = at.value;
  const row = checkRow(value['row'], 'row');
  if (!row.ok) return row;
  const version = checkIfVersion(value, 0);
  if (!version.ok) return version;
  const command: Upsert = { type: 'Upsert', tenantId, table, row: row.value };
  addGiven(command, version.value, base);
  return ok(command);
}

function checkUpdate(value: Unknowns, base: Base): Checked {
  const at = checkTable(value);
  if (!at.ok) return at;
  const { tenantId, table } = at.value;
  const key = checkRow(value['key'], 'key');
  if (!key.ok) return key;
  const set = checkRow(value['set'], 'set');
  if (!set.ok) return set;
  const version = checkIfVersion(value, 1);
  if (!version.ok) return version;
  const command: Update = { type: 'Update', tenantId, table, key: key.value, set: set.value };
  addGiven(command, version.value, base);
  return ok(command);
}

function checkDelete(value: Unknowns, base: Base): Checked {
  const at = checkTable(value);
  if (!at.ok) return at;
  const { tenantId, table } = at.value;
  const key = checkRow(value['key'], 'key');
  if (!key.ok) return key;
  const version = checkIfVersion(value, 1);
  if (!version.ok) return version;
  const command: Delete = { type: 'Delete', tenantId, table, key: key.value };
  addGiven(command, version.value, base);
  return ok(command);
}

/** `{ type: "Query", query: {…} }`, or the query's members beside the type. */
function checkQueryCommand(value: Unknowns): Checked {
  const { type: _type, query: nested, ...flat } = value;
  if (nested !== undefined && Object.keys(flat).length > 0) {
    return invalid('query', 'give the query either as query or as members of the command, not both');
  }
  const query = validateQuery(nested ?? flat);
  return query.ok ? ok({ type: 'Query', query: query.value }) : query;
}

function checkTyped(type: CommandType, value: Unknowns, base: Base): Checked {
  switch (type) {
    case 'CreateTenant':
      return checkCreateTenant(value, base);
    case 'DeleteTenant': {
      const tenantId = checkTenantId(value['tenantId']);
      return tenantId.ok ? ok({ type, tenantId: tenantId.value, ...base }) : tenantId;
    }
    case 'CreateTable':
      return checkCreateTable(value, base);
    case 'DropTable': {
      const at = checkTable(value);
      return at.ok ? ok({ type, ...at.value, ...base }) : at;
    }
    case 'CreateIndex':
      return checkCreateIndex(value, base);
    case 'DropIndex': {
      const tenantId = checkTenantId(value['tenantId']);
      if (!tenantId.ok) return tenantId;
      const index = checkName(value['index'], 'index');
      return index.ok ? ok({ type, tenantId: tenantId.value, index: index.value, ...base }) : index;
    }
    case 'Insert':
      return checkInsert(value, base);
    case 'Update':
      return checkUpdate(value, base);
    case 'Upsert':
      return checkUpsert(value, base);
    case 'Delete':
      return checkDelete(value, base);
    case 'Query':
      return checkQueryCommand(value);
    case 'Checkpoint':
    case 'Compact':
      return ok({ type, ...base });
    case 'SetBudget': {
      const budgetBytes = checkWhole(value['budgetBytes'], 'budgetBytes', 1, Number.MAX_SAFE_INTEGER);
      return budgetBytes.ok ? ok({ type, budgetBytes: budgetBytes.value, ...base }) : budgetBytes;
    }
  }
}

function check(value: unknown): Checked {
  if (!isRecord(value)) return invalid('', `must be a record with a type, not ${describe(value)}`);
  const type = value['type'];
  if (!isCommandType(type)) return invalid('type', `must be one of ${commandTypes.join(', ')}; got ${describe(type)}`);
  if (type === 'Query' && value['idempotencyId'] !== undefined) {
    return invalid('idempotencyId', 'a Query changes nothing and takes none; leave it out');
  }
  const known = checkMembers(value, '', members[type]);
  if (!known.ok) return known;
  if (value['idempotencyId'] === undefined) return checkTyped(type, value, {});
  const idempotencyId = checkIdempotencyId(value['idempotencyId']);
  return idempotencyId.ok ? checkTyped(type, value, { idempotencyId: idempotencyId.value }) : idempotencyId;
}

/**
 * Checks a command from outside and gives its normal form, which it accepts unchanged. Total on any value. What
 * needs the schema (column types, existence, uniqueness) is checked when it is applied, after consensus.
 */
export function validate(value: unknown): Result<Command, KernelError> {
  try {
    return check(value);
  } catch {
    // Only a getter or a proxy throws here, and neither is data.
    return invalid('', 'cannot be read; give plain data');
  }
}
