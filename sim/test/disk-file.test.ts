import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assert, type RandomState, randomChance, randomInt, seedRandom } from '@kimberlite/base';
import { SimDiskFile, simSectorBytes } from '../src/disk-file.ts';

interface SectorVersion {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** The file as one would write it down first: every version of every sector is a copy. What the fast one must equal. */
class PlainFile {
  current: Uint8Array;
  /** False until the first sync: a crash may leave a new file of any length. */
  everSynced: boolean;
  /** Sectors the drive cannot read until they are written again. */
  readonly unreadable = new Set<number>();
  private readonly dirty = new Map<number, SectorVersion[]>();
  private sequence = 0;

  constructor(current: Uint8Array, everSynced: boolean) {
    this.current = current;
    this.everSynced = everSynced;
  }

  private sector(number: number): Uint8Array {
    return this.current.slice(number * simSectorBytes, (number + 1) * simSectorBytes);
  }

  /** `keep` chooses the sectors that are written at all. */
  write(offset: number, bytes: Uint8Array, keep: (sector: number) => boolean = () => true): void {
    assert(offset >= 0 && offset + bytes.length <= this.current.length, 'a write stays within the file');
    if (bytes.length === 0) return;
    this.sequence += 1;
    const first = Math.floor(offset / simSectorBytes);
    const last = Math.floor((offset + bytes.length - 1) / simSectorBytes);
    for (let sector = first; sector <= last; sector++) {
      if (!keep(sector)) continue;
      let versions = this.dirty.get(sector);
      if (versions === undefined) {
        versions = [{ sequence: 0, bytes: this.sector(sector) }];
        this.dirty.set(sector, versions);
      }
      const from = Math.max(offset, sector * simSectorBytes);
      const to = Math.min(offset + bytes.length, (sector + 1) * simSectorBytes);
      this.current.set(bytes.subarray(from - offset, to - offset), from);
      versions.push({ sequence: this.sequence, bytes: this.sector(sector) });
      this.unreadable.delete(sector);
    }
  }

  /** What a sync that starts now will cover. */
  syncPoint(): number {
    return this.sequence;
  }

  /** A sync that started at `point` has ended well: later writes stay undecided. */
  synced(point: number): void {
    this.everSynced = true;
    for (const sector of [...this.dirty.keys()]) this.syncedSector(sector, point);
  }

  /** The same for the sectors of one write. */
  syncedRange(point: number, offset: number, lengthBytes: number): void {
    const last = Math.floor((offset + lengthBytes - 1) / simSectorBytes);
    for (let sector = Math.floor(offset / simSectorBytes); sector <= last; sector++) this.syncedSector(sector, point);
  }

  private syncedSector(sector: number, point: number): void {
    const versions = this.dirty.get(sector);
    if (versions === undefined) return;
    let durable = 0;
    for (const [i, version] of versions.entries()) if (version.sequence <= point) durable = i;
    if (durable === versions.length - 1) this.dirty.delete(sector);
    else this.dirty.set(sector, versions.slice(durable));
  }

  /** Flips a bit in the cache and in everything a crash may bring back. */
  flipBit(offset: number, bit: number): void {
    this.current[offset] = (this.current[offset] ?? 0) ^ (1 << bit);
    const within = offset % simSectorBytes;
    for (const { bytes } of this.dirty.get(Math.floor(offset / simSectorBytes)) ?? []) {
      bytes[within] = (bytes[within] ?? 0) ^ (1 << bit);
    }
  }

  /** Power is gone: every sector that was not synced becomes one of its versions. */
  loseUnsynced(random: RandomState, everything = false): void {
    for (const [sector, versions] of this.dirty) {
      const chosen = versions[everything ? 0 : randomInt(random, 0, versions.length - 1)];
      if (chosen !== undefined) this.current.set(chosen.bytes, sector * simSectorBytes);
    }
    this.dirty.clear();
    if (!this.everSynced && randomChance(random, 0.5)) {
      const sectors = Math.floor(this.current.length / simSectorBytes);
      this.current = this.current.slice(0, randomInt(random, 0, sectors) * simSectorBytes);
    }
    this.everSynced = true;
  }

  isSynced(offset: number, lengthBytes: number): boolean {
    if (!this.everSynced) return false;
    for (let at = offset; at < offset + lengthBytes; at++) {
      const versions = this.dirty.get(Math.floor(at / simSectorBytes)) ?? [];
      if (versions.some(({ bytes }) => bytes[at % simSectorBytes] !== this.current[at])) return false;
    }
    return true;
  }
}

const sectors = 40;
const sizeBytes = sectors * simSectorBytes;

type Step =
  | {
      readonly type: 'write';
      readonly at: number;
      readonly length: number;
      readonly fill: number;
      readonly torn: number;
    }
  | { readonly type: 'sync-point' | 'synced' | 'unreadable'; readonly at: number }
  | { readonly type: 'synced-range'; readonly at: number; readonly length: number }
  | { readonly type: 'flip'; readonly at: number; readonly bit: number }
  | { readonly type: 'lose'; readonly everything: boolean };

const place = fc.oneof(
  fc.nat(sizeBytes - 1),
  fc.nat(sectors - 1).map((sector) => sector * simSectorBytes),
  fc.nat(Math.floor(sectors / 8) - 1).map((page) => page * 8 * simSectorBytes),
);
const length = fc.oneof(fc.integer({ min: 1, max: 6000 }), fc.constantFrom(256, 512, 4096, 8192));
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('write' as const),
      at: place,
      length,
      fill: fc.nat(255),
      torn: fc.constantFrom(0, 0, 1),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constantFrom('sync-point' as const, 'synced' as const), at: fc.nat(3) }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('synced-range' as const), at: place, length }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('flip' as const), at: place, bit: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('unreadable' as const), at: place }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('lose' as const), everything: fc.boolean() }) },
);

interface Pair {
  readonly fast: SimDiskFile;
  readonly plain: PlainFile;
  readonly random: { readonly fast: RandomState; readonly plain: RandomState };
  readonly points: number[];
}

function take({ fast, plain, random, points }: Pair, what: Step): void {
  // A crash may have left less of it.
  const size = plain.current.length;
  const at = Math.min(what.type === 'lose' ? 0 : what.at, size - 1);
  switch (what.type) {
    case 'write': {
      const bytes = Uint8Array.from({ length: Math.min(what.length, size - at) }, (_, i) => (what.fill + i) % 256);
      const keep = (state: RandomState) => (what.torn === 0 ? undefined : () => randomChance(state, 0.5));
      fast.write(at, bytes.slice(), keep(random.fast));
      plain.write(at, bytes, keep(random.plain));
      return;
    }
    case 'sync-point':
      points.push(plain.syncPoint());
      expect(fast.syncPoint()).toBe(points.at(-1));
      return;
    case 'synced': {
      // Not the newest only: syncs may end in another order than they began.
      const point = points.at(-1 - what.at) ?? 0;
      fast.synced(point);
      plain.synced(point);
      return;
    }
    case 'synced-range': {
      const point = points.at(-1) ?? 0;
      const lengthBytes = Math.min(what.length, size - at);
      fast.syncedRange(point, at, lengthBytes);
      plain.syncedRange(point, at, lengthBytes);
      return;
    }
    case 'flip':
      fast.flipBit(at, what.bit);
      plain.flipBit(at, what.bit);
      return;
    case 'unreadable':
      fast.unreadable.add(Math.floor(at / simSectorBytes));
      plain.unreadable.add(Math.floor(at / simSectorBytes));
      return;
    case 'lose':
      fast.loseUnsynced(random.fast, what.everything);
      plain.loseUnsynced(random.plain, what.everything);
  }
}

test('pages that share what was not written are the same file as copies of every sector', () => {
  const everSynced = fc.boolean();
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
      everSynced,
      fc.nat(),
      place,
      length,
      (steps, synced, seed, from, count) => {
        const pair: Pair = {
          fast: new SimDiskFile(sizeBytes, synced),
          plain: new PlainFile(new Uint8Array(sizeBytes), synced),
          random: { fast: seedRandom(seed), plain: seedRandom(seed) },
          points: [],
        };
        for (const what of steps) {
          if (pair.plain.current.length > 0) take(pair, what);
          expect(pair.fast.length).toBe(pair.plain.current.length);
          expect(Buffer.compare(pair.fast.read(0, pair.fast.length), pair.plain.current)).toBe(0);
          const offset = Math.min(from, pair.fast.length);
          const lengthBytes = Math.min(count, pair.fast.length - offset);
          expect(pair.fast.isSynced(offset, lengthBytes)).toBe(pair.plain.isSynced(offset, lengthBytes));
        }
        expect([...pair.fast.unreadable].sort()).toEqual([...pair.plain.unreadable].sort());
        // The same draws from the same generator, so that a run is the same run.
        expect(pair.random.fast).toEqual(pair.random.plain);
      },
    ),
    { numRuns: 250 },
  );
});

test('a crash leaves a grown file at any length from the durable one on, and zeros behind it when it grows again', () => {
  const lengths = new Set<number>();
  for (let seed = 1; seed <= 60; seed++) {
    const random = seedRandom(seed);
    const file = new SimDiskFile(0, false);
    file.grow(5000);
    file.write(0, new Uint8Array(5000).fill(1));
    file.synced(file.syncPoint());
    const point = file.syncPoint();
    file.grow(3000);
    file.write(5000, new Uint8Array(3000).fill(2));
    // A sync that began before the growth covers none of it.
    file.synced(point);
    expect(file.isSynced(0, 5000)).toBe(true);
    expect(file.isSynced(4999, 2)).toBe(false);
    file.loseUnsynced(random, seed === 1);
    lengths.add(file.length);
    expect(file.length).toBeGreaterThanOrEqual(5000);
    expect(file.read(0, 5000).every((byte) => byte === 1)).toBe(true);
    const cut = file.length;
    file.grow(8000 - cut);
    expect(file.read(cut, 8000 - cut).every((byte) => byte === 0)).toBe(true);
  }
  expect(lengths).toContain(5000);
  expect(lengths.size).toBeGreaterThan(20);
});
