/** The types a column may have. */
export type ColumnType = 'int' | 'float' | 'text' | 'bool' | 'bytes' | 'timestamp' | 'json';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/**
 * A value as commands carry it and rows show it. Int and timestamp are a number when safe, else a bigint
 * (a decimal string is accepted as input); float is a finite number; bytes are a Uint8Array (base64 is
 * accepted as input); a timestamp is microseconds since 1970 (ISO 8601 text is accepted as input).
 */
export type Value = JsonValue | bigint | Uint8Array;

/** A row as people see it: column name to value, and `$version` where it was selected. */
export type Row = Readonly<Record<string, Value>>;

/** One canonical value as state holds it; json is its RFC 8785 text. The column's type says how to read it. */
export type Cell = null | boolean | number | bigint | string | Uint8Array;

/** 128 bits as four signed 32-bit lanes, `d` the most significant. */
export interface Lanes {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

/**
 * A row as state holds it: cells in the order of the table's columns. Never changed once made. Its hash (the lanes)
 * is kept with it, so that replacing it or taking it away does not mean hashing it again.
 */
export interface StoredRow extends Lanes {
  /** Position of the last command that wrote the row. */
  readonly version: number;
  readonly cells: readonly Cell[];
  /** Derived: bytes it counts for. */
  readonly bytes: number;
}

/** A column, normalised: `default` is the value a row gets that leaves the column out. */
export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable: boolean;
  readonly default?: Value;
}

/** A column as a person writes it: `"int"`, `"text?"` (nullable), or the parts by name. */
export type ColumnInput =
  | ColumnType
  | `${ColumnType}?`
  | { readonly type: ColumnType | `${ColumnType}?`; readonly nullable?: boolean; readonly default?: Value };
