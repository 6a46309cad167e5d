import { nestingMax, ok, type Result } from '@kimberlite/base';
import { isRecord } from './canonical-json.ts';
import type { KernelError } from './error.ts';
import { columnsMax, conditionsMax, keyColumnsMax, queryLimitMax } from './limits.ts';
import type { OrderBy, Query, Where } from './query-types.ts';
import { invalidCommand } from './reject.ts';
import {
  checkMembers,
  checkName,
  checkTenantId,
  checkWhole,
  describe,
  invalid,
  isName,
  valueProblem,
} from './validate-value.ts';

export const systemTables = ['$tenants', '$tables', '$indexes'] as const;
export type SystemTable = (typeof systemTables)[number];
export const isSystemTable = (value: unknown): value is SystemTable => systemTables.some((name) => name === value);

export const operators = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'prefix'] as const;
export type Operator = (typeof operators)[number];
export const isOperator = (value: string): value is Operator => operators.some((name) => name === value);

/** Conditions left to spend; shared by all levels of one `where`. */
interface Allowance {
  left: number;
}

/** A record whose every member is an operator: a condition. Any other record is a json value meant as `eq`. */
export function isCondition(value: unknown): value is Readonly<Partial<Record<Operator, unknown>>> {
  if (!isRecord(value)) return false;
  const keys = Object.keys(value);
  return keys.length > 0 && keys.every(isOperator);
}

function checkCondition(value: unknown, path: string, allowance: Allowance): KernelError | undefined {
  if (!isCondition(value)) {
    if (isRecord(value)) {
      return invalidCommand(path, `must be a value or a record of ${operators.join(', ')}`);
    }
    const problem = valueProblem(value);
    return problem === undefined ? undefined : invalidCommand(path, problem);
  }
  for (const operator of Object.keys(value).filter(isOperator)) {
    const operand = value[operator];
    if (operator !== 'in') {
      const problem = valueProblem(operand);
      if (problem !== undefined) return invalidCommand(`${path}.${operator}`, problem);
      continue;
    }
    if (!Array.isArray(operand) || operand.length > conditionsMax) {
      return invalidCommand(`${path}.in`, `must be a list of at most ${conditionsMax} values`);
    }
    allowance.left -= operand.length;
    for (let i = 0; i < operand.length; i++) {
      const problem = valueProblem(operand[i]);
      if (problem !== undefined) return invalidCommand(`${path}.in[${i}]`, problem);
    }
  }
  return undefined;
}

function whereProblem(value: unknown, path: string, depth: number, allowance: Allowance): KernelError | undefined {
  if (!isRecord(value)) return invalidCommand(path, `must be a record of conditions, not ${describe(value)}`);
  if (depth >= nestingMax) return invalidCommand(path, `nests deeper than ${nestingMax} levels; flatten it`);
  for (const name of Object.keys(value)) {
    const member = value[name];
    const here = `${path}.${name}`;
    if (--allowance.left < 0) return invalidCommand(path, `has more than ${conditionsMax} conditions; split the query`);
    if (name === 'and' || name === 'or') {
      if (!Array.isArray(member) || member.length === 0) return invalidCommand(here, 'must be a list of conditions');
      for (let i = 0; i < member.length; i++) {
        const problem = whereProblem(member[i], `${here}[${i}]`, depth + 1, allowance);
        if (problem !== undefined) return problem;
      }
      continue;
    }
    const problem =
      name === 'not'
        ? whereProblem(member, here, depth + 1, allowance)
        : isName(name)
          ? checkCondition(member, here, allowance)
          : invalidCommand(path, `${describe(name)} is no column; $version and the like can only be selected`);
    if (problem !== undefined) return problem;
  }
  return allowance.left < 0
    ? invalidCommand(path, `has more than ${conditionsMax} values; split the query`)
    : undefined;
}

function checkSelect(value: unknown): Result<readonly string[], KernelError> {
  if (!Array.isArray(value) || value.length === 0 || value.length > columnsMax + 1) {
    return invalid('select', 'must be a list of column names; leave it out to get all columns');
  }
  const select: string[] = [];
  for (let i = 0; i < value.length; i++) {
    const item: unknown = value[i];
    const name = item === '$version' ? ok(item) : checkName(item, `select[${i}]`);
    if (!name.ok) return name;
    if (select.includes(name.value)) return invalid(`select[${i}]`, `"${name.value}" is there twice; name it once`);
    select.push(name.value);
  }
  return ok(select);
}

function checkOrderBy(value: unknown): Result<readonly OrderBy[], KernelError> {
  if (!Array.isArray(value) || value.length === 0 || value.length > keyColumnsMax) {
    return invalid('orderBy', `must be a list of 1 to ${keyColumnsMax} columns; leave it out for primary key order`);
  }
  const order: OrderBy[] = [];
  for (let i = 0; i < value.length; i++) {
    const item: unknown = value[i];
    const path = `orderBy[${i}]`;
    if (!isRecord(item)) {
      const name = checkName(item, path);
      if (!name.ok) return name;
      order.push(name.value);
      continue;
    }
    const members = checkMembers(item, path, ['column', 'direction']);
    if (!members.ok) return members;
    const name = checkName(item['column'], `${path}.column`);
    if (!name.ok) return name;
    const direction = item['direction'];
    if (direction !== undefined && direction !== 'asc' && direction !== 'desc') {
      return invalid(`${path}.direction`, 'must be "asc" or "desc"');
    }
    order.push(direction === 'desc' ? { column: name.value, direction } : name.value);
  }
  return ok(order);
}

/** Characters of a cursor: it carries the `orderBy` values of a row, which may be as large as the row. */
const cursorLengthMax = 786_432;

const queryMembers = ['tenantId', 'table', 'where', 'select', 'orderBy', 'limit', 'cursor', 'explain'];

function checkQuery(value: unknown): Result<Query, KernelError> {
  if (!isRecord(value)) return invalid('', `a query must be a record with tenantId and table, not ${describe(value)}`);
  const members = checkMembers(value, '', queryMembers);
  if (!members.ok) return members;
  const { table, tenantId: givenTenant, where, cursor, explain } = value;
  const anyTenant = table === '$tenants' && (givenTenant === 0 || givenTenant === undefined);
  const tenantId = anyTenant ? ok(0) : checkTenantId(givenTenant);
  if (!tenantId.ok) return tenantId;
  const name = isSystemTable(table) ? ok(table) : checkName(table, 'table');
  if (!name.ok) return name;
  const problem = where === undefined ? undefined : whereProblem(where, 'where', 0, { left: conditionsMax });
  if (problem !== undefined) return { ok: false, error: problem };
  const select = value['select'] === undefined ? ok(undefined) : checkSelect(value['select']);
  if (!select.ok) return select;
  const orderBy = value['orderBy'] === undefined ? ok(undefined) : checkOrderBy(value['orderBy']);
  if (!orderBy.ok) return orderBy;
  const limit = value['limit'] === undefined ? ok(undefined) : checkWhole(value['limit'], 'limit', 1, queryLimitMax);
  if (!limit.ok) return limit;
  if (cursor !== undefined && (typeof cursor !== 'string' || cursor.length > cursorLengthMax)) {
    return invalid('cursor', 'must be the cursor of an earlier answer to the same query');
  }
  if (explain !== undefined && typeof explain !== 'boolean') return invalid('explain', 'must be true or false');
  const query: { -readonly [K in keyof Query]: Query[K] } = { tenantId: tenantId.value, table: name.value };
  if (where !== undefined) query.where = where as Where;
  if (select.value !== undefined) query.select = select.value;
  if (orderBy.value !== undefined) query.orderBy = orderBy.value;
  if (limit.value !== undefined) query.limit = limit.value;
  if (cursor !== undefined) query.cursor = cursor;
  if (explain === true) query.explain = explain;
  return ok(query);
}

/** Checks and normalises a query. Total on any value. */
export function validateQuery(value: unknown): Result<Query, KernelError> {
  try {
    return checkQuery(value);
  } catch {
    // Only a getter or a proxy throws here, and neither is data.
    return invalid('', 'cannot be read; give plain data');
  }
}
