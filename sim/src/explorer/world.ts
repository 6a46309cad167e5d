import { assert } from '@kimberlite/base';

// What an exploration is bounded by. Within these bounds every schedule is visited.

export const replicaCount = 3;

/** A bounded world: three replicas that have formed view 1 and registered their clients, and what may still happen. */
export interface World {
  readonly name: string;
  /** Clients, each with one request; a request becomes an op whenever a primary takes it. */
  readonly requests: number;
  /** Transmissions beyond the first, of all requests together: a client that heard nothing asks again, elsewhere or not. */
  readonly retries: number;
  /** Nobody asks to leave view 1 + viewChanges. */
  readonly viewChanges: number;
  /** Crashes with restart, of any replica, between any two events. */
  readonly crashes: number;
  /** Of these, how many may also lose an intact prepare that was synced: the header record stays, the body is gone. */
  readonly rot: number;
  /** Heartbeats of a primary that arrive, beyond the one that opens its view. 0: not even that one. */
  readonly heartbeats: number;
  /** How often a repair request that was not answered goes to another peer. */
  readonly repairAttempts: number;
  /** Writes and reads of the log take time: other things may happen to a replica before they end, a crash among them. */
  readonly slowLog: boolean;
  /** So do writes of the superblock. */
  readonly slowSuperblock: boolean;
  /** The timers that only send again: prepares (with a newer commit number) and requests for start_view. */
  readonly resends: boolean;
}

/** The most of each that a world may have: ops, views and the numbers that stand for them are small everywhere here. */
export const worldBounds = {
  requests: 4,
  retries: 3,
  viewChanges: 3,
  crashes: 3,
  rot: 3,
  heartbeats: 2,
  repairAttempts: 3,
} as const;

export function checkWorld(world: World): World {
  for (const [name, most] of Object.entries(worldBounds)) {
    const value = world[name as keyof typeof worldBounds];
    assert(Number.isInteger(value) && value >= 0 && value <= most, () => `a world has 0 to ${most} ${name}`);
  }
  assert(world.requests >= 1, 'a world without requests shows nothing');
  assert(world.rot <= world.crashes, 'a prepare rots only while its replica is down');
  return world;
}

/** View 1 is the first that ever serves: the primary of view 0 has just booted, and never resumes (Table E). */
export const firstView = 1;
export const lastView = (world: World): number => firstView + world.viewChanges;
