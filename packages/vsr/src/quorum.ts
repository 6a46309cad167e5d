import { assert } from '@kimberlite/base';

/** How many distinct replicas, self included, each decision takes. Sets of replica ids, never counts of messages. */
export interface Quorums {
  /** Commit, read confirmation, checkpoint durability. */
  readonly replication: number;
  readonly viewChange: number;
  /** n - replication + 1: so many who never acked an op prove that it was not committed (pitfall 9). */
  readonly nack: number;
  /** Clocks and state hashes. */
  readonly majority: number;
}

const table: readonly Quorums[] = [
  { replication: 1, viewChange: 1, nack: 1, majority: 1 },
  { replication: 2, viewChange: 2, nack: 1, majority: 2 },
  { replication: 2, viewChange: 2, nack: 2, majority: 2 },
  { replication: 2, viewChange: 3, nack: 3, majority: 3 },
  { replication: 3, viewChange: 3, nack: 3, majority: 3 },
  { replication: 3, viewChange: 4, nack: 4, majority: 4 },
];

export function quorumsOf(replicaCount: number): Quorums {
  const quorums = table[replicaCount - 1];
  assert(quorums !== undefined, () => `a cluster has 1 to ${table.length} replicas, got ${replicaCount}`);
  return quorums;
}

/** A set of replica ids as the bits of a number: cheap to clone, and a duplicate cannot be counted twice (pitfall 60). */
export type ReplicaSet = number;

export const withReplica = (set: ReplicaSet, replica: number): ReplicaSet => set | (1 << replica);
export const withoutReplica = (set: ReplicaSet, replica: number): ReplicaSet => set & ~(1 << replica);
export const hasReplica = (set: ReplicaSet, replica: number): boolean => (set & (1 << replica)) !== 0;

export function sizeOf(set: ReplicaSet): number {
  let size = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) size++;
  return size;
}
