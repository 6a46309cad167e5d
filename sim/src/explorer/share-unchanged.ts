import { replicaFields, type Subject } from './replica-fields.ts';

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

const sameList = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i]);

function same(a: unknown, b: unknown): boolean {
  if (a instanceof Map) return b instanceof Map && sameMap(a, b);
  if (a instanceof Set) return b instanceof Set && sameSet(a, b);
  return Array.isArray(a) && Array.isArray(b) && sameList(a, b);
}

function share<Field extends keyof Subject>(replica: Subject, before: Subject, field: Field): void {
  const value = replica[field];
  const old = before[field];
  if (value !== old && typeof value === 'object' && same(value, old)) replica[field] = old;
}

/**
 * Lets a replica share the maps, sets and lists that an event left as they were with the replica before it: neither is
 * ever changed again, and tens of thousands of them are kept.
 */
export function shareUnchanged(replica: Subject, before: Subject): void {
  for (const field of replicaFields) share(replica, before, field);
}
