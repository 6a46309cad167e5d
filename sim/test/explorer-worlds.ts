import { Exploration, type ExplorationOptions } from '../src/explorer/exploration.ts';
import type { LocalEvent } from '../src/explorer/local.ts';
import type { StateSpace } from '../src/explorer/state-space.ts';
import type { World } from '../src/explorer/world.ts';
import { platformHasher } from './hasher.ts';

export const smallWorld: World = {
  name: 'small',
  requests: 1,
  retries: 0,
  viewChanges: 1,
  crashes: 0,
  rot: 0,
  heartbeats: 0,
  repairAttempts: 0,
  slowLog: false,
  slowSuperblock: false,
  resends: false,
};

export function explore(world: World, options: Partial<ExplorationOptions> = {}): Exploration {
  const exploration = new Exploration({ world, hasher: platformHasher, ...options });
  while (!exploration.isDone && !exploration.isFull) exploration.advance(10_000);
  return exploration;
}

/** A world that was explored, with the events that did something at each local state. */
export function explored(world: World): {
  readonly space: StateSpace;
  readonly events: { readonly of: (local: number) => readonly LocalEvent[] };
} {
  const { space } = explore(world);
  const of = (local: number): readonly LocalEvent[] =>
    space.events.events.filter((_, event) => space.transitions.known(local, event) !== null);
  return { space, events: { of } };
}
