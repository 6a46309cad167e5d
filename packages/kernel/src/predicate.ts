import { assert, unreachable } from '@kimberlite/base';
import { kindOf, toCell, typeTakes } from './cell.ts';
import type { KernelError } from './error.ts';
import { keyPart, keyPrefix } from './key.ts';
import type { Where } from './query-types.ts';
import * as reject from './reject.ts';
import { isCondition, isOperator, type Operator } from './validate-query.ts';
import type { Cell, Column, StoredRow, Value } from './value.ts';

// `where` compiled against a table: names become places, values become key parts, so that comparing is the
// comparison of byte strings and there is one order only (see key.ts). json has equality alone.

/** What a query reads from: a table, or what looks like one. */
export interface Readable {
  readonly tenantId: number;
  readonly name: string;
  readonly columns: readonly Column[];
  readonly places: ReadonlyMap<string, number>;
}

/** One column, one operator. `operand` is a key part, or for json its canonical text. */
export interface Test {
  readonly kind: 'test';
  readonly place: number;
  readonly operator: Exclude<Operator, 'in'>;
  readonly operand: string;
}

export interface OneOf {
  readonly kind: 'in';
  readonly place: number;
  /** Ascending, none twice. */
  readonly operands: readonly string[];
}

export interface Group {
  readonly kind: 'and' | 'or' | 'not';
  readonly parts: readonly Predicate[];
}

export type Predicate = Test | OneOf | Group;

type Compiled = { readonly ok: true; readonly value: Predicate } | { readonly ok: false; readonly error: KernelError };

const failed = (error: KernelError): Compiled => ({ ok: false, error });

/** The comparable form of a row's cell. */
export function comparable(column: Column, cell: Cell): string {
  if (column.type !== 'json') return keyPart(column.type, column.nullable, cell);
  return typeof cell === 'string' ? cell : '';
}

/** The comparable form of a value somebody asked for; undefined: the column's type does not take it. */
function operandOf(column: Column, value: Value): string | undefined {
  if (column.type === 'json') {
    if (value === null) return '';
    const text = toCell('json', value);
    return typeof text === 'string' ? text : undefined;
  }
  // Null compares with any column; below every value where the column itself is never null.
  if (value === null) return column.nullable ? keyPart(column.type, true, null) : '';
  const cell = toCell(column.type, value);
  return cell === undefined ? undefined : keyPart(column.type, column.nullable, cell);
}

function mismatch(table: Readable, column: Column, value: Value): Compiled {
  return failed(reject.typeMismatch(table, column.name, typeTakes[column.type], kindOf(value)));
}

function compilePrefix(table: Readable, place: number, column: Column, value: Value): Compiled {
  const cell = value === null ? undefined : toCell(column.type, value);
  if ((column.type !== 'text' && column.type !== 'bytes') || cell === undefined) {
    return failed(
      reject.typeMismatch(table, column.name, 'prefix with text or bytes only', `prefix with ${kindOf(value)}`),
    );
  }
  assert(typeof cell === 'string' || cell instanceof Uint8Array, 'a prefix is text or bytes');
  return { ok: true, value: { kind: 'test', place, operator: 'prefix', operand: keyPrefix(column.nullable, cell) } };
}

function compileIn(table: Readable, place: number, column: Column, values: readonly Value[]): Compiled {
  const operands = new Set<string>();
  for (const value of values) {
    const operand = operandOf(column, value);
    if (operand === undefined) return mismatch(table, column, value);
    // Null where null cannot be matches nothing; as a range it would be everything.
    if (operand !== '' || column.type === 'json') operands.add(operand);
  }
  return { ok: true, value: { kind: 'in', place, operands: [...operands].sort() } };
}

function compileOperator(table: Readable, place: number, operator: Operator, value: unknown): Compiled {
  const column = table.columns[place] as Column;
  if (operator === 'in') return compileIn(table, place, column, value as readonly Value[]);
  if (operator === 'prefix') return compilePrefix(table, place, column, value as Value);
  if (column.type === 'json' && operator !== 'eq' && operator !== 'ne') {
    return failed(reject.typeMismatch(table, column.name, 'eq, ne and in only, because json has no order', operator));
  }
  const operand = operandOf(column, value as Value);
  if (operand === undefined) return mismatch(table, column, value as Value);
  return { ok: true, value: { kind: 'test', place, operator, operand } };
}

function compileColumn(table: Readable, name: string, condition: unknown, parts: Predicate[]): KernelError | undefined {
  const place = table.places.get(name);
  if (place === undefined) {
    return reject.columnNotFound(
      table,
      name,
      table.columns.map((column) => column.name),
    );
  }
  const entries: [Operator, unknown][] = [];
  if (isCondition(condition)) {
    for (const operator of Object.keys(condition).filter(isOperator)) entries.push([operator, condition[operator]]);
  } else entries.push(['eq', condition]);
  for (const [operator, value] of entries) {
    const compiled = compileOperator(table, place, operator, value);
    if (!compiled.ok) return compiled.error;
    parts.push(compiled.value);
  }
  return undefined;
}

/** Compiles a validated `where`; validation has bounded its depth and size. */
export function compileWhere(table: Readable, where: Where): Compiled {
  const parts: Predicate[] = [];
  for (const name of Object.keys(where)) {
    const member = where[name];
    if (name === 'and' || name === 'or') {
      const group: Predicate[] = [];
      for (const item of member as readonly Where[]) {
        const compiled = compileWhere(table, item);
        if (!compiled.ok) return compiled;
        group.push(compiled.value);
      }
      parts.push({ kind: name, parts: group });
    } else if (name === 'not') {
      const compiled = compileWhere(table, member as Where);
      if (!compiled.ok) return compiled;
      parts.push({ kind: 'not', parts: [compiled.value] });
    } else {
      const problem = compileColumn(table, name, member, parts);
      if (problem !== undefined) return failed(problem);
    }
  }
  return { ok: true, value: { kind: 'and', parts } };
}

function passes(test: Test, value: string): boolean {
  const { operator, operand } = test;
  switch (operator) {
    case 'eq':
      return value === operand;
    case 'ne':
      return value !== operand;
    case 'lt':
      return value < operand;
    case 'lte':
      return value <= operand;
    case 'gt':
      return value > operand;
    case 'gte':
      return value >= operand;
    case 'prefix':
      return value.startsWith(operand);
    default:
      return unreachable(operator);
  }
}

/** Length, in key bytes, of the longest operand a predicate compares each column with. */
export function operandLengths(predicate: Predicate, columnCount: number): readonly number[] {
  const lengths = new Array<number>(columnCount).fill(0);
  const pending: Predicate[] = [predicate];
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if (part.kind === 'test') lengths[part.place] = Math.max(lengths[part.place] as number, part.operand.length);
    else if (part.kind === 'in') {
      for (const { length } of part.operands) lengths[part.place] = Math.max(lengths[part.place] as number, length);
    } else pending.push(...part.parts);
  }
  return lengths;
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;

/**
 * The start of a text or bytes value that decides every comparison with an operand of `length` key bytes: a unit
 * gives at least one byte, so what is cut off lies behind the operand's end.
 */
function clipped(cell: Cell, length: number): Cell {
  if (typeof cell !== 'string' && !(cell instanceof Uint8Array)) return cell;
  if (cell.length <= length + 1) return cell;
  if (cell instanceof Uint8Array) return cell.subarray(0, length + 1);
  // A pair of surrogates is one character: half of it would be another.
  return cell.slice(0, isHighSurrogate(cell.charCodeAt(length)) ? length + 2 : length + 1);
}

/** Looks at rows: each cell is brought into its comparable form once, however many conditions name it. */
export class Matcher {
  /** Characters and bytes of text, bytes and json that were compared so far, and 1 for any other cell. */
  work = 0;
  private readonly predicate: Predicate;
  private readonly columns: readonly Column[];
  private readonly lengths: readonly number[];
  private readonly forms: (string | undefined)[];

  constructor(predicate: Predicate, columns: readonly Column[]) {
    this.predicate = predicate;
    this.columns = columns;
    this.lengths = operandLengths(predicate, columns.length);
    this.forms = new Array<string | undefined>(columns.length).fill(undefined);
  }

  matches(row: StoredRow): boolean {
    this.forms.fill(undefined);
    return this.holds(this.predicate, row);
  }

  private form(place: number, row: StoredRow): string {
    const known = this.forms[place];
    if (known !== undefined) return known;
    const column = this.columns[place] as Column;
    const whole = row.cells[place] as Cell;
    const length = this.lengths[place] as number;
    const cell = column.type === 'json' ? whole : clipped(whole, length);
    this.work += typeof cell === 'string' || cell instanceof Uint8Array ? Math.min(cell.length, length + 2) : 1;
    const form = comparable(column, cell);
    this.forms[place] = form;
    return form;
  }

  /** Depth and size were bounded by validation. */
  private holds(predicate: Predicate, row: StoredRow): boolean {
    switch (predicate.kind) {
      case 'test':
        return passes(predicate, this.form(predicate.place, row));
      case 'in':
        return predicate.operands.includes(this.form(predicate.place, row));
      case 'and':
        for (const part of predicate.parts) if (!this.holds(part, row)) return false;
        return true;
      case 'or':
        for (const part of predicate.parts) if (this.holds(part, row)) return true;
        return false;
      case 'not':
        return !this.holds(predicate.parts[0] as Predicate, row);
      default:
        return unreachable(predicate);
    }
  }
}
