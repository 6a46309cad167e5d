import type { Subject } from './replica-fields.ts';

const sameMap = (a: ReadonlyMap<unknown, unknown>, b: ReadonlyMap<unknown, unknown>): boolean => {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value || (value === undefined && !b.has(key))) return false;
  return true;
};

const sameSet = (a: ReadonlySet<unknown>, b: ReadonlySet<unknown>): boolean => {
  if (a.size !== b.size) return false;
  for (const item of a) if (!b.has(item)) return false;
  return true;
};

const sameArray = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);

function same(a: unknown, b: unknown): boolean {
  if (a instanceof Map) return b instanceof Map && sameMap(a, b);
  if (a instanceof Set) return b instanceof Set && sameSet(a, b);
  return Array.isArray(a) && Array.isArray(b) && sameArray(a, b);
}

/**
 * Lets a replica share the maps, sets and lists that an event left as they were with the replica before it: neither is
 * ever changed again, and tens of thousands of them are kept.
 */
export function shareUnchanged(replica: Subject, before: Subject): void {
  const own: Readonly<Record<string, unknown>> = { ...replica };
  const old: Readonly<Record<string, unknown>> = { ...before };
  const shared: Record<string, unknown> = {};
  for (const field of collections(before)) if (same(own[field], old[field])) shared[field] = old[field];
  Object.assign(replica, shared);
}

let collectionFields: readonly string[] | null = null;

/** Names of the fields that hold maps, sets or lists: the same in every replica. */
function collections(r: Subject): readonly string[] {
  collectionFields ??= Object.entries(r).flatMap(([field, value]) =>
    value instanceof Map || value instanceof Set || Array.isArray(value) ? [field] : [],
  );
  return collectionFields;
}
