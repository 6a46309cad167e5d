import { type Hasher, randomInt, randomPick } from '@kimberlite/base';
import type { Failure } from './checkers/checker.ts';
import { createCheckers } from './checkers/index.ts';
import { Cluster, simCluster } from './cluster.ts';
import type { Call } from './history.ts';
import { calmLink, type LinkFaults } from './network.ts';
import { PlainClient } from './plain-client.ts';
import { type QuorumWaits, type Wait, watchQuorumWaits } from './quorum-waits.ts';
import { Scheduler } from './scheduler.ts';
import { Workload } from './workload.ts';

export type Delays = 'fixed' | 'random';
export type LostBackup = 'dead' | 'stopped';

/** What one acknowledged command or read cost the cluster. */
export interface CostPerCall {
  readonly acknowledged: number;
  /** Peer messages and bytes, and turns of anything at all (messages, timers, disks), per acknowledged call. */
  readonly messages: number;
  readonly bytes: number;
  readonly ticks: number;
  readonly writeMeanUs: number;
  readonly readMeanUs: number;
  readonly p99Us: number;
}

export interface DegradedOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly fault: LostBackup;
  readonly delays: Delays;
  readonly hasher?: Hasher;
}

export interface DegradedReport {
  readonly nodes: number;
  readonly fault: LostBackup;
  readonly delays: Delays;
  readonly healthy: CostPerCall;
  readonly degraded: CostPerCall;
  /**
   * What no protocol can save: microseconds by which a quorum without that backup is later than with it, on average.
   * Computed from the times at which the backups answered while all were well.
   */
  readonly inherent: { readonly writeUs: number; readonly readUs: number };
  /** Degraded over healthy; for latencies, over healthy and what is inherent. At most 1.1 is the promise. */
  readonly ratio: {
    readonly messages: number;
    readonly bytes: number;
    readonly ticks: number;
    readonly writeMean: number;
    readonly readMean: number;
    /** Only where delays are fixed: there is no tail of luck in it then. */
    readonly p99: number | null;
  };
}

/** "One dead or slow replica does not slow the rest by more than a small constant factor." */
export const degradedRatioMax = 1.1;
const warmUpUs = 1_000_000;
const measuredUs = 2_000_000;
const clientCount = 6;

interface Measured {
  readonly cost: CostPerCall;
  readonly waits: QuorumWaits;
  readonly startUs: number;
  /** The backup that went, or would have. */
  readonly victim: number;
  readonly failure: Failure | null;
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

function costOf(
  calls: readonly Call[],
  startUs: number,
  spent: Pick<CostPerCall, 'messages' | 'bytes' | 'ticks'>,
): CostPerCall {
  const answered = calls.filter(
    ({ end, invokedUs }) => (end?.type === 'ok' || end?.type === 'rejected') && invokedUs >= startUs,
  );
  const latencyOf = ({ end, invokedUs }: Call): number => (end?.returnedUs ?? invokedUs) - invokedUs;
  const latencies = answered.map(latencyOf).sort((a, b) => a - b);
  const acknowledged = answered.length;
  return {
    acknowledged,
    messages: spent.messages / acknowledged,
    bytes: spent.bytes / acknowledged,
    ticks: spent.ticks / acknowledged,
    writeMeanUs: mean(answered.filter(({ type }) => type !== 'get').map(latencyOf)),
    readMeanUs: mean(answered.filter(({ type }) => type === 'get').map(latencyOf)),
    p99Us: latencies[Math.floor(acknowledged * 0.99)] ?? 0,
  };
}

/** Links and disks without chance, or with as much as a calm network and disk have. */
function setDelays(cluster: Cluster, delays: Delays): void {
  const links: LinkFaults = delays === 'random' ? calmLink : { ...calmLink, latencyMeanUs: calmLink.latencyMinUs };
  cluster.network.setFaults(links);
  cluster.links.setFaults(links);
  if (delays === 'random') return;
  for (const { platter } of cluster.machines) {
    platter.faults.latencyUs = [60, 60];
    platter.faults.syncLatencyUs = [500, 500];
  }
}

function load(cluster: Cluster): Workload {
  const { scheduler, links, codec, hasher, nodes } = cluster;
  const shared = { scheduler, links, codec, hasher, cluster: simCluster, nodes, giveUpUs: 10_000_000 };
  return new Workload({
    scheduler,
    clients: Array.from({ length: clientCount }, (_, index) => new PlainClient({ ...shared, index })),
    options: { keys: 100, window: 2, thinkUs: 15_000, plenty: Number.POSITIVE_INFINITY, readRate: 0.3, sharedRate: 0 },
    returned: (call) => cluster.tellReturned(call),
  });
}

function measure({ seed, nodes, delays, hasher }: DegradedOptions, fault: 'none' | LostBackup): Measured {
  let waits: QuorumWaits | undefined;
  const cluster = new Cluster({
    seed,
    checkpointInterval: 32,
    nodes,
    options: {},
    createCheckers: (world, fail) => {
      waits = watchQuorumWaits(world);
      return [...createCheckers(world, fail), waits.checker];
    },
    ...(hasher === undefined ? {} : { hasher }),
  });
  const { scheduler } = cluster;
  const workload = load(cluster);
  setDelays(cluster, delays);
  const failed = (): boolean => cluster.failure !== null;
  cluster.format(() => cluster.machines.forEach((_, index) => cluster.boot(index)));
  workload.start();
  scheduler.runUntil(warmUpUs, failed);
  const victim = backupOf(cluster);
  if (fault === 'dead') cluster.crash(victim);
  if (fault === 'stopped') cluster.machines[victim]?.pause();
  scheduler.runUntil(scheduler.nowUs + warmUpUs, failed);
  const before = { ...cluster.network.counts, steps: scheduler.steps };
  const startUs = scheduler.nowUs;
  scheduler.runUntil(startUs + measuredUs, failed);
  const { counts } = cluster.network;
  const spent = {
    messages: counts.sent - before.sent,
    bytes: counts.sentBytes - before.sentBytes,
    ticks: scheduler.steps - before.steps,
  };
  if (waits === undefined) throw new Error('a cluster makes its checkers');
  return { cost: costOf(workload.history.calls, startUs, spent), waits, startUs, victim, failure: cluster.failure };
}

/** The backup that goes: the highest replica that is not the primary. */
function backupOf(cluster: Cluster): number {
  const last = cluster.nodes - 1;
  const primary = (cluster.state(last)?.view ?? 0) % cluster.nodes;
  return primary === last ? last - 1 : last;
}

const inherentIn = (waits: readonly Wait[]): number =>
  mean(waits.map(({ withAllUs, withoutOneUs }) => withoutOneUs - withAllUs));

/**
 * The same load on a healthy cluster and on one with a backup dead or stopped: what a command costs the rest in
 * messages, bytes, events and latency. Killing a process frees a processor on a real machine, so only here is the
 * comparison fair (pitfall 33).
 *
 * Messages, bytes and events are compared as they are. A latency is not, where delays vary: the faster of two backups
 * beats the only one left, whatever a protocol does. The healthy run says by how much, op by op, from the times at
 * which its backups answered; only what is more than that is the protocol's. With fixed delays nothing is inherent.
 */
export function compareDegraded(options: DegradedOptions): DegradedReport & { readonly failure: Failure | null } {
  const { nodes, fault, delays } = options;
  const healthy = measure(options, 'none');
  const degraded = measure(options, fault);
  const { victim: without } = healthy;
  const inherent = {
    writeUs: inherentIn(healthy.waits.commits(healthy.startUs, without)),
    readUs: inherentIn(healthy.waits.reads(healthy.startUs, without)),
  };
  const [before, after] = [healthy.cost, degraded.cost];
  return {
    nodes,
    fault,
    delays,
    healthy: before,
    degraded: after,
    inherent,
    ratio: {
      messages: after.messages / before.messages,
      bytes: after.bytes / before.bytes,
      ticks: after.ticks / before.ticks,
      writeMean: after.writeMeanUs / (before.writeMeanUs + inherent.writeUs),
      readMean: after.readMeanUs / (before.readMeanUs + inherent.readUs),
      p99: delays === 'fixed' ? after.p99Us / before.p99Us : null,
    },
    failure: healthy.failure ?? degraded.failure,
  };
}

/** Answered calls below which a comparison proves nothing. */
const acknowledgedMin = 500;

/** Why the comparison is not as promised; null: it is. */
export function degradedFailure({
  healthy,
  degraded,
  ratio,
  failure,
}: ReturnType<typeof compareDegraded>): Failure | null {
  if (failure !== null) return failure;
  const performance = (message: string): Failure => ({ kind: 'performance', message, atUs: 0 });
  if (healthy.acknowledged < acknowledgedMin || degraded.acknowledged < healthy.acknowledged / degradedRatioMax) {
    return performance(
      `${degraded.acknowledged} calls were answered without a backup, ${healthy.acknowledged} with all`,
    );
  }
  for (const [name, value] of Object.entries(ratio)) {
    if (value === null || value <= degradedRatioMax) continue;
    return performance(`without a backup ${name} per call is ${value.toFixed(3)} times what it has to be`);
  }
  return null;
}

export interface DegradedRun {
  readonly seed: number;
  readonly ok: boolean;
  readonly failure: Failure | null;
  readonly report: DegradedReport;
}

/** The performance phase of a campaign: one comparison, everything about it drawn from the seed. */
export function runDegraded(seed: number, hasher?: Hasher): DegradedRun {
  const random = new Scheduler(seed).random('degraded');
  const report = compareDegraded({
    seed: randomInt(random, 0, 0xffff_ffff),
    nodes: randomPick(random, [3, 3, 5]),
    fault: randomPick(random, ['dead', 'stopped'] as const),
    delays: randomPick(random, ['fixed', 'random'] as const),
    ...(hasher === undefined ? {} : { hasher }),
  });
  const failure = degradedFailure(report);
  return { seed, ok: failure === null, failure, report };
}
