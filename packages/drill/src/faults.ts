import { setTimeout as sleep } from 'node:timers/promises';
import type { Load } from './load.ts';
import { type Probe, probeEveryMs } from './probe.ts';
import { type ProcessCluster, waitFor } from './process-cluster.ts';

// What a round does to the cluster, from outside: signals to its processes.

export type FaultKind = 'kill-primary' | 'kill-all' | 'kill-two' | 'pause-primary';

export interface Stage {
  readonly cluster: ProcessCluster;
  readonly load: Load;
  /** One a node, in the order of the nodes. */
  readonly probes: readonly Probe[];
  readonly registers: number;
  /** How long a stopped primary stays stopped at least; each scenario has its own default. */
  readonly pauseMs?: number;
  readonly signal?: AbortSignal;
}

export interface Injected {
  readonly kind: FaultKind;
  readonly replicas: readonly number[];
  /** The moment it hit them. */
  readonly at: number;
  readonly repair: () => Promise<void>;
}

export type Inject = (stage: Stage) => Promise<Injected>;

/** Kill -9 of the primary; it is started again once the others have gone on without it. */
const killPrimary: Inject = async ({ cluster }) => {
  const primary = await cluster.primary();
  const at = performance.now();
  await cluster.signal(primary, 'SIGKILL');
  return { kind: 'kill-primary', replicas: [primary], at, repair: async () => cluster.start(primary) };
};

/** Kill -9 of every node at once; all are started again at once. */
export const killAll: Inject = async ({ cluster }) => {
  const at = performance.now();
  const replicas = cluster.members.map((member) => member.replica);
  await Promise.all(replicas.map((replica) => cluster.signal(replica, 'SIGKILL')));
  cluster.startAll();
  return { kind: 'kill-all', replicas, at, repair: async () => {} };
};

/** Kill -9 of the primary and of the replica after it. */
export const killTwo: Inject = async ({ cluster }) => {
  const primary = await cluster.primary();
  const replicas = [primary, (primary + 1) % cluster.members.length];
  const at = performance.now();
  await Promise.all(replicas.map((replica) => cluster.signal(replica, 'SIGKILL')));
  const repair = async (): Promise<void> => replicas.forEach((replica) => cluster.start(replica));
  return { kind: 'kill-two', replicas, at, repair };
};

function probeAt({ probes }: Stage, replica: number): Probe {
  const probe = probes[replica];
  if (probe === undefined) throw new Error(`node ${replica} has no probe`);
  return probe;
}

const pauseMsDefault = 10_000;

/** SIGSTOP of the primary for a while: it wakes up believing that it still is one. */
export const pausePrimary: Inject = async (stage) => {
  const { cluster } = stage;
  const { primary, at } = await stopPrimary(stage);
  const repair = async (): Promise<void> => {
    const leftMs = at + (stage.pauseMs ?? pauseMsDefault) - performance.now();
    await sleep(Math.max(0, leftMs), undefined, stage.signal === undefined ? {} : { signal: stage.signal });
    await everyRegisterWritten(stage, at);
    // From here on every answer that shows the woken node's own last state is stale.
    const probe = probeAt(stage, primary);
    const last = probe.askAll();
    await cluster.signal(primary, 'SIGCONT');
    await waitFor(
      `an answer or a refusal, from the woken node ${primary}, to all that waited for it`,
      async () => !probe.waits(last) || undefined,
      stage,
    );
  };
  return { kind: 'pause-primary', replicas: [primary], at, repair };
};

/** Before the kill, a pause: a woken primary with queries in its sockets is where stale reads would come from. */
export const pauseThenKill: Inject = async (stage) => {
  const paused = await pausePrimary({ ...stage, pauseMs: stage.pauseMs ?? 0 });
  await paused.repair();
  await acknowledgedMore(stage, 100);
  return killPrimary(stage);
};

/** Primaries that lose their office just before they would have been stopped. */
const stopAttemptsMax = 20;

/**
 * Stops the primary in such a way that queries are the first thing it reads when it wakes. A process reads its sockets
 * in the order in which something came in, and one frame that tells it of the next view, read before any query, would
 * hide that it answers without asking anybody. So the others stand still for a moment: the primary reads what they had
 * sent, is stopped, the probe's queries come in, and only then the others go on.
 */
async function stopPrimary(stage: Stage): Promise<{ primary: number; at: number }> {
  const { cluster } = stage;
  for (let attempt = 1; attempt <= stopAttemptsMax; attempt++) {
    const primary = await cluster.primary();
    await waitFor('a probe at the primary', async () => probeAt(stage, primary).connected || undefined, stage);
    const others = cluster.members.map((member) => member.replica).filter((replica) => replica !== primary);
    await Promise.all(others.map((replica) => cluster.signal(replica, 'SIGSTOP')));
    try {
      const at = await stopWithQueriesFirst(stage, primary, probeAt(stage, primary));
      if (at !== null) return { primary, at };
    } finally {
      await Promise.all(others.map((replica) => cluster.signal(replica, 'SIGCONT')));
    }
  }
  throw new Error(`no replica stayed primary long enough to be stopped, in ${stopAttemptsMax} attempts`);
}

/** Well below the shortest silence for which a replica gives up its view. */
const statusTimeoutMs = 100;

/** Null: it was no primary any more, or too slow to say. */
async function stopWithQueriesFirst({ cluster }: Stage, primary: number, probe: Probe): Promise<number | null> {
  try {
    // The first answer comes from a turn that read what the others had sent, the second from one that found nothing.
    await probe.status(statusTimeoutMs);
    const { role, status } = await probe.status(statusTimeoutMs);
    if (role !== 'primary' || status !== 'normal') return null;
  } catch {
    return null;
  }
  const at = performance.now();
  await cluster.signal(primary, 'SIGSTOP');
  probe.askAll();
  // Once more, in case the signal was slower than the queries.
  await sleep(2 * probeEveryMs);
  return at;
}

/** Nobody but a later primary can have acknowledged a write that began while this one stood still. */
const everyRegisterWritten = (stage: Stage, at: number): Promise<true> =>
  waitFor(
    'an acknowledged write of every register since the primary was stopped',
    async () => (stage.load.writtenSince(at) >= stage.registers ? true : undefined),
    { timeoutMs: 60_000, ...stage },
  );

const countOk = (load: Load): { writes: number; reads: number } => {
  let writes = 0;
  let reads = 0;
  for (const call of load.history) {
    if (call.outcome !== 'ok') continue;
    if (call.kind === 'read') reads++;
    else writes++;
  }
  return { writes, reads };
};

/** Waits until that many more writes and reads have been acknowledged. */
export async function acknowledgedMore(stage: Stage, more: number): Promise<void> {
  const { load, cluster } = stage;
  const start = countOk(load);
  try {
    await waitFor(
      `${more} more acknowledged writes and reads`,
      async () => {
        const now = countOk(load);
        return now.writes - start.writes >= more && now.reads - start.reads >= more ? true : undefined;
      },
      { timeoutMs: 60_000, ...stage },
    );
  } catch (error) {
    stage.signal?.throwIfAborted();
    const rows = await cluster.statuses();
    const seen = { from: start, to: countOk(load), statuses: rows };
    throw new Error(`${String(error)}; ${JSON.stringify(seen)}`);
  }
}
