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
import { chunkBytes } from './limits.ts';
import { PackedWriter, type Plain } from './packed.ts';
import type { KernelState, StoredRowEntry } from './state.ts';

// The encoded state is a sequence of records (part, key, value), ascending by part and key, each
//   u8 part · u32 length + key · u32 length + value (packed, see packed.ts; rows: i64 version, then cells).
// Nothing derived and nothing internal is in it: no index entries, no counts, no tree shapes. So equal states
// give equal bytes, whatever led to them.

/** Receives the entries of a state in the order of the encoding. */
interface EntryVisitor {
  entity(which: Part, key: string, value: Plain): void;
  row(entry: StoredRowEntry): void;
}

function visit(state: KernelState, visitor: EntryVisitor): void {
  visitor.entity(part.header, '', headerPlain(state));
  for (const at = state.tenants.ascend(); at.key !== undefined; at.next()) {
    visitor.entity(part.tenant, at.key, tenantPlain(at.value));
  }
  for (const at = state.tables.ascend(); at.key !== undefined; at.next()) {
    visitor.entity(part.table, at.key, tablePlain(at.value));
  }
  for (const at = state.indexes.ascend(); at.key !== undefined; at.next()) {
    visitor.entity(part.index, at.key, indexPlain(at.value));
  }
  for (const table = state.tables.ascend(); table.key !== undefined; table.next()) {
    for (const at = table.value.rows.ascend(); at.key !== undefined; at.next()) {
      visitor.row({ table: table.value, key: at.key, row: at.value });
    }
  }
  for (const window = state.idempotency.ascend(); window.key !== undefined; window.next()) {
    for (const at = window.value.byPosition.ascend(); at.key !== undefined; at.next()) {
      const { tenantId } = window.value;
      visitor.entity(part.outcome, tenantKey(tenantId) + intKey(at.value.position), outcomePlain(at.value));
    }
  }
}

/** The state as chunks of canonical bytes; joined, they are what `decode` reads. */
export function encode(state: KernelState): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const chunk = new PackedWriter(chunkBytes * 2);
  const value = new PackedWriter(4096);
  const record = (which: Part, key: string): void => {
    chunk.u8(which);
    chunk.byteString(key);
    const bytes = value.take();
    chunk.u32(bytes.length);
    chunk.raw(bytes);
    if (chunk.length < chunkBytes) return;
    chunks.push(chunk.take());
    chunk.reset();
  };
  visit(state, {
    entity: (which, key, plain) => {
      value.reset().plain(plain);
      record(which, key);
    },
    row: ({ table, key, row }) => {
      writeRowValue(value.reset(), row.version, row.cells);
      record(part.row, table.key + key);
    },
  });
  if (chunk.length > 0) chunks.push(chunk.take());
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
  visit(state, {
    entity: (which, key, plain) => {
      digestEntity(one, which, key, plain);
      sum.add(one);
    },
    row: ({ table, key, row }) => {
      digestRow(one, rowSeed(table.tenantId, table.name), key, row.version, row.cells);
      sum.add(one);
    },
  });
  return sum.hex();
}
