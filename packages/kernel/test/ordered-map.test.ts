import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newEdit, OrderedMap } from '../src/ordered-map.ts';

type Change = { readonly set: boolean; readonly key: string; readonly value: number };

const key = fc.oneof(
  fc.integer({ min: 0, max: 400 }).map((n) => String.fromCharCode(n >> 8, n & 255)),
  fc.integer({ min: 0, max: 3000 }).map((n) => `k${String(n).padStart(5, '0')}`),
);
const change: fc.Arbitrary<Change> = fc.record({ set: fc.boolean(), key, value: fc.nat() });
const batches = fc.array(fc.array(change, { maxLength: 250 }), { maxLength: 12 });

function contents<V>(map: OrderedMap<V>): [string, V][] {
  const entries: [string, V][] = [];
  for (const at = map.ascend(); at.key !== undefined; at.next()) entries.push([at.key, at.value]);
  return entries;
}

function sorted(model: ReadonlyMap<string, number>): [string, number][] {
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

test('a map is a sorted Map, and every version of it stays what it was', () => {
  fc.assert(
    fc.property(batches, fc.boolean(), (all, transient) => {
      let map = OrderedMap.empty<number>();
      const model = new Map<string, number>();
      const versions: [OrderedMap<number>, [string, number][]][] = [];
      for (const batch of all) {
        const edit = transient ? newEdit() : null;
        for (const { set, key: at, value } of batch) {
          map = set ? map.set(at, value, edit) : map.delete(at, edit);
          if (set) model.set(at, value);
          else model.delete(at);
        }
        versions.push([map, sorted(model)]);
      }
      for (const [version, expected] of versions) {
        expect(contents(version)).toEqual(expected);
        expect(version.size).toBe(expected.length);
        for (const [at, value] of expected) expect(version.get(at)).toBe(value);
      }
    }),
    { numRuns: 60 },
  );
});

test('cursors start where they are told, in both directions', () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 300 }), key, (keys, bound) => {
      let map = OrderedMap.empty<string>();
      const edit = newEdit();
      for (const each of keys) map = map.set(each, each, edit);
      const all = [...new Set(keys)].sort();
      const up: string[] = [];
      for (const at = map.ascend(bound); at.key !== undefined; at.next()) up.push(at.value);
      const down: string[] = [];
      for (const at = map.descend(bound); at.key !== undefined; at.next()) down.push(at.key);
      expect(up).toEqual(all.filter((each) => each >= bound));
      expect(down).toEqual(all.filter((each) => each < bound).reverse());
      const whole: string[] = [];
      for (const at = map.descend(); at.key !== undefined; at.next()) whole.push(at.key);
      expect(whole).toEqual(all.reverse());
    }),
  );
});

test('twenty thousand entries come and go in any order', () => {
  const edit = newEdit();
  let map = OrderedMap.empty<number>();
  const name = (i: number): string => String((i * 7919) % 20_011).padStart(6, '0');
  for (let i = 0; i < 20_011; i++) map = map.set(name(i), i, edit);
  expect(map.size).toBe(20_011);
  const full = map;
  for (let i = 0; i < 20_011; i++) map = map.delete(name((i * 31) % 20_011));
  expect(map.size).toBe(0);
  expect(map.ascend().key).toBeUndefined();
  expect(contents(full).length).toBe(20_011);
  expect(contents(full).every(([at, value]) => at === name(value))).toBe(true);
});

test('appending leaves full nodes behind', () => {
  const edit = newEdit();
  let map = OrderedMap.empty<number>();
  for (let i = 0; i < 5_000; i++) map = map.set(String(i).padStart(6, '0'), i, edit);
  expect(contents(map).map(([, value]) => value)).toEqual(Array.from({ length: 5_000 }, (_, i) => i));
});
