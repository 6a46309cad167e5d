import type { VersionRange } from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import { membersOf, whyNotSpoken } from '../src/index.ts';
import { newer, older, optionsFor, Walk } from './walk.ts';

const calm = {
  ...optionsFor(1),
  replicas: 3,
  clients: 2,
  requestsPerClient: 60,
  troubleSeconds: 5,
  calmSeconds: 30,
  drop: 0,
  duplicate: 0,
  crashEvery: 0,
  cutEvery: 0,
  pauseEvery: 0,
  loseEvery: 0,
  changeEvery: 0,
  rot: 0,
  crashAll: 0,
  ambush: 0,
  upgrades: true,
};

/** A walk whose operator upgrades at given times. */
class Operated extends Walk {
  readonly installed = new Map<number, VersionRange>();

  constructor(acts: readonly (readonly [atSeconds: number, act: (walk: Operated) => unknown])[]) {
    super(calm);
    for (const [at, act] of acts) this.agenda.add(this.nowUs + at * 1e6, () => act(this));
  }
  override rangeFor(node: Walk['nodes'][number]): VersionRange {
    return this.installed.get(node.id) ?? (this.trouble ? older : newer);
  }
  install(id: number, range = newer): void {
    this.installed.set(id, range);
    const node = this.nodes[id];
    if (node === undefined) throw new Error(`no machine ${id}`);
    this.crash(node, 50_000);
  }
  forces(): number[] {
    return this.nodes.map(({ replica }) => replica?.versions.inForce ?? 0);
  }
}

describe('the version in force', () => {
  test('rises by itself when the last of three replicas has the newer release, and not before', () => {
    const seen: number[][] = [];
    const look = (walk: Operated): void => void seen.push(walk.forces());
    const walk = new Operated([
      [1, (w) => w.install(0)],
      [2, look],
      [2, (w) => w.install(1)],
      [3, look],
      [3, (w) => w.install(2)],
      [4.5, look],
    ]);
    walk.run();
    expect(seen).toEqual([
      [1, 1, 1],
      [1, 1, 1],
      [2, 2, 2],
    ]);
    expect(walk.nodes.map(({ disk }) => disk.superblock.versionInForce)).toEqual([2, 2, 2]);
    expect(walk.marks.get('upgrade-proposed')).toBe(1);
  });

  test('does not rise while a member is silent, whatever it said before', () => {
    const seen: number[][] = [];
    const walk = new Operated([
      [1, (w) => w.install(0)],
      [1, (w) => w.install(1)],
      // It goes down before it has the newer release.
      [1, (w) => w.nodes[2] !== undefined && w.crash(w.nodes[2], 3_000_000)],
      [3.9, (w) => seen.push(w.forces())],
    ]);
    walk.installed.set(2, older);
    expect(() => walk.run()).toThrow(/no calm/);
    expect(seen).toEqual([[1, 1, 0]]);
    expect(walk.forces()).toEqual([1, 1, 1]);
  });

  test('a standby of the older release holds it back', () => {
    const seen: number[][] = [];
    const add = { type: 'add', replica: 3, address: 'machine:3' } as const;
    const walk = new Operated([
      [0.5, (w) => w.change(add)],
      [1.5, (w) => w.install(0)],
      [1.5, (w) => w.install(1)],
      [1.5, (w) => w.install(2)],
      [3.5, (w) => expect(membersOf(w.group())).toContain(3)],
      [3.5, (w) => seen.push(w.forces())],
      [3.5, (w) => w.install(3)],
      [4.9, (w) => seen.push(w.forces())],
    ]);
    walk.run();
    expect(seen).toEqual([
      [1, 1, 1, 1],
      [2, 2, 2, 2],
    ]);
  });

  test('an older release stops once it is in force, and says what to install', () => {
    const walk = new Operated([
      [0.5, (w) => w.install(0)],
      [0.5, (w) => w.install(1)],
      [0.5, (w) => w.install(2)],
      [3, (w) => expect(w.forces()).toEqual([2, 2, 2])],
      [3, (w) => w.install(1, older)],
    ]);
    expect(() => walk.run()).toThrow(
      /version 2 is in force in this cluster, .* speaks version 1: install a newer release/,
    );
  });

  test('a release that skips versions is told to go by way of one in between', () => {
    expect(whyNotSpoken({ oldest: 3, newest: 4 }, 1)).toMatch(
      /install a release in between first, one that speaks 1 and 3/,
    );
    expect(whyNotSpoken({ oldest: 1, newest: 2 }, 1)).toBe(null);
  });
});
