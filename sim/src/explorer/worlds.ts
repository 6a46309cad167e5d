import type { SometimesProperty } from './property.ts';
import type { World } from './world.ts';

/** A world and what must be seen in it: an exploration that shows less has explored something else. */
export interface KnownWorld {
  readonly world: World;
  readonly expects: readonly SometimesProperty[];
  /** Small enough for every run of the tests. */
  readonly quick: boolean;
}

const least = {
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

const promptDisk = { slowLog: false, slowSuperblock: false };

type Bounds = Partial<Omit<World, 'name'>> & Pick<World, 'requests'>;

const known = (quick: boolean, name: string, bounds: Bounds, expects: readonly SometimesProperty[]): KnownWorld => ({
  world: { ...least, name, ...bounds },
  expects,
  quick,
});

const viewChange: readonly SometimesProperty[] = [
  'commits in view 1',
  'commits in view 2',
  'a view change commits an inherited op',
  'a body is repaired',
];
const truncation: readonly SometimesProperty[] = [...viewChange, 'a nack truncates an op'];
const restart: readonly SometimesProperty[] = ['a restarted replica takes part again'];
const secondChange: readonly SometimesProperty[] = [...viewChange, 'commits in view 3'];

/** Worlds with a name. What each adds to the one before it is what it is for. */
export const knownWorlds: readonly KnownWorld[] = [
  known(true, 'one-op', { requests: 1, viewChanges: 1 }, truncation),
  known(true, 'one-op-crash', { requests: 1, viewChanges: 1, crashes: 1 }, [...truncation, ...restart]),
  known(true, 'one-op-rot', { requests: 1, viewChanges: 1, crashes: 1, rot: 1, slowSuperblock: false }, [
    ...truncation,
    ...restart,
    'a faulty slot is repaired',
  ]),
  known(true, 'one-op-retry', { requests: 1, retries: 1, viewChanges: 1, slowSuperblock: false }, [
    ...truncation,
    'a request sent again is answered from the session table',
  ]),
  known(true, 'one-op-heartbeat', { requests: 1, viewChanges: 1, heartbeats: 1, slowSuperblock: false }, truncation),
  known(true, 'one-op-two-views', { requests: 1, viewChanges: 2, ...promptDisk }, secondChange),
  known(true, 'two-ops', { requests: 2, viewChanges: 1, ...promptDisk }, viewChange),
  known(false, 'two-ops-slow-log', { requests: 2, viewChanges: 1, slowSuperblock: false }, truncation),
  known(false, 'two-views-crash', { requests: 1, viewChanges: 2, crashes: 1, ...promptDisk }, [
    ...secondChange,
    ...restart,
  ]),
  known(false, 'two-views-slow-disk', { requests: 1, viewChanges: 2 }, [...secondChange, 'a nack truncates an op']),
  known(false, 'three-ops', { requests: 3 }, ['commits in view 1']),
  known(false, 'repair', { requests: 1, viewChanges: 1, repairAttempts: 1, resends: true }, truncation),
  known(false, 'one-op-two-crashes', { requests: 1, viewChanges: 1, crashes: 2, slowSuperblock: false }, [
    ...truncation,
    ...restart,
  ]),
  known(false, 'two-ops-crash', { requests: 2, viewChanges: 1, crashes: 1 }, [
    ...truncation,
    ...restart,
    'a replica is unsure of its head',
  ]),
  known(false, 'two-ops-two-views', { requests: 2, viewChanges: 2, ...promptDisk }, secondChange),
  known(false, 'three-ops-view-change', { requests: 3, viewChanges: 1, ...promptDisk }, viewChange),
  known(false, 'everything', { requests: 3, retries: 1, viewChanges: 2, crashes: 1, rot: 1, heartbeats: 1 }, [
    ...secondChange,
    ...restart,
    'a replica is unsure of its head',
    'a nack truncates an op',
  ]),
];
