import type { Hasher } from '@kimberlite/base';
import { createCheckers } from './checkers/index.ts';
import { Cluster, simCluster } from './cluster.ts';
import { calmLink } from './network.ts';
import { PlainClient } from './plain-client.ts';
import { Workload } from './workload.ts';

/** What one acknowledged command or read cost the cluster. */
export interface CostPerCall {
  readonly acknowledged: number;
  /** Peer messages and bytes per acknowledged call. */
  readonly messages: number;
  readonly bytes: number;
  readonly meanLatencyUs: number;
  readonly p99LatencyUs: number;
}

export interface DegradedReport {
  readonly nodes: number;
  readonly fault: 'dead' | 'stopped';
  readonly healthy: CostPerCall;
  readonly degraded: CostPerCall;
  /** Degraded over healthy; at most 1.1 is the promise. */
  readonly ratio: {
    readonly messages: number;
    readonly bytes: number;
    readonly meanLatency: number;
    readonly p99Latency: number;
  };
}

const warmUpUs = 1_000_000;
const measuredUs = 2_000_000;
const clientCount = 6;

function measure(seed: number, nodes: number, fault: 'none' | 'dead' | 'stopped', hasher?: Hasher): CostPerCall {
  const options = hasher === undefined ? {} : { hasher };
  const cluster = new Cluster({ seed, nodes, options: {}, createCheckers, ...options });
  const { scheduler, links, codec } = cluster;
  const clients = Array.from(
    { length: clientCount },
    (_, index) =>
      new PlainClient({
        scheduler,
        links,
        codec,
        hasher: cluster.hasher,
        cluster: simCluster,
        nodes,
        index,
        giveUpUs: 10_000_000,
      }),
  );
  const workload = new Workload({
    scheduler,
    clients,
    options: { keys: 100, window: 2, thinkUs: 15_000, plenty: Number.POSITIVE_INFINITY, readRate: 0.3, sharedRate: 0 },
    returned: (call) => cluster.tellReturned(call),
  });
  // No jitter anywhere: the faster of two backups with random delays beats one, whatever a protocol does.
  cluster.network.setFaults({ ...calmLink, latencyMeanUs: calmLink.latencyMinUs });
  cluster.links.setFaults({ ...calmLink, latencyMeanUs: calmLink.latencyMinUs });
  for (const { platter } of cluster.machines) {
    platter.faults.latencyUs = [60, 60];
    platter.faults.syncLatencyUs = [500, 500];
  }
  cluster.format(() => cluster.machines.forEach((_, index) => cluster.boot(index)));
  workload.start();
  scheduler.runUntil(warmUpUs, () => cluster.failure !== null);
  // A backup: the primary of view 0 is replica 0.
  const victim = nodes - 1;
  if (fault === 'dead') cluster.crash(victim);
  if (fault === 'stopped') cluster.machines[victim]?.pause();
  scheduler.runUntil(scheduler.nowUs + warmUpUs, () => cluster.failure !== null);
  const from = { ...cluster.network.counts };
  const startUs = scheduler.nowUs;
  scheduler.runUntil(startUs + measuredUs, () => cluster.failure !== null);
  if (cluster.failure !== null) throw new Error(`${cluster.failure.kind}: ${cluster.failure.message}`);
  const latencies: number[] = [];
  for (const { end, invokedUs } of workload.history.calls) {
    if (end?.type !== 'ok' && end?.type !== 'rejected') continue;
    if (invokedUs >= startUs) latencies.push(end.returnedUs - invokedUs);
  }
  latencies.sort((a, b) => a - b);
  const acknowledged = latencies.length;
  const { counts } = cluster.network;
  return {
    acknowledged,
    messages: (counts.sent - from.sent) / acknowledged,
    bytes: (counts.sentBytes - from.sentBytes) / acknowledged,
    meanLatencyUs: latencies.reduce((sum, latency) => sum + latency, 0) / acknowledged,
    p99LatencyUs: latencies[Math.floor(acknowledged * 0.99)] ?? 0,
  };
}

/**
 * The same load on a healthy cluster and on one with a backup dead or stopped: what a command costs the rest in
 * messages, bytes and latency. Killing a process frees a processor on a real machine, so only here is the
 * comparison fair (pitfall 33).
 */
export function compareDegraded(options: {
  readonly seed: number;
  readonly nodes: number;
  readonly fault: 'dead' | 'stopped';
  readonly hasher?: Hasher;
}): DegradedReport {
  const { seed, nodes, fault, hasher } = options;
  const healthy = measure(seed, nodes, 'none', hasher);
  const degraded = measure(seed, nodes, fault, hasher);
  return {
    nodes,
    fault,
    healthy,
    degraded,
    ratio: {
      messages: degraded.messages / healthy.messages,
      bytes: degraded.bytes / healthy.bytes,
      meanLatency: degraded.meanLatencyUs / healthy.meanLatencyUs,
      p99Latency: degraded.p99LatencyUs / healthy.p99LatencyUs,
    },
  };
}
