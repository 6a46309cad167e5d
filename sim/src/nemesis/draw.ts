import { type RandomState, randomChance, randomFloat, randomInt, randomPick } from '@kimberlite/base';
import type { Cluster } from '../cluster.ts';
import { type FaultKind, faultKinds } from '../options.ts';
import type { FaultAction, LinkEnds } from './action.ts';

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

/** Kinds that hold for the whole phase, rather than strike now and then. */
const ambientKinds = ['loss', 'duplication', 'reordering', 'replay', 'slow-network', 'skew', 'slow-disk'] as const;
type AmbientKind = (typeof ambientKinds)[number];
export const isAmbient = (kind: FaultKind): kind is AmbientKind => ambientKinds.some((ambient) => ambient === kind);

/** Places tried until one that was written is found. */
const rotAttemptsMax = 2000;
/** Damage to a file's own header is told by the log's tests; here it is prepares that rot. */
const fileHeaderBytes = 4096;

/** Draws the faults of one run from a stream of its own, with an eye on the cluster as it is. */
export class FaultDraws {
  private readonly cluster: Cluster;
  private readonly random: RandomState;
  private readonly clients: number;
  /** Replicas whose disks may rot: a fixed minority, so that every prepare is intact somewhere. */
  private readonly rotten: readonly number[];

  constructor(options: { readonly cluster: Cluster; readonly random: RandomState; readonly clients: number }) {
    this.cluster = options.cluster;
    this.random = options.random;
    this.clients = options.clients;
    const { nodes } = options.cluster;
    const first = randomInt(this.random, 0, nodes - 1);
    const minority = Math.max(0, Math.ceil(nodes / 2) - 1);
    this.rotten = Array.from({ length: minority }, (_, i) => (first + i) % nodes);
  }

  /** What holds from the beginning. */
  ambient(kinds: readonly FaultKind[], atUs: number): readonly FaultAction[] {
    return kinds.filter(isAmbient).flatMap((kind) => this.drawAmbient(kind, atUs));
  }

  private drawAmbient(kind: AmbientKind, atUs: number): readonly FaultAction[] {
    const { random } = this;
    switch (kind) {
      case 'loss':
      case 'replay':
        return [{ kind, atUs, rate: randomPick(random, [0.005, 0.03, 0.1]) }];
      case 'duplication':
        return [{ kind, atUs, rate: randomPick(random, [0.01, 0.05, 0.2]) }];
      case 'reordering':
        return [{ kind, atUs }];
      case 'slow-network':
        return [{ kind, atUs, latencyMinUs: 500, latencyMeanUs: randomPick(random, [2_000, 5_000, 15_000]) }];
      case 'skew':
        return this.everyone().map((replica) => ({
          kind,
          atUs,
          replica,
          skewUs: randomInt(random, -200_000, 200_000),
          driftPpm: randomInt(random, -300, 300),
        }));
      case 'slow-disk':
        return [{ kind, atUs, replica: this.anyone(), factor: randomPick(random, [3, 10, 30]) }];
    }
  }

  /** One strike of that kind, and what goes with it; nothing when it can do nothing now. */
  strike(kind: FaultKind, atUs: number): readonly FaultAction[] {
    const { random } = this;
    const at = { atUs };
    const lasting = { atUs, forUs: this.durationUs() };
    const replica = this.victim();
    switch (kind) {
      case 'partition':
      case 'isolate':
      case 'one-way':
      case 'bridge':
      case 'clog': {
        const links = this.links(kind, replica);
        return links.length === 0 ? [] : [{ kind, ...lasting, links }];
      }
      case 'crash':
      case 'pause':
        return [{ kind, ...lasting, replica }];
      case 'crash-mid-turn':
        return [{ kind, atUs, forUs: 200_000 + lasting.forUs, replica, calls: randomInt(random, 0, 40) }];
      case 'crash-all':
        return [{ kind, ...at, crashes: this.everyone().map((each) => this.blackout(each)) }];
      case 'clock-jump':
        return [{ kind, ...lasting, replica, skewUs: randomInt(random, -3_000_000, 3_000_000) }];
      case 'client-crash':
        return [{ kind, ...lasting, client: randomInt(random, 0, this.clients - 1) }];
      case 'client-cut':
        return [{ kind, ...lasting, client: randomInt(random, 0, this.clients - 1), replica }];
      case 'rot':
        return this.rot(lasting);
      case 'loss':
      case 'duplication':
      case 'reordering':
      case 'replay':
      case 'slow-network':
      case 'skew':
      case 'slow-disk':
        return [];
    }
  }

  private blackout(replica: number): { readonly replica: number; readonly afterUs: number; readonly forUs: number } {
    return { replica, afterUs: randomInt(this.random, 0, 2_000), forUs: 5_000 + this.durationUs() };
  }

  private everyone(): readonly number[] {
    return Array.from({ length: this.cluster.nodes }, (_, index) => index);
  }

  private anyone(): number {
    return randomInt(this.random, 0, this.cluster.nodes - 1);
  }

  /** Mostly the primary: that is where it hurts. */
  private victim(): number {
    const primary = this.cluster.states.find(
      (state) => state.status === 'normal' && state.view % this.cluster.nodes === state.self,
    );
    if (primary !== undefined && randomChance(this.random, 0.5)) return primary.self;
    return this.anyone();
  }

  /** How long a fault lasts: often short, sometimes longer than every timeout. */
  private durationUs(): number {
    const base = randomPick(this.random, [20_000, 150_000, 500_000, 1_500_000]);
    return Math.floor(base * (0.5 + randomFloat(this.random)));
  }

  private links(kind: 'partition' | 'isolate' | 'one-way' | 'bridge' | 'clog', victim: number): readonly LinkEnds[] {
    const { random } = this;
    const everyone = this.everyone();
    const pairs = everyone.flatMap((from) => everyone.filter((to) => to !== from).map((to): LinkEnds => [from, to]));
    switch (kind) {
      case 'partition': {
        const sides = everyone.map(() => randomInt(random, 0, 1));
        return pairs.filter(([from, to]) => sides[from] !== sides[to]);
      }
      case 'isolate':
        return pairs.filter(([from, to]) => from === victim || to === victim);
      case 'one-way': {
        const deaf = randomChance(random, 0.5);
        return pairs.filter(([from, to]) => (deaf ? to : from) === victim);
      }
      // Two halves that only one node sees both of.
      case 'bridge': {
        const sides = everyone.map(() => randomInt(random, 0, 1));
        return pairs.filter(([from, to]) => from !== victim && to !== victim && sides[from] !== sides[to]);
      }
      case 'clog':
        return pairs.filter(
          ([from, to]) =>
            (from === victim && randomChance(random, 0.7)) || (to === victim && randomChance(random, 0.3)),
        );
    }
  }

  /** Flips a bit of what a replica of the fixed minority has written to its log, and mostly lets it find out by a restart. */
  private rot({ atUs, forUs }: { readonly atUs: number; readonly forUs: number }): readonly FaultAction[] {
    const { random, cluster } = this;
    if (this.rotten.length === 0) return [];
    const replica = randomPick(random, this.rotten);
    const platter = cluster.machines[replica]?.platter;
    const files = platter?.fileNames().filter((name) => name !== 'superblock') ?? [];
    if (platter === undefined || files.length === 0) return [];
    for (let attempt = 0; attempt < rotAttemptsMax; attempt++) {
      const file = randomPick(random, files);
      const sizeBytes = platter.sizeOf(file);
      if (sizeBytes <= fileHeaderBytes) continue;
      const offset = randomInt(random, fileHeaderBytes, sizeBytes - 1);
      if (platter.byteAt(file, offset) === 0) continue;
      const damage: FaultAction = { kind: 'rot', atUs, replica, file, offset, bit: randomInt(random, 0, 7) };
      return randomChance(random, 0.7) ? [damage, { kind: 'crash', atUs, replica, forUs }] : [damage];
    }
    return [];
  }
}
