import { bytesEqual } from '@kimberlite/base';
import type { KernelState } from '@kimberlite/kernel';
import type { Replica, StateReport } from '@kimberlite/vsr';
import type { Flips } from '../flips.ts';
import type { Checker, Fail, World } from './checker.ts';
import { coveredBy } from './checkpoints.ts';
import { type Commits, replicationQuorumOf } from './commits.ts';
import type { Groups } from './groups.ts';
import type { Ledger } from './ledger.ts';
import type { Disks } from './platters.ts';
import type { Prepares } from './prepares.ts';
import type { LoggedSession, Requests } from './requests.ts';

/** The state hashes that replicas report to each other are those of the ledger, and one per op. */
export function stateReports(flips: Flips, ledger: Ledger, fail: Fail): Checker {
  const reported = new Map<number, string>();
  const check = (replica: number, { op, hash }: StateReport): void => {
    const known = reported.get(op);
    if (known === hash) return;
    if (known !== undefined) {
      return fail(
        'state-hash',
        `replica ${replica} reports the hash ${hash} at op ${op}; ${known} was reported before`,
      );
    }
    reported.set(op, hash);
    const is = ledger.lastOf(op)?.stateHash ?? hash;
    if (is !== hash)
      fail('state-hash', `replica ${replica} reports the hash ${hash} at op ${op}; it executed to ${is}`);
  };
  return {
    name: 'state-hash',
    sentTypes: ['prepare-ok', 'heartbeat', 'heartbeat-ok'],
    sent: (replica, message) => {
      const { type } = message;
      if (type !== 'heartbeat' && type !== 'heartbeat-ok' && type !== 'prepare-ok') return;
      if (message.report !== null && !flips.has(replica)) check(replica, message.report);
    },
  };
}

/**
 * The session table is state, though the state hash does not cover it: at the end every replica keeps, for each
 * session, just what the log makes of it (pitfalls 6, 40, 56, 58).
 */
export function sessionTables(requests: Requests, fail: Fail): Checker {
  const compare = (replica: Replica<KernelState>, session: LoggedSession): void => {
    const what = `replica ${replica.self} ends with session ${session.session}`;
    const entry = [...replica.sessions].find(([client]) => client === session.client)?.[1];
    if (entry?.session !== session.session) return fail('sessions', `${what} gone or another`);
    if (entry.floor !== session.floor || entry.lastOp !== session.lastOp || entry.executed !== session.last) {
      return fail(
        'sessions',
        `${what} at floor ${entry.floor}, number ${entry.executed}, op ${entry.lastOp}; the log has ${session.floor}, ${session.last}, ${session.lastOp}`,
      );
    }
    const kept = requests.kept(session);
    if (kept.size !== entry.outcomes.size)
      fail('sessions', `${what} and ${entry.outcomes.size} outcomes, not ${kept.size}`);
    for (const [number, { request, reply }] of kept) {
      const outcome = entry.outcomes.get(number);
      const same = outcome?.op === request.op && outcome.timestamp === request.timestamp;
      if (!same || !bytesEqual(outcome.body, reply))
        fail('sessions', `${what} and another outcome of request ${number}`);
    }
  };
  return {
    name: 'sessions',
    ended: ({ replicas }) => {
      const live = requests.live();
      for (const replica of replicas) {
        if (replica.sessions.size !== live.length) {
          fail(
            'sessions',
            `replica ${replica.self} ends with ${replica.sessions.size} sessions; the log has ${live.length}`,
          );
        }
        for (const session of live) compare(replica, session);
      }
    },
  };
}

/**
 * What is committed lies, synced, on a replication quorum of the disks of the group for ever (the faults of disks left aside): as a
 * prepare that a header record names, which by now has followed, or within a checkpoint.
 */
export function onDisks(
  world: World,
  { groups, disks, prepares, commits }: { groups: Groups; disks: Disks; prepares: Prepares; commits: Commits },
  fail: Fail,
): Checker {
  return {
    name: 'nothing-lost',
    ended: ({ replicas }) => {
      // Whoever stopped for good has lost too much; whether it lied about that, clients have seen.
      if (replicas.length === 0) return;
      const covered = coveredBy(world);
      const { voters } = groups.latest;
      const quorum = replicationQuorumOf(voters.length);
      for (let op = 1; op <= commits.highest; op++) {
        const id = commits.at(op)?.id;
        const bytes = (id === undefined ? undefined : prepares.get(id))?.bytes ?? null;
        if (bytes === null) continue;
        let copies = 0;
        for (const replica of voters) {
          const isCovered = op <= (covered[replica] ?? 0);
          if (isCovered) copies += 1;
          if (isCovered) continue;
          const found = disks.lookUp(replica, op, bytes);
          if ((found === 'synced' || found === 'damaged') && disks.isRecorded(replica, op, bytes)) copies += 1;
        }
        if (copies < quorum) fail('nothing-lost', `op ${op} was committed, and at the end ${copies} disks have it`);
      }
    },
  };
}
