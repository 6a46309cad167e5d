import { assert } from '@kimberlite/base';
import { afterPrefix } from './key.ts';
import type { Predicate } from './predicate.ts';
import type { Column } from './value.ts';

// Which keys of which map a query has to look at. Rows found are always tested against the whole `where`
// again, so a plan can only be too wide, never wrong.

/** A way into the rows: the primary key, or an index. */
export interface Access {
  readonly kind: 'primary-key' | 'index';
  readonly name: string;
  /** Places of its columns, in key order. */
  readonly places: readonly number[];
}

/** Keys from `low` on and, unless undefined, below `high`. */
export interface KeyRange {
  readonly low: string;
  readonly high: string | undefined;
}

export interface Order {
  readonly place: number;
  readonly descending: boolean;
}

export interface Path {
  readonly access: Access;
  /** Ascending and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** Leading columns fixed to one value each. */
  readonly fixed: number;
  /** True when nothing narrows it. */
  readonly whole: boolean;
  /** True when following it gives the rows in the asked order, going down if `descending`. */
  readonly ordered: boolean;
  readonly descending: boolean;
}

/** What the conjunction at the top of a predicate says about one column. */
interface Narrowing {
  eq: string | undefined;
  among: readonly string[] | undefined;
  low: string;
  high: string | undefined;
  bounded: boolean;
}

function narrow(column: Narrowing, part: Predicate): void {
  if (part.kind === 'in') {
    column.among ??= part.operands;
    return;
  }
  if (part.kind !== 'test') return;
  const { operator, operand } = part;
  const above = afterPrefix(operand);
  if (operator === 'eq') column.eq ??= operand;
  if (operator === 'gt' && above !== undefined && above > column.low) column.low = above;
  if ((operator === 'gte' || operator === 'prefix') && operand > column.low) column.low = operand;
  const high = operator === 'lt' ? operand : operator === 'lte' || operator === 'prefix' ? above : undefined;
  if (high !== undefined && (column.high === undefined || high < column.high)) column.high = high;
  if (operator !== 'eq' && operator !== 'ne') column.bounded = true;
}

/** Collects what must hold for every row, from nested `and` too. */
function narrowings(predicate: Predicate, columns: readonly Column[]): ReadonlyMap<number, Narrowing> {
  const found = new Map<number, Narrowing>();
  const pending: Predicate[] = [predicate];
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if (part.kind === 'and') pending.push(...part.parts);
    if (part.kind !== 'test' && part.kind !== 'in') continue;
    if (columns[part.place]?.type === 'json') continue;
    const known = found.get(part.place) ?? {
      eq: undefined,
      among: undefined,
      low: '',
      high: undefined,
      bounded: false,
    };
    narrow(known, part);
    found.set(part.place, known);
  }
  return found;
}

/** The ranges of the first column that is not fixed, behind the fixed ones. */
function rangesOf(prefix: string, column: Narrowing | undefined): readonly KeyRange[] {
  if (column?.among !== undefined) {
    return column.among.map((part) => ({ low: prefix + part, high: afterPrefix(prefix + part) }));
  }
  const low = prefix + (column?.low ?? '');
  const high = column?.high === undefined ? afterPrefix(prefix) : prefix + column.high;
  if (high !== undefined && low >= high) return [];
  return [{ low, high }];
}

/** Whether an access with `fixed` leading columns gives rows in the asked order, and in which direction. */
function orderOf(
  access: Access,
  fixed: number,
  key: readonly number[],
  order: readonly Order[],
): { ordered: boolean; descending: boolean } {
  const descending = order.length > 0 && (order[order.length - 1] as Order).descending;
  const fixedPlaces = access.places.slice(0, fixed);
  // A fixed column is equal in all rows, so it orders nothing; behind an index come the primary key's columns.
  const asked = order.filter(({ place }) => !fixedPlaces.includes(place));
  const rest = access.places.slice(fixed);
  const followed = access.kind === 'primary-key' ? rest : [...rest, ...key];
  const sameDirection = asked.every((by) => by.descending === descending);
  const covers = asked.every((by, i) => by.place === followed[i]);
  // Behind the asked columns the order must go on by the primary key alone.
  const tail = followed.slice(asked.length).filter((place) => !fixedPlaces.includes(place));
  const wanted = key.filter((place) => !fixedPlaces.includes(place) && !asked.some((by) => by.place === place));
  const tailIsKey = wanted.every((place, i) => tail[i] === place);
  return { ordered: sameDirection && covers && tailIsKey, descending };
}

function pathOf(
  access: Access,
  found: ReadonlyMap<number, Narrowing>,
  key: readonly number[],
  order: readonly Order[],
): Path {
  let prefix = '';
  let fixed = 0;
  for (; fixed < access.places.length; fixed++) {
    const eq = found.get(access.places[fixed] as number)?.eq;
    if (eq === undefined) break;
    prefix += eq;
  }
  const next = fixed < access.places.length ? found.get(access.places[fixed] as number) : undefined;
  const ranges = rangesOf(prefix, next);
  assert(fixed <= access.places.length, 'no more columns are fixed than there are');
  return {
    access,
    ranges,
    fixed,
    whole: fixed === 0 && next?.among === undefined && next?.bounded !== true,
    ...orderOf(access, fixed, key, order),
  };
}

/** Higher is better; equal ones go to the first. */
function scoreOf(path: Path, found: ReadonlyMap<number, Narrowing>): number {
  const next = path.access.places[path.fixed];
  const narrowed = next !== undefined && (found.get(next)?.bounded === true || found.get(next)?.among !== undefined);
  const point = path.access.kind === 'primary-key' && path.fixed === path.access.places.length;
  return (point ? 1000 : 0) + path.fixed * 4 + (narrowed ? 2 : 0) + (path.ordered ? 1 : 0);
}

/** The best path. `accesses` starts with the primary key. */
export function choosePath(
  accesses: readonly Access[],
  predicate: Predicate,
  columns: readonly Column[],
  order: readonly Order[],
): Path {
  const found = narrowings(predicate, columns);
  const primary = accesses[0];
  assert(primary?.kind === 'primary-key', 'every table has its primary key');
  let best = pathOf(primary, found, primary.places, order);
  let bestScore = scoreOf(best, found);
  for (let i = 1; i < accesses.length; i++) {
    const path = pathOf(accesses[i] as Access, found, primary.places, order);
    const score = scoreOf(path, found);
    // Going through an index costs a second look-up, so an index that narrows nothing must at least save a sort.
    if (score > bestScore && !(path.whole && !path.ordered)) {
      best = path;
      bestScore = score;
    }
  }
  return best;
}

/** Columns of an index that would have narrowed the query; none when no index can. */
export function suggestIndex(
  predicate: Predicate,
  columns: readonly Column[],
  order: readonly Order[],
): readonly string[] {
  const found = narrowings(predicate, columns);
  const places: number[] = [];
  for (const [place, column] of found) if (column.eq !== undefined) places.push(place);
  for (const [place, column] of found) {
    if (column.eq === undefined && (column.bounded || column.among !== undefined)) {
      places.push(place);
      break;
    }
  }
  if (places.length === 0) for (const by of order) places.push(by.place);
  return places.slice(0, 8).map((place) => (columns[place] as Column).name);
}
