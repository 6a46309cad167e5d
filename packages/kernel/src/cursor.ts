import { assert } from '@kimberlite/base';
import { Digest } from './digest.ts';
import { type Plain, pack, scratch, unpack, zeroDigest } from './packed.ts';
import type { Query } from './query-types.ts';
import { parseBase64, toBase64 } from './text-forms.ts';

// A cursor names the last row of an answer by its place in the asked order, not by its place in some index:
// it stays good when indexes come and go between two pages. It carries a hash of what was asked, so that it
// cannot silently be used for something else.

/** Where an answer ended. */
export interface Place {
  /** Comparable forms of the `orderBy` columns. */
  readonly order: readonly string[];
  /** Key parts of the primary key columns. */
  readonly key: readonly string[];
}

/** Identifies what a cursor belongs to: everything but page size, columns shown and explanation. */
function shapeOf(query: Query): string {
  const { tenantId, table, where, orderBy } = query;
  const out = new Digest();
  scratch.reset();
  // A query is plain data by its definition; only its interfaces do not say so to the compiler.
  scratch.plain({ tenantId, table, where, orderBy } as unknown as Plain);
  scratch.hash(out, zeroDigest);
  return out.hex();
}

const byteString = (text: string): Uint8Array => Uint8Array.from(text, (unit) => unit.charCodeAt(0));

export function encodeCursor(query: Query, place: Place): string {
  assert(place.key.length > 0, 'a place is unique by its primary key');
  return toBase64(pack([shapeOf(query), place.order.map(byteString), place.key.map(byteString)]));
}

function byteStrings(value: Plain | undefined, count: number): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length !== count) return undefined;
  const texts: string[] = [];
  for (const item of value) {
    if (!(item instanceof Uint8Array)) return undefined;
    let text = '';
    for (const byte of item) text += String.fromCharCode(byte);
    texts.push(text);
  }
  return texts;
}

/** The place a cursor names; undefined when it is none, or belongs to another query. */
export function decodeCursor(query: Query, text: string, orderCount: number, keyCount: number): Place | undefined {
  const bytes = parseBase64(text);
  const plain = bytes === undefined ? undefined : unpack(bytes);
  if (plain?.ok !== true || !Array.isArray(plain.value)) return undefined;
  const [shape, givenOrder, givenKey] = plain.value as readonly Plain[];
  const order = byteStrings(givenOrder, orderCount);
  const key = byteStrings(givenKey, keyCount);
  return shape === shapeOf(query) && order !== undefined && key !== undefined ? { order, key } : undefined;
}
