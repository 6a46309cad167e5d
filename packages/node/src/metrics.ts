import type { Metrics } from '@kimberlite/host';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

/** What a scrape shows of the replica itself. */
export interface ReplicaFigures {
  readonly role: string | null;
  readonly status: string;
  readonly view: number;
  readonly op: number;
  readonly commit: number;
  readonly applied: number;
  readonly checkpoint: number;
  readonly clockOffsetUs: number | null;
  readonly diskUsedBytes: number;
  readonly divergence: { readonly op: number; readonly untilOp: number } | null;
  readonly diskRoom: 'enough' | 'little' | 'none';
}

const statuses = ['normal', 'view-change', 'recovering', 'recovering-head', 'quarantined'] as const;

/** A count, and how it is told apart from others of its name. */
interface Tally {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

/**
 * Prometheus metrics of one node, all named `kimberlite_…` beside prom-client's `process_` and `nodejs_` ones.
 * Counting is an addition: prom-client, which hashes labels at each step, sees the sums at a scrape.
 */
export class NodeMetrics implements Metrics {
  readonly registry = new Registry();
  /** By name, then by label value ('' where there is no label). */
  private readonly tallies = new Map<string, Map<string, Tally>>();
  private readonly gauges = new Map<string, Gauge>();
  private readonly peerConnected: Gauge;

  constructor(options: { readonly defaults: boolean } = { defaults: true }) {
    if (options.defaults) collectDefaultMetrics({ register: this.registry });
    this.peerConnected = new Gauge({
      name: 'kimberlite_peer_connected',
      help: '1 while the connection to that replica is up and both sides have accepted it',
      labelNames: ['peer'],
      registers: [this.registry],
    });
  }

  readonly count = (name: string, by: number): void => {
    this.tally(name, '', null).value += by;
  };

  readonly gauge = (name: string, value: number): void => {
    let gauge = this.gauges.get(name);
    if (gauge === undefined) {
      gauge = new Gauge({ name: `kimberlite_${name}`, help: explain(name), registers: [this.registry] });
      this.gauges.set(name, gauge);
    }
    gauge.set(value);
  };

  countPeer(name: string, peer: string, by: number): void {
    this.tally(name, peer, 'peer').value += by;
  }

  /** Rare events told apart by a reason from a fixed list. */
  countReason(name: string, reason: string): void {
    this.tally(name, reason, 'reason').value += 1;
  }

  setPeerConnected(peer: number, connected: boolean): void {
    this.peerConnected.labels(String(peer)).set(connected ? 1 : 0);
  }

  /** Reads the replica at each scrape, so that nothing is paid between scrapes. */
  watchReplica(read: () => ReplicaFigures | undefined): void {
    const { gauge } = this;
    // Registered before the others, whose values it sets: a scrape reads them in that order.
    new Gauge({
      name: 'kimberlite_replica_status',
      help: '1 for the status the replica is in',
      labelNames: ['status'],
      registers: [this.registry],
      collect() {
        const figures = read();
        gauge('replica_up', figures === undefined ? 0 : 1);
        if (figures === undefined) return;
        for (const name of statuses) this.labels(name).set(name === figures.status ? 1 : 0);
        gauge('replica_is_primary', figures.role === 'primary' ? 1 : 0);
        gauge('replica_view', figures.view);
        gauge('replica_op', figures.op);
        gauge('replica_commit_op', figures.commit);
        gauge('replica_applied_op', figures.applied);
        gauge('replica_checkpoint_op', figures.checkpoint);
        gauge('disk_used_bytes', figures.diskUsedBytes);
        const { divergence } = figures;
        gauge('replica_diverged_op', divergence?.op ?? 0);
        gauge('replica_heal_ops', divergence === null ? 0 : Math.max(0, divergence.untilOp - figures.applied));
        gauge('disk_low', figures.diskRoom === 'enough' ? 0 : 1);
        gauge('disk_full', figures.diskRoom === 'none' ? 1 : 0);
        if (figures.clockOffsetUs !== null) gauge('clock_offset_seconds', figures.clockOffsetUs / 1_000_000);
      },
    });
    // So that the first scrape already has them all.
    for (const name of Object.keys(replicaHelp)) gauge(name, 0);
  }

  private tally(name: string, value: string, label: 'peer' | 'reason' | null): Tally {
    const known = this.tallies.get(name)?.get(value);
    if (known !== undefined) return known;
    const made: Tally = { labels: label === null ? {} : { [label]: value }, value: 0 };
    const siblings = this.tallies.get(name) ?? this.register(name, label);
    siblings.set(value, made);
    return made;
  }

  private register(name: string, label: 'peer' | 'reason' | null): Map<string, Tally> {
    const tallies = new Map<string, Tally>();
    this.tallies.set(name, tallies);
    new Counter({
      name: `kimberlite_${name}`,
      help: explain(name),
      labelNames: label === null ? [] : [label],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { labels, value } of tallies.values()) this.inc(labels, value);
      },
    });
    return tallies;
  }
}

const replicaHelp: Readonly<Record<string, string>> = {
  replica_up: '1 once the log is open and the replica runs',
  replica_is_primary: '1 while this replica is the primary of its view',
  replica_view: 'view this replica is in',
  replica_op: 'highest op of the log',
  replica_commit_op: 'highest op known committed',
  replica_applied_op: 'highest op the state machine has executed',
  replica_checkpoint_op: 'op of the newest durable checkpoint',
  replica_diverged_op: 'op at which this replica was found to differ, while it is quarantined; else 0',
  replica_heal_ops: 'ops a quarantined replica has yet to replay; else 0',
  disk_used_bytes: 'bytes the log takes up in the data directory',
  disk_low: '1 while the next file of the log cannot be made for want of space',
  disk_full: '1 while writes wait for space, and are refused to clients if this replica is the primary',
};

const otherHelp: Readonly<Record<string, string>> = {
  clock_offset_seconds: "how far this machine's clock is from what a majority agrees on",
  peer_frames_sent_total: 'frames handed to the connection to that replica',
  peer_bytes_sent_total: 'bytes handed to the connection to that replica',
  peer_frames_received_total: 'frames received from that replica',
  peer_frames_dropped_total: 'frames not sent because the connection was down or its queue full',
  peer_dials_total: 'attempts to connect to that replica',
  peer_refusals_total: 'connections between replicas that one side refused, by reason',
  client_connections: 'client connections now open',
  client_frames_received_total: 'frames received from clients',
  client_frames_sent_total: 'frames sent to clients',
  client_bytes_sent_total: 'bytes sent to clients',
  client_refusals_total: 'client connections refused or closed by this node, by reason',
  peer_frames_bad_total: 'frames from replicas that were damaged or not what they claimed',
  client_frames_bad_total: 'frames from clients that were damaged or not what they claimed',
  damage_found_total: 'damaged pieces of the data directory that were found',
  damage_repaired_total: 'of those, the ones that were written again',
  scrub_passes_total: 'times that everything on the disk was read once to find damage',
  scrub_read_bytes_total: 'bytes read by that',
  prepares_dropped_total: 'prepares of peers dropped because the disk does not keep up with them',
  ops_applied_total: 'ops the state machine has executed since the start, replayed ones included',
  divergences_total: 'times this replica was found to have diverged since the start',
  alerts_total: 'alerts that committed commands asked for',
};

/** Every name a scrape may show, without the prefix; what is written about metrics elsewhere is held to it. */
export const metricNames: readonly string[] = [
  ...Object.keys(replicaHelp),
  ...Object.keys(otherHelp),
  'replica_status',
  'peer_connected',
];

const explain = (name: string): string => replicaHelp[name] ?? otherHelp[name] ?? name.replaceAll('_', ' ');
