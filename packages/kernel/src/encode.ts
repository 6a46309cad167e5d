import { assert } from '@kimberlite/base';
import { Digest } from './digest.ts';
import {
  digestEntity,
  digestRow,
  headerPlain,
  indexPlain,
  outcomePlain,
  type Part,
  part,
  rowSeed,
  tablePlain,
  tenantPlain,
  writeRowValue,
} from './entry-digest.ts';
import { intKey, tenantKey } from './key.ts';
import { chunkBytes, recordBytesMax, tablesPerChunkMax } from './limits.ts';
import { PackedWriter, type Plain } from './packed.ts';
import type { KernelState, TableState } from './state.ts';
import type { StoredRow } from './value.ts';

// The encoded state is a sequence of records (part, key, value), ascending by part and key, each
//   u8 part · u32 length + key · u32 length + value (packed, see packed.ts; rows: i64 version, then cells).
// Nothing derived and nothing internal is in it: no index entries, no counts, no tree shapes. So equal states
// give equal bytes, whatever led to them.

/** Receives the entries of a state in the order of the encoding. True: it has enough for now. */
interface EntryVisitor {
  entity(which: Part, key: string, value: Plain): boolean;
  row(table: TableState, key: string, row: StoredRow): boolean;
}

/** Shows all entries to the visitor, and yields where it has enough for now or nothing has come for a while. */
function* visit(state: KernelState, visitor: EntryVisitor): Generator<undefined, undefined> {
  if (visitor.entity(part.header, '', headerPlain(state))) yield;
  for (const at = state.tenants.ascend(); at.key !== undefined; at.next()) {
    if (visitor.entity(part.tenant, at.key, tenantPlain(at.value))) yield;
  }
  for (const at = state.tables.ascend(); at.key !== undefined; at.next()) {
    if (visitor.entity(part.table, at.key, tablePlain(at.value))) yield;
  }
  for (const at = state.indexes.ascend(); at.key !== undefined; at.next()) {
    if (visitor.entity(part.index, at.key, indexPlain(at.value))) yield;
  }
  let passed = 0;
  for (const table = state.tables.ascend(); table.key !== undefined; table.next()) {
    for (const at = table.value.rows.ascend(); at.key !== undefined; at.next()) {
      if (visitor.row(table.value, at.key, at.value)) yield;
    }
    passed += 1;
    // Tables without rows write nothing, and there may be a million of them.
    if (passed % tablesPerChunkMax === 0) yield;
  }
  for (const window = state.idempotency.ascend(); window.key !== undefined; window.next()) {
    for (const at = window.value.byPosition.ascend(); at.key !== undefined; at.next()) {
      const key = tenantKey(window.value.tenantId) + intKey(at.value.position);
      if (visitor.entity(part.outcome, key, outcomePlain(at.value))) yield;
    }
  }
  return undefined;
}

/**
 * The state as chunks of canonical bytes, each made when it is asked for: the state never changes, so a checkpoint of
 * it is written in slices while later commands go on from it. A chunk is at most `chunkBytes` and one record long; a
 * few may be short or empty. Joined, they are what `decode` reads.
 */
export function* encodeChunks(state: KernelState): Generator<Uint8Array, undefined> {
  const chunk = new PackedWriter(chunkBytes + 8_192);
  /** Writes the part and the key, which may come in two pieces, and begins the value. */
  const begin = (which: Part, first: string, rest: string): number => {
    chunk.u8(which);
    chunk.u32(first.length + rest.length);
    chunk.codeUnits(first);
    chunk.codeUnits(rest);
    return chunk.beginLength();
  };
  const end = (start: number, value: number): boolean => {
    chunk.endLength(value);
    assert(chunk.length - start <= recordBytesMax, 'no record is larger than a decoder takes');
    return chunk.length >= chunkBytes;
  };
  const slices = visit(state, {
    entity: (which, key, plain) => {
      const start = chunk.length;
      const value = begin(which, key, '');
      chunk.plain(plain);
      return end(start, value);
    },
    row: (table, key, row) => {
      const start = chunk.length;
      const value = begin(part.row, table.key, key);
      writeRowValue(chunk, row.version, row.cells);
      return end(start, value);
    },
  });
  while (slices.next().done !== true) {
    yield chunk.take();
    chunk.reset();
  }
  if (chunk.length > 0) yield chunk.take();
  return undefined;
}

/** All chunks at once. */
export function encode(state: KernelState): Uint8Array[] {
  const chunks = [...encodeChunks(state)];
  assert(chunks.length > 0, 'even the first state has a header');
  return chunks;
}

/**
 * 128 bits over everything `encode` writes, as hex. The part that grows is maintained with every command;
 * only the header is hashed here.
 */
export function stateHash(state: KernelState): string {
  const sum = state.digest.copy();
  const header = new Digest();
  digestEntity(header, part.header, '', headerPlain(state));
  sum.add(header);
  return sum.hex();
}

/** The same from scratch, from the entries alone; costs as much as encoding. For tests and `verify`. */
export function recomputeStateHash(state: KernelState): string {
  const sum = new Digest();
  const one = new Digest();
  const everything = visit(state, {
    entity: (which, key, plain) => {
      digestEntity(one, which, key, plain);
      sum.add(one);
      return false;
    },
    row: (table, key, row) => {
      digestRow(one, rowSeed(table.tenantId, table.name), key, row.version, row.cells);
      sum.add(one);
      return false;
    },
  });
  while (everything.next().done !== true) continue;
  return sum.hex();
}
