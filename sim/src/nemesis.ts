import { type RandomState, randomChance, randomFloat, randomInt, randomPick } from '@kimberlite/base';
import { trueClock } from './clock.ts';
import type { Cluster } from './cluster.ts';
import { noFaults } from './disk.ts';
import { calmLink, type LinkFaults } from './network.ts';
import { type FaultKind, faultKinds } from './options.ts';
import { randomExponential, shuffled } from './random.ts';
import type { Scheduled } from './scheduler.ts';
import type { Workload } from './workload.ts';

/** Swarm testing: each run draws which kinds are on, so that rare ones are not always drowned by common ones. */
export function drawFaults(random: RandomState, nodes: number): readonly FaultKind[] {
  const rate = randomPick(random, [0.1, 0.25, 0.4, 0.6]);
  const possible = faultKinds.filter((kind) => nodes > 1 || !needsPeers.has(kind));
  const drawn = possible.filter(() => randomChance(random, rate));
  return drawn.length > 0 ? drawn : [randomPick(random, possible)];
}

/** Kinds that mean nothing to a replica alone. */
const needsPeers: ReadonlySet<FaultKind> = new Set([
  'loss',
  'duplication',
  'reordering',
  'replay',
  'partition',
  'isolate',
  'one-way',
  'bridge',
  'clog',
  'rot',
]);

/** Kinds that shape every link all the time, rather than strike now and then. */
const ambient: ReadonlySet<FaultKind> = new Set([
  'loss',
  'duplication',
  'reordering',
  'replay',
  'slow-network',
  'skew',
  'slow-disk',
]);

/** Places tried until one that was written is found. */
const rotAttemptsMax = 2000;
/** Damage to a file's own header is told by the log's tests; here it is prepares that rot. */
const fileHeaderBytes = 4096;

/**
 * The one who breaks things, from its own stream of the seed. Keeps a quorum's data intact always, but may take
 * down everything at once: the cluster must come back by itself.
 */
export class Nemesis {
  /** How often each kind struck. */
  readonly fired = new Map<FaultKind, number>();
  readonly kinds: readonly FaultKind[];
  private readonly cluster: Cluster;
  private readonly workload: Workload;
  private readonly random: RandomState;
  private meanIntervalUs: number;
  private next: Scheduled | null = null;
  private round: FaultKind[] = [];
  private on = false;
  private readonly clients: number;
  /** Replicas whose disks may rot: a fixed minority, so that every prepare is intact somewhere. */
  private readonly rotten: readonly number[];

  constructor(options: {
    readonly cluster: Cluster;
    readonly workload: Workload;
    readonly kinds: readonly FaultKind[];
    readonly clients: number;
    /** Length of the phase of faults. */
    readonly seconds: number;
  }) {
    this.cluster = options.cluster;
    this.workload = options.workload;
    this.kinds = options.kinds;
    this.clients = options.clients;
    this.random = options.cluster.scheduler.random('nemesis');
    // Short enough for every drawn kind to have its turn.
    const longest = (options.seconds * 1_000_000) / (2 + 2 * options.kinds.length);
    this.meanIntervalUs = Math.min(longest, randomPick(this.random, [100_000, 300_000, 600_000, 1_200_000]));
    const { nodes } = options.cluster;
    const first = randomInt(this.random, 0, nodes - 1);
    const minority = Math.max(0, Math.ceil(nodes / 2) - 1);
    this.rotten = Array.from({ length: minority }, (_, i) => (first + i) % nodes);
  }

  start(): void {
    this.on = true;
    this.startAmbient();
    this.wait();
  }

  /** No more faults; everything that can be mended is. Machines in `leaveDown` stay as they are, and cut off. */
  stop(leaveDown: readonly number[]): void {
    const { cluster } = this;
    this.on = false;
    if (this.next !== null) cluster.scheduler.cancel(this.next);
    cluster.network.heal();
    cluster.links.heal();
    cluster.network.setFaults(calmLink);
    cluster.links.setFaults(calmLink);
    cluster.machines.forEach((machine, index) => {
      machine.clock.setError(trueClock);
      machine.platter.faults.latencyUs = noFaults.latencyUs;
      machine.platter.faults.syncLatencyUs = noFaults.syncLatencyUs;
      if (leaveDown.includes(index)) {
        machine.crash();
        return;
      }
      machine.disarm();
      machine.resume();
      cluster.boot(index);
    });
  }

  /** Every kind that strikes now and then has done so. */
  get struckAll(): boolean {
    return this.kinds.every((kind) => ambient.has(kind) || this.fired.has(kind));
  }

  /** Leaves the cluster more air: too little gets through to prove anything. */
  ease(): void {
    this.meanIntervalUs *= 3;
  }

  private strike(kind: FaultKind): void {
    this.fired.set(kind, (this.fired.get(kind) ?? 0) + 1);
  }

  private startAmbient(): void {
    const { random, cluster } = this;
    const has = (kind: FaultKind): boolean => this.kinds.includes(kind);
    const slow = has('slow-network');
    const faults: LinkFaults = {
      latencyMinUs: slow ? 500 : 100,
      latencyMeanUs: slow ? randomPick(random, [2_000, 5_000, 15_000]) : 300,
      lossRate: has('loss') ? randomPick(random, [0.005, 0.03, 0.1]) : 0,
      duplicateRate: has('duplication') ? randomPick(random, [0.01, 0.05, 0.2]) : 0,
      reorder: has('reordering'),
      replayRate: has('replay') ? randomPick(random, [0.005, 0.03, 0.1]) : 0,
      bytesPerSecond: 0,
    };
    cluster.network.setFaults(faults);
    cluster.links.setFaults({ ...calmLink, latencyMinUs: faults.latencyMinUs, latencyMeanUs: faults.latencyMeanUs });
    if (slow) this.strike('slow-network');
    if (has('skew')) {
      for (const machine of cluster.machines) {
        const skewUs = randomInt(random, -200_000, 200_000);
        machine.clock.setError({ skewUs, driftPpm: randomInt(random, -300, 300) });
      }
      this.strike('skew');
    }
    if (has('slow-disk')) {
      const victim = randomInt(random, 0, cluster.nodes - 1);
      const factor = randomPick(random, [3, 10, 30]);
      const faults = cluster.machines[victim]?.platter.faults;
      if (faults !== undefined) {
        faults.latencyUs = [20 * factor, 120 * factor];
        faults.syncLatencyUs = [200 * factor, 900 * factor];
      }
      this.strike('slow-disk');
    }
  }

  /** Goes through the drawn kinds in shuffled rounds, so that each gets its turn even in a short run. */
  private wait(): void {
    const delay = randomExponential(this.random, this.meanIntervalUs);
    this.next = this.cluster.scheduler.after(Math.min(delay, 3 * this.meanIntervalUs), () => {
      if (!this.on) return;
      if (this.round.length === 0) {
        this.round = shuffled(
          this.random,
          this.kinds.filter((kind) => !ambient.has(kind)),
        );
      }
      const kind = this.round.pop();
      if (kind !== undefined && !this.break(kind)) this.round.unshift(kind);
      this.wait();
    });
  }

  /** How long a fault lasts: often short, sometimes longer than every timeout. */
  private durationUs(): number {
    return randomPick(this.random, [20_000, 150_000, 500_000, 1_500_000]) * (0.5 + randomFloat(this.random));
  }

  private until(us: number, mend: () => void): void {
    this.cluster.scheduler.after(us, () => {
      if (this.on) mend();
    });
  }

  /** Mostly the primary: that is where it hurts. */
  private victim(): number {
    const primary = this.cluster.states.find(
      (state) => state.status === 'normal' && state.view % this.cluster.nodes === state.self,
    );
    if (primary !== undefined && randomChance(this.random, 0.5)) return primary.self;
    return randomInt(this.random, 0, this.cluster.nodes - 1);
  }

  private break(kind: FaultKind): boolean {
    const { cluster, random } = this;
    const victim = this.victim();
    const text = `${kind} at ${victim}`;
    switch (kind) {
      case 'partition':
      case 'isolate':
      case 'one-way':
      case 'bridge':
      case 'clog':
        if (cluster.nodes === 1) return false;
        this.cutNetwork(kind, victim);
        break;
      case 'crash':
        if (cluster.machines[victim]?.power === 'off') return false;
        cluster.crash(victim);
        this.until(this.durationUs(), () => cluster.boot(victim));
        break;
      case 'crash-mid-turn': {
        const machine = cluster.machines[victim];
        if (machine === undefined || machine.power !== 'on') return false;
        machine.armCrash(randomInt(random, 0, 40));
        cluster.counts.midTurnCrashes += 1;
        this.until(200_000 + this.durationUs(), () => cluster.boot(victim));
        break;
      }
      case 'crash-all':
        cluster.machines.forEach((_, index) => {
          cluster.scheduler.after(randomInt(random, 0, 2_000), () => this.on && cluster.crash(index));
          this.until(5_000 + this.durationUs(), () => cluster.boot(index));
        });
        break;
      case 'pause':
        if (cluster.machines[victim]?.power !== 'on') return false;
        cluster.machines[victim]?.pause();
        this.until(this.durationUs(), () => cluster.machines[victim]?.resume());
        break;
      case 'clock-jump':
        cluster.machines[victim]?.clock.setError({ skewUs: randomInt(random, -3_000_000, 3_000_000), driftPpm: 0 });
        this.until(this.durationUs(), () => cluster.machines[victim]?.clock.setError(trueClock));
        break;
      case 'client-crash':
        this.workload.crashClient(randomInt(random, 0, this.clients - 1), this.durationUs());
        break;
      case 'client-cut': {
        const client = randomInt(random, 0, this.clients - 1);
        cluster.links.cut(client, victim, true);
        this.until(this.durationUs(), () => cluster.links.cut(client, victim, false));
        break;
      }
      case 'rot':
        if (!this.rot()) return false;
        break;
      case 'loss':
      case 'duplication':
      case 'reordering':
      case 'replay':
      case 'slow-network':
      case 'skew':
      case 'slow-disk':
        return false;
    }
    cluster.note('fault', text);
    this.strike(kind);
    return true;
  }

  private cutNetwork(kind: 'partition' | 'isolate' | 'one-way' | 'bridge' | 'clog', victim: number): void {
    const { network, nodes } = this.cluster;
    const { random } = this;
    network.heal();
    const everyone = Array.from({ length: nodes }, (_, index) => index);
    switch (kind) {
      case 'partition': {
        const sides = everyone.map(() => randomInt(random, 0, 1));
        network.partition((node) => sides[node] ?? 0);
        break;
      }
      case 'isolate':
        network.partition((node) => (node === victim ? 1 : 0));
        break;
      case 'one-way': {
        const deaf = randomChance(random, 0.5);
        for (const other of everyone) network.cut(deaf ? other : victim, deaf ? victim : other, true);
        break;
      }
      // Two halves that only one node sees both of.
      case 'bridge': {
        const sides = everyone.map(() => randomInt(random, 0, 1));
        for (const a of everyone) {
          for (const b of everyone) if (a !== victim && b !== victim && sides[a] !== sides[b]) network.cut(a, b, true);
        }
        break;
      }
      case 'clog':
        for (const other of everyone) {
          if (other !== victim && randomChance(random, 0.7)) network.clog(victim, other, true);
          if (other !== victim && randomChance(random, 0.3)) network.clog(other, victim, true);
        }
        break;
    }
    this.until(this.durationUs(), () => network.heal());
  }

  /** Flips a bit of what a replica of the fixed minority has written to its log, and mostly lets it find out by a restart. */
  private rot(): boolean {
    const { random, cluster } = this;
    if (this.rotten.length === 0) return false;
    const victim = randomPick(random, this.rotten);
    const machine = cluster.machines[victim];
    if (machine === undefined) return false;
    const files = [...machine.platter.snapshot()].filter(([name]) => name !== 'superblock');
    for (let attempt = 0; attempt < rotAttemptsMax && files.length > 0; attempt++) {
      const [name, bytes] = randomPick(random, files);
      const offset = randomInt(random, fileHeaderBytes, bytes.length - 1);
      if (bytes[offset] === 0) continue;
      machine.platter.flipBit(name, offset, randomInt(random, 0, 7));
      cluster.note('rot', `replica ${victim} ${name} at ${offset}`);
      if (randomChance(random, 0.7)) {
        cluster.crash(victim);
        this.until(this.durationUs(), () => cluster.boot(victim));
      }
      return true;
    }
    return false;
  }

  /** Kinds counted by the network itself. */
  collectAmbient(): void {
    const { counts } = this.cluster.network;
    const count = (kind: FaultKind, by: number): void => {
      if (by > 0 && this.kinds.includes(kind)) this.fired.set(kind, by);
    };
    count('loss', counts.lost);
    count('duplication', counts.duplicated);
    count('reordering', counts.reordered);
    count('replay', counts.replayed);
  }
}
