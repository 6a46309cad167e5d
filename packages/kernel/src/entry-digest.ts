import { assert } from '@kimberlite/base';
import { Digest } from './digest.ts';
import { namedKey } from './key.ts';
import { entityOverheadBytes, rowOverheadBytes } from './limits.ts';
import { type PackedReader, type PackedWriter, type Plain, scratch } from './packed.ts';
import type { IndexState, KernelState, RememberedOutcome, TableState, TenantState } from './state.ts';
import type { Cell, Column, StoredRow } from './value.ts';

// What state consists of, entry by entry: the same (part, key, value) is encoded, hashed and counted.

/** Parts of the encoded state, in order. */
export const part = { header: 0, tenant: 1, table: 2, index: 3, row: 4, outcome: 5 } as const;
export type Part = (typeof part)[keyof typeof part];

export const headerPlain = (state: KernelState): Plain => ({
  position: state.position,
  op: state.op,
  timestamp: state.timestamp,
  budgetBytes: state.budgetBytes,
});

export const tenantPlain = (tenant: TenantState): Plain => ({
  name: tenant.name,
  quotaBytes: tenant.quotaBytes,
  created: tenant.created,
});

const columnPlain = (column: Column): Plain => ({
  name: column.name,
  type: column.type,
  nullable: column.nullable,
  default: column.default,
});

export const tablePlain = (table: TableState): Plain => ({
  tenantId: table.tenantId,
  name: table.name,
  columns: table.columns.map(columnPlain),
  key: table.keyPlaces,
  created: table.created,
});

export const indexPlain = (index: IndexState): Plain => ({
  tenantId: index.tenantId,
  name: index.name,
  table: index.table,
  places: index.places,
  unique: index.unique,
  created: index.created,
});

export const outcomePlain = (remembered: Omit<RememberedOutcome, 'bytes' | 'position'>): Plain => ({
  idempotencyId: remembered.idempotencyId,
  timestamp: remembered.timestamp,
  commandHash: remembered.commandHash,
  // An outcome is plain data by its definition; only its interfaces do not say so to the compiler.
  outcome: remembered.outcome as unknown as Plain,
});

/** Writes a row's value: version, then the cells. */
export function writeRowValue(writer: PackedWriter, version: number, cells: readonly Cell[]): void {
  writer.i64(version);
  for (let i = 0; i < cells.length; i++) writer.cell(cells[i] as Cell);
}

const seeds: readonly Digest[] = Object.values(part).map((number) => new Digest(number + 1, 0x6b65726e, 0x656c, 1));

/** Hashes one entry that is not a row into `out`. Gives the bytes it counts for. */
export function digestEntity(out: Digest, which: Part, key: string, value: Plain): number {
  assert(which !== part.row, 'rows are hashed with the seed of their table');
  scratch.reset().byteString(key);
  scratch.plain(value);
  scratch.hash(out, seeds[which] as Digest);
  return scratch.length + entityOverheadBytes;
}

/** The seed of the hashes of a table's rows: stands for (part, table key) in each of them. */
export function rowSeed(tenantId: number, table: string): Digest {
  const out = new Digest();
  scratch.reset().byteString(namedKey(tenantId, table));
  scratch.hash(out, seeds[part.row] as Digest);
  return out;
}

/** Hashes one row into `out`. Gives the bytes it counts for. */
export function digestRow(out: Digest, seed: Digest, key: string, version: number, cells: readonly Cell[]): number {
  scratch.reset().byteString(key);
  writeRowValue(scratch, version, cells);
  scratch.hash(out, seed);
  return scratch.length + rowOverheadBytes;
}

const rowHash = new Digest();

/** Makes a row of its cells, hashes it and counts its bytes. */
export function makeRow(seed: Digest, key: string, version: number, cells: readonly Cell[]): StoredRow {
  return hashedRow(digestRow(rowHash, seed, key, version, cells), version, cells);
}

/** The same where the value lies in the reader's bytes as `writeRowValue` writes it, which spares writing it. */
export function makePackedRow(
  seed: Digest,
  key: string,
  version: number,
  cells: readonly Cell[],
  value: { readonly reader: PackedReader; readonly from: number; readonly to: number },
): StoredRow {
  scratch.reset().byteString(key);
  value.reader.copyTo(scratch, value.from, value.to);
  scratch.hash(rowHash, seed);
  return hashedRow(scratch.length + rowOverheadBytes, version, cells);
}

function hashedRow(bytes: number, version: number, cells: readonly Cell[]): StoredRow {
  assert(bytes > rowOverheadBytes, 'a row counts for more than its overhead');
  const { a, b, c, d } = rowHash;
  return { version, cells, bytes, a, b, c, d };
}
