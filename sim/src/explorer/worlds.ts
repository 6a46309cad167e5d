import type { SometimesProperty } from './property.ts';
import type { World } from './world.ts';

/** A world and what must be seen in it: an exploration that shows less has explored something else. */
export interface KnownWorld {
  readonly world: World;
  readonly expects: readonly SometimesProperty[];
  /** Small enough for every run of the tests. */
  readonly quick: boolean;
}

const nothing = {
  retries: 0,
  viewChanges: 0,
  crashes: 0,
  rot: 0,
  heartbeats: 0,
  repairAttempts: 0,
  slowLog: true,
  slowSuperblock: true,
  resends: false,
};

const world = (name: string, bounds: Partial<World> & Pick<World, 'requests'>): World => ({ ...nothing, name, ...bounds });

const viewChange: readonly SometimesProperty[] = [
  'commits in view 1',
  'commits in view 2',
  'a view change commits an inherited op',
  'a nack truncates an op',
  'a body is repaired',
];

/** Worlds with a name, the smallest first. */
export const knownWorlds: readonly KnownWorld[] = [
  { quick: true, world: world('one-op', { requests: 1, viewChanges: 1 }), expects: viewChange },
];
