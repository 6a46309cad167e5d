import type { JsonValue, Row, Value } from './value.ts';

/** What one column must satisfy. Several operators in one object must all hold; a plain value means `eq`. */
export interface Condition {
  readonly eq?: Value;
  readonly ne?: Value;
  readonly lt?: Value;
  readonly lte?: Value;
  readonly gt?: Value;
  readonly gte?: Value;
  readonly in?: readonly Value[];
  /** Text and bytes only. */
  readonly prefix?: Value;
}

/**
 * Column name to condition, all of which must hold; `and`, `or` (lists) and `not` (one) combine further ones.
 * Null is a value like any other, the lowest: `{ born: null }` finds rows without one.
 */
export type Where = { readonly [columnOrKeyword: string]: Condition | Value | readonly Where[] | Where };

/** `"name"` ascending, or with a direction. */
export type OrderBy = string | { readonly column: string; readonly direction?: 'asc' | 'desc' };

/** A read of one table, or of `$tenants`, `$tables`, `$indexes`. */
export interface Query {
  /** 0 only for `$tenants`. */
  readonly tenantId: number;
  readonly table: string;
  readonly where?: Where;
  /** Columns to return, `$version` included if named; all columns without `$version` when left out. */
  readonly select?: readonly string[];
  /** Ties are broken by the primary key. Default: by primary key. */
  readonly orderBy?: readonly OrderBy[];
  /** 1 to 10,000; default 1000. */
  readonly limit?: number;
  /** From an earlier answer to the same query; goes on after its last row. */
  readonly cursor?: string;
  /** True: the answer says how it was found. */
  readonly explain?: boolean;
}

/** How a query was answered. */
export interface Plan {
  readonly access: 'primary-key' | 'index' | 'scan';
  /** Name of the index, where one was used. */
  readonly index?: string;
  /** True when rows had to be sorted after they were found. */
  readonly sorted: boolean;
  /** Rows looked at. */
  readonly examined: number;
}

export interface QueryAnswer {
  readonly rows: readonly Row[];
  /** Present when there may be more rows. */
  readonly cursor?: string;
  /** Position of the state that answered. */
  readonly position: number;
  /** Timestamp, in microseconds, of the last command in that state. */
  readonly timestamp: number;
  readonly plan?: Plan;
}

export type { JsonValue };
