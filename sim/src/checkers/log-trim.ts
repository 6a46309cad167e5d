import type { Checker, Fail, World } from './checker.ts';
import { type Commits, replicationQuorumOf } from './commits.ts';
import type { Groups } from './groups.ts';
import type { Disks } from './platters.ts';

/**
 * A file of the log is removed only when everything in it is below a checkpoint that is durable on its own replica, and
 * on a replication quorum: until then somebody may need the log (pitfall 24). Of a checkpoint that came from others the
 * replica need not know who has it.
 */
export function logTrim(world: World, groups: Groups, disks: Disks, commits: Commits, fail: Fail): Checker {
  /** By replica: the newest checkpoint its disk has named; also of a machine that is lost by now. */
  const newest: number[] = [];
  const fetching = new Set<number>();
  const fetched: number[] = [];

  const hasQuorum = (op: number): boolean => {
    // A quorum of the group before may have had it, and told so.
    return groups.lastTwo.some(
      ({ voters }) => voters.filter((voter) => (newest[voter] ?? 0) >= op).length >= replicationQuorumOf(voters.length),
    );
  };

  return {
    name: 'log-trim',
    wiped: (replica) => void fetching.delete(replica),
    heardTypes: ['checkpoint-part'],
    heard: (replica) => void fetching.add(replica),
    superblockSynced: (replica, { checkpoint }) => {
      if (checkpoint <= (newest[replica] ?? 0)) return;
      newest[replica] = checkpoint;
      if (fetching.delete(replica)) fetched[replica] = checkpoint;
    },
    removed: (replica, file) => {
      // What lies above what is committed may be of a log that was given up.
      const op = Math.min(disks.highestIn(replica, file), commits.highest);
      if (op === 0 || op <= (fetched[replica] ?? 0)) return;
      const own = world.superblock(replica).checkpoint;
      const what = `replica ${replica} removes ${file}, with ops up to ${op}`;
      if (own < op) return fail('log-trim', `${what}; its own checkpoint is at op ${own}`);
      if (!hasQuorum(op)) fail('log-trim', `${what}; no quorum has a checkpoint of that`);
    },
  };
}
