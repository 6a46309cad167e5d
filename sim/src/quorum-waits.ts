import type { Checker, World } from './checkers/checker.ts';
import { replicationQuorumOf } from './checkers/commits.ts';
import { lookUp } from './checkers/platters.ts';

/** One op or one round of reads: when each replica had what the primary waits for. */
interface Waited {
  readonly startedUs: number;
  /** By replica; the primary's own is its sync, or at once. */
  readonly atUs: number[];
}

/** How long the primary waited, and would have waited without one of the replicas. */
export interface Wait {
  readonly withAllUs: number;
  readonly withoutOneUs: number;
}

export interface QuorumWaits {
  readonly checker: Checker;
  /** Of the ops prepared since. */
  readonly commits: (sinceUs: number, without: number) => readonly Wait[];
  /** Of the rounds of reads begun since. */
  readonly reads: (sinceUs: number, without: number) => readonly Wait[];
}

/** The time at which the quorum was there: an order statistic of the replicas' times. */
function quorumAt(atUs: readonly (number | undefined)[], quorum: number, without: number): number | null {
  const times: number[] = [];
  atUs.forEach((at, replica) => {
    if (at !== undefined && replica !== without) times.push(at);
  });
  times.sort((a, b) => a - b);
  return times[quorum - 1] ?? null;
}

/**
 * Notes for every op, and for every round of reads, when each replica's answer reached the primary. From one healthy
 * run this tells what a cluster without one of its backups must wait for: the same samples, one of them left out.
 */
export function watchQuorumWaits(world: World): QuorumWaits {
  const quorum = replicationQuorumOf(world.nodes);
  const ops = new Map<number, Waited & { readonly bytes: Uint8Array; readonly primary: number }>();
  const rounds = new Map<number, Waited>();

  const waits = (all: Iterable<Waited>, sinceUs: number, without: number): readonly Wait[] => {
    const found: Wait[] = [];
    for (const { startedUs, atUs } of all) {
      const [withAll, withoutOne] = [quorumAt(atUs, quorum, -1), quorumAt(atUs, quorum, without)];
      if (startedUs < sinceUs || withAll === null || withoutOne === null) continue;
      found.push({ withAllUs: withAll - startedUs, withoutOneUs: withoutOne - startedUs });
    }
    return found;
  };

  const begin = (replica: number, round: number): void => {
    if (rounds.has(round)) return;
    const begun: Waited = { startedUs: world.nowUs(), atUs: [] };
    begun.atUs[replica] = world.nowUs();
    rounds.set(round, begun);
  };

  return {
    checker: {
      name: 'performance',
      sent: (replica, message) => {
        if (message.type === 'heartbeat') begin(replica, message.round);
        if (message.type !== 'prepare' || ops.has(message.prepare.header.op)) return;
        const { header, bytes } = message.prepare;
        ops.set(header.op, { startedUs: world.nowUs(), atUs: [], bytes, primary: replica });
      },
      heard: (_replica, message) => {
        const { type } = message;
        if (type !== 'prepare-ok' && type !== 'heartbeat-ok') return;
        const round = rounds.get(message.round);
        if (round !== undefined) round.atUs[message.from] ??= world.nowUs();
        const waited = type === 'prepare-ok' ? ops.get(message.op) : undefined;
        if (waited !== undefined) waited.atUs[message.from] ??= world.nowUs();
      },
      synced: (replica, file) => {
        if (!file.startsWith('headers-')) return;
        for (const [op, { bytes, primary, atUs }] of [...ops].slice(-world.nodes * 32)) {
          if (primary !== replica || atUs[replica] !== undefined) continue;
          if (lookUp(world.platter(replica), op, bytes) === 'synced') atUs[replica] = world.nowUs();
        }
      },
    },
    commits: (sinceUs, without) => waits(ops.values(), sinceUs, without),
    reads: (sinceUs, without) => waits(rounds.values(), sinceUs, without),
  };
}
