import { type RandomState, randomChance, randomFloat, randomInt, randomPick, unreachable } from '@kimberlite/base';
import { sessionsMax } from '@kimberlite/base';
import type { Cluster } from '../cluster.ts';
import type { RunPlan } from '../plan.ts';
import type { FaultAction, Outage } from './action.ts';
import type { Atlas } from './atlas.ts';
import { type DamageKind, drawDamage, drawOp } from './draw-disk.ts';
import { drawChange } from './draw-change.ts';
import { flipParts } from './flip-state.ts';
import { drawLinks, type LinkShape } from './draw-links.ts';
import { type FaultKind, faultKinds, faultTraits, type FileTarget, isAmbient } from './kinds.ts';

/** Kinds of which a run has at least so many. */
const kindsMin = 2;

/** Swarm testing: each run draws which kinds are on, so that rare ones are not always drowned by common ones. */
export function drawFaults(random: RandomState, nodes: number): readonly FaultKind[] {
  const rate = randomPick(random, [0.05, 0.1, 0.2, 0.35]);
  const possible = faultKinds.filter((kind) => {
    const { nodesMin = 1, onlyAsked = false } = faultTraits[kind];
    return nodes >= nodesMin && !onlyAsked;
  });
  const drawn = new Set(possible.filter((kind) => randomChance(random, rate * (faultTraits[kind].weight ?? 1))));
  // Most of what goes wrong goes wrong in a view change.
  if (randomChance(random, 0.7))
    drawn.add(
      randomPick(
        random,
        possible.filter((kind) => faultTraits[kind].unseats),
      ),
    );
  const common = possible.filter((kind) => faultTraits[kind].weight === undefined);
  while (drawn.size < kindsMin) drawn.add(randomPick(random, common));
  // A read that fails for once and a record that was lost could together make an acknowledged op look torn.
  if (drawn.has('misdirected-write') || drawn.has('lost-write') || drawn.has('superblock-astray'))
    drawn.delete('read-errors');
  return faultKinds.filter((kind) => drawn.has(kind));
}

/** Draws the faults of one run from a stream of its own, with an eye on the cluster as it is. */
export class FaultDraws {
  private readonly cluster: Cluster;
  private readonly atlas: Atlas;
  private readonly random: RandomState;
  private readonly plan: RunPlan;

  constructor(options: {
    readonly cluster: Cluster;
    readonly atlas: Atlas;
    readonly random: RandomState;
    readonly plan: RunPlan;
  }) {
    this.cluster = options.cluster;
    this.atlas = options.atlas;
    this.random = options.random;
    this.plan = options.plan;
  }

  /** What holds from the beginning. */
  ambient(): readonly FaultAction[] {
    return this.plan.faults.filter(isAmbient).flatMap((kind) => this.strike(kind, 0));
  }

  /** One strike of that kind, and what goes with it, which may be due later; nothing when it can do nothing now. */
  strike(kind: FaultKind, atUs: number): readonly FaultAction[] {
    const { random } = this;
    const forUs = this.durationUs();
    const replica = this.victim();
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
      case 'narrow-network':
        return [{ kind, atUs, bytesPerSecond: randomPick(random, [200_000, 1_000_000]) }];
      case 'partition':
      case 'isolate':
      case 'one-way':
      case 'bridge':
      case 'flapping':
      case 'clog':
        return this.breakLinks(kind, atUs, replica, forUs);
      case 'old-messages':
        return [{ kind, atUs, count: randomPick(random, [4, 16, 40]) }];
      case 'crash':
      case 'kill':
      case 'stop':
      case 'pause':
      case 'upgrade':
        return [{ kind, atUs, replica, forUs }];
      case 'crash-mid-turn':
        return [{ kind, atUs, replica, calls: randomInt(random, 0, 40), forUs }];
      case 'crash-in-view-change':
        return this.crashInViewChange(atUs);
      case 'crash-all':
        return [{ kind, atUs, outages: this.blackout(2_000) }];
      case 'power-cut-while-writing':
        return [{ kind, atUs, replica, target: this.target(), outages: this.blackout(randomPick(random, [1, 300])) }];
      case 'skew':
        return this.everyone().map((each) => ({
          kind,
          atUs,
          replica: each,
          skewUs: randomInt(random, -200_000, 200_000),
        }));
      case 'drift':
        return this.everyone().map((each) => ({
          kind,
          atUs,
          replica: each,
          driftPpm: randomInt(random, -10_000, 10_000),
        }));
      case 'clock-jump':
        return [{ kind, atUs, replica, byUs: randomInt(random, -3_000_000, 3_000_000), forUs }];
      case 'torn-write':
      case 'lost-writes':
        return [{ kind, atUs, replica, target: this.target(), forUs }];
      case 'lost-names':
      case 'failed-sync':
      case 'failed-write':
        return [{ kind, atUs, replica, forUs }];
      // Long enough for a file to be wanted.
      case 'full-disk':
        return [{ kind, atUs, replica, forUs: 3_000_000 + 2 * forUs }];
      case 'slow-disk':
        return [{ kind, atUs, replica, factor: randomPick(random, [3, 10, 30]), forUs: 2 * forUs }];
      case 'rot':
      case 'rot-header':
      case 'rot-superblock':
      case 'rot-file-header':
      case 'bad-sector':
        return this.damage(kind, atUs, forUs);
      case 'read-errors':
        return this.onWeak((weak) => [
          { kind, atUs, replica: weak, rate: randomPick(random, [0.003, 0.01, 0.03]), forUs: 500_000 + forUs },
          { kind: 'crash', atUs: atUs + 50_000, replica: weak, forUs: 50_000 },
        ]);
      case 'misdirected-write':
      case 'lost-write':
        return this.onWeak((weak) => this.misplace(kind, atUs, weak, forUs));
      case 'superblock-astray': {
        const fate = randomPick(random, ['lost', 'misdirected'] as const);
        // A superblock is written when the view changes.
        return this.onWeak((weak) => [{ kind, atUs, replica: weak, fate }, ...this.unseat(atUs)]);
      }
      case 'change-members':
        return drawChange(this.cluster, this.atlas, random, atUs);
      case 'lose-machine':
        return this.onWeak((weak) => [{ kind, atUs, replica: weak }]);
      case 'flip-state':
        return this.onWeak((weak) => [
          { kind, atUs, replica: weak, part: randomPick(random, flipParts), pick: randomInt(random, 0, 1_000) },
        ]);
      case 'client-crash':
      case 'slow-reader':
        return [{ kind, atUs, client: this.client(), forUs }];
      case 'client-cut':
        return [{ kind, atUs, client: this.client(), replica, forUs }];
      case 'rude-client':
        return [{ kind, atUs, replica: this.primary() ?? replica }];
      case 'flood':
        return this.flood(atUs);
      case 'session-flood':
        return [{ kind, atUs, replica: this.primary() ?? replica, sessions: sessionsMax + 8 }];
      default:
        return unreachable(kind);
    }
  }

  private everyone(): readonly number[] {
    return Array.from({ length: this.cluster.nodes }, (_, index) => index);
  }

  private client(): number {
    return randomInt(this.random, 0, this.plan.clients.length - 1);
  }

  private target(): FileTarget {
    return randomPick(this.random, ['segment', 'segment', 'headers', 'superblock']);
  }

  private primary(): number | null {
    return this.cluster.primary?.self ?? null;
  }

  /** Mostly the primary: that is where it hurts. */
  private victim(): number {
    const primary = this.primary();
    if (primary !== null && randomChance(this.random, 0.5)) return primary;
    return randomInt(this.random, 0, this.cluster.nodes - 1);
  }

  /** How long a fault lasts: often short, sometimes longer than every timeout. */
  private durationUs(): number {
    return Math.floor(randomPick(this.random, this.plan.durationsUs) * (0.5 + randomFloat(this.random)));
  }

  private breakLinks(kind: LinkShape, atUs: number, victim: number, forUs: number): readonly FaultAction[] {
    const links = drawLinks(this.random, kind, this.cluster.nodes, victim);
    if (links.length === 0) return [];
    if (kind !== 'flapping') return [{ kind, atUs, links, forUs }];
    const periodUs = randomPick(this.random, [30_000, 150_000, 400_000]);
    return [{ kind, atUs, links, periodUs, forUs: Math.max(forUs, 4 * periodUs) }];
  }

  /** The primary goes away, and one of those who replace it falls as they do. */
  private crashInViewChange(atUs: number): readonly FaultAction[] {
    const { random } = this;
    const primary = this.primary() ?? 0;
    const others = this.everyone().filter((replica) => replica !== primary);
    if (others.length === 0) return [];
    const calls = randomInt(random, 0, 12);
    const arm: FaultAction = {
      kind: 'crash-in-view-change',
      atUs,
      replica: randomPick(random, others),
      calls,
      forUs: this.durationUs(),
    };
    return [arm, ...this.unseat(atUs)];
  }

  /** The primary goes away for long enough. */
  private unseat(atUs: number): readonly FaultAction[] {
    const replica = this.primary();
    const kind = randomPick(this.random, ['pause', 'crash'] as const);
    return replica === null ? [] : [{ kind, atUs, replica, forUs: 400_000 + this.durationUs() }];
  }

  private blackout(withinUs: number): readonly Outage[] {
    return this.everyone().map((replica) => ({
      replica,
      afterUs: randomInt(this.random, 0, withinUs),
      forUs: 5_000 + this.durationUs(),
    }));
  }

  private onWeak(make: (replica: number) => readonly FaultAction[]): readonly FaultAction[] {
    const { weak } = this.plan;
    return weak.length === 0 ? [] : make(randomPick(this.random, weak));
  }

  /** Mostly the replica finds out by a restart. */
  private damage(kind: DamageKind, atUs: number, forUs: number): readonly FaultAction[] {
    const { cluster, atlas, random } = this;
    const action = drawDamage({ cluster, atlas, random, atUs }, kind);
    if (action === null || !('replica' in action)) return [];
    const restart: FaultAction = { kind: 'crash', atUs, replica: action.replica, forUs };
    return randomChance(random, 0.7) ? [action, restart] : [action];
  }

  private misplace(
    kind: 'misdirected-write' | 'lost-write',
    atUs: number,
    replica: number,
    forUs: number,
  ): readonly FaultAction[] {
    const { cluster, atlas, random } = this;
    const draw = { cluster, atlas, random, atUs };
    const place = { atUs, replica, target: randomPick(random, ['segment', 'headers'] as const) };
    const op = drawOp(draw);
    const action: FaultAction =
      kind === 'lost-write' ? { kind, ...place, op } : { kind, ...place, op, toOp: drawOp(draw) };
    const restart: FaultAction = { kind: 'crash', atUs, replica, forUs };
    return randomChance(random, 0.5) ? [action, restart] : [action];
  }

  /** Commits stop while it comes in, or the queue would empty as fast as it fills. */
  private flood(atUs: number): readonly FaultAction[] {
    const replica = this.primary();
    if (replica === null) return [];
    // Time for the sessions to be there, however slow the network is.
    const { latencyMeanUs } = this.cluster.links.linkFaults;
    const leadUs = 150_000 + 30 * latencyMeanUs;
    const links = drawLinks(this.random, 'isolate', this.cluster.nodes, replica);
    return [
      { kind: 'flood', atUs, replica, sessions: 9, leadUs },
      { kind: 'isolate', atUs: atUs + leadUs - 5_000, links, forUs: 200_000 + 10 * latencyMeanUs },
    ];
  }
}
