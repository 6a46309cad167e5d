import { AssertionError, type RandomState, randomChance } from '@kimberlite/base';
import { trueClock } from '../clock.ts';
import type { Cluster } from '../cluster.ts';
import { noFaults } from '../disk.ts';
import { calmLink } from '../network.ts';
import type { RunPlan } from '../plan.ts';
import { randomExponential, shuffled } from '../random.ts';
import type { Workload } from '../workload.ts';
import { describeAction, type FaultAction } from './action.ts';
import { applyAction } from './apply.ts';
import { Atlas } from './atlas.ts';
import { breakFor } from './broken.ts';
import { DiskTraps } from './disk-traps.ts';
import { FaultDraws } from './draw.ts';
import { drawExcess } from './draw-disk.ts';
import { type FaultKind, isAmbient } from './kinds.ts';
import type { Excuse, FaultWorld } from './world.ts';

/**
 * The one who breaks things: draws what to do from a stream of its own of the seed, or does what a list says. Both
 * ways the same things happen at the same moments, so a run's list replays it event for event.
 */
export class Nemesis {
  /** How often each kind struck. */
  readonly fired = new Map<FaultKind, number>();
  /** What was done, in order. */
  readonly executed: FaultAction[] = [];
  readonly atlas: Atlas;
  private readonly cluster: Cluster;
  private readonly plan: RunPlan;
  private readonly world: FaultWorld;
  private readonly random: RandomState;
  private readonly draws: FaultDraws;
  /** By replica; of those whose machines came later, made when they are asked for. */
  private readonly traps: DiskTraps[] = [];
  private readonly excuses: Set<Excuse>[] = [];
  private readonly script: readonly FaultAction[] | null;
  /** Of the script: how many are behind us. */
  private done = 0;
  /** Drawn already, and due later. */
  private pending: FaultAction[] = [];
  private meanIntervalUs: number;
  private startUs = 0;
  private drawAtUs = 0;
  private round: FaultKind[] = [];
  private on = false;
  private extended = false;

  constructor(options: {
    readonly cluster: Cluster;
    readonly workload: Workload;
    readonly plan: RunPlan;
    readonly script: readonly FaultAction[] | undefined;
  }) {
    const { cluster, workload, plan, script } = options;
    this.cluster = cluster;
    this.plan = plan;
    this.script = script === undefined ? null : [...script].sort((a, b) => a.atUs - b.atUs);
    this.random = cluster.scheduler.random('nemesis');
    this.atlas = new Atlas(cluster, plan.weak);
    cluster.excuse = (replica, error) =>
      [...(this.excuses[replica] ?? [])].filter((excuse) => excuse(error)).length > 0;
    cluster.machines.forEach((_, replica) => this.trapsOf(replica));
    this.draws = new FaultDraws({ cluster, atlas: this.atlas, random: this.random, plan });
    // Short enough for every drawn kind to have its turn.
    const longest = (plan.seconds * 1_000_000) / (2 + 1.3 * plan.faults.length);
    this.meanIntervalUs = Math.min(longest, plan.meanIntervalUs);
    this.world = {
      cluster,
      workload,
      atlas: this.atlas,
      traps: (replica) => this.trapsOf(replica),
      excuses: (replica) => (this.excuses[replica] ??= new Set()),
      later: (us, then) => void cluster.scheduler.after(us, () => this.on && then()),
      isLeftBroken: (replica) => plan.broken.some((broken) => broken.replica === replica),
      struck: (kind) => this.count(kind),
    };
    // From the first frame on, or there would be none of the first view.
    const sendsOld = (kind: string): boolean => kind === 'old-messages' || kind === 'replay';
    cluster.network.keepsOld = plan.faults.some(sendsOld) || (script?.some(({ kind }) => sendsOld(kind)) ?? false);
  }

  private trapsOf(replica: number): DiskTraps | null {
    const machine = this.cluster.machines[replica];
    if (machine === undefined) return null;
    return (this.traps[replica] ??= new DiskTraps(machine.platter));
  }

  start(): void {
    this.on = true;
    this.startUs = this.cluster.scheduler.nowUs;
    if (this.script !== null) return;
    for (const action of this.draws.ambient()) this.execute(action);
    this.wait();
  }

  /** Virtual time of the next thing it does; it comes after every event due by then. */
  get nextAtUs(): number {
    if (!this.on) return Number.POSITIVE_INFINITY;
    const next = this.script === null ? this.pending[0] : this.script[this.done];
    const nextUs = next === undefined ? Number.POSITIVE_INFINITY : this.startUs + next.atUs;
    return this.script === null ? Math.min(this.drawAtUs, nextUs) : nextUs;
  }

  /** The list, or the run, has said that the faults are over. */
  get isCalm(): boolean {
    return this.executed.at(-1)?.kind === 'calm';
  }

  /** Does what is due. */
  act(): void {
    if (this.script !== null) {
      const next = this.script[this.done++];
      if (next !== undefined) this.execute(next);
      return;
    }
    const next = this.pending[0];
    if (next !== undefined && this.startUs + next.atUs <= this.cluster.scheduler.nowUs) {
      this.pending.shift();
      this.execute(next);
      return;
    }
    this.strikeNext();
    this.wait();
  }

  /** Records that the faults stop now, so that they stop at the same moment when the list is replayed. */
  calm(): void {
    if (this.isCalm) return;
    const atUs = this.sinceStartUs();
    if (this.plan.exceeds && this.script === null) {
      const { cluster, atlas, random } = this;
      for (const action of drawExcess({ cluster, atlas, random, atUs })) this.execute(action);
    }
    this.execute({ kind: 'calm', atUs });
  }

  /** No more faults, and everything is mended but for what the plan leaves broken. */
  stop(): void {
    const { cluster, plan } = this;
    this.collectAmbient();
    this.on = false;
    cluster.whenTurned = null;
    cluster.network.setFaults(calmLink);
    cluster.links.setFaults(calmLink);
    this.traps.forEach((traps) => traps.clear());
    for (const machine of cluster.machines) {
      machine.clock.setError(trueClock);
      Object.assign(machine.platter.faults, noFaults);
      machine.disarm();
    }
    // Where too much was lost a replica may refuse to run, in words. A broken invariant is no such refusal.
    cluster.excuse = this.atlas.exceeded ? (_, error) => !(error instanceof AssertionError) : null;
    this.mend();
    for (const { replica, how } of plan.broken) breakFor(cluster, replica, how);
  }

  /** Everything runs and hears everybody. */
  mend(): void {
    const { cluster } = this;
    cluster.network.heal();
    cluster.links.heal();
    cluster.machines.forEach((machine, index) => {
      machine.resume();
      // One that was asked to stop would do so still, and nobody would start it again.
      if (machine.host?.phase === 'stopping' || machine.host?.phase === 'stopped') cluster.crash(index);
      cluster.boot(index);
    });
  }

  /** Every drawn kind has struck. A list says itself when the faults are over. */
  get struckAll(): boolean {
    return this.script === null && this.unfired().length === 0;
  }

  private unfired(): readonly FaultKind[] {
    const met = this.ambientCounts();
    return this.plan.faults.filter((kind) => !this.fired.has(kind) || met.get(kind) === 0);
  }

  /** The phase goes on for want of answers, or of a kind that has not struck: from now on only such kinds strike. */
  extend(): void {
    this.extended = true;
    this.round = [];
    if (this.isBehind()) this.meanIntervalUs *= 2;
  }

  private sinceStartUs(): number {
    return this.cluster.scheduler.nowUs - this.startUs;
  }

  /** Too little gets through for a run of this length to prove anything. */
  private isBehind(): boolean {
    const { plan, world } = this;
    const passed = Math.min(1, this.sinceStartUs() / (plan.seconds * 1_000_000));
    const wanted = plan.acknowledgedMin * passed;
    return world.workload.history.acknowledged < wanted;
  }

  private wait(): void {
    const mean = this.isBehind() ? airFactor * this.meanIntervalUs : this.meanIntervalUs;
    const delay = Math.min(randomExponential(this.random, mean), 3 * mean);
    this.drawAtUs = this.cluster.scheduler.nowUs + Math.floor(delay);
  }

  /** Goes through the drawn kinds in shuffled rounds, so that each gets its turn even in a short run. */
  private strikeNext(): void {
    if (this.round.length === 0) {
      // What costs much does it once; the others go on.
      const goesOn = (kind: FaultKind): boolean => !this.extended && !onceOnly(kind);
      const kinds = this.plan.faults.filter((kind) => !isAmbient(kind) && (!this.fired.has(kind) || goesOn(kind)));
      this.round = shuffled(this.random, kinds);
    }
    const kind = this.round.pop();
    if (kind !== undefined && !this.strike(kind) && randomChance(this.random, 0.8)) this.round.unshift(kind);
  }

  private strike(kind: FaultKind): boolean {
    const atUs = this.sinceStartUs();
    let struck = false;
    for (const action of this.draws.strike(kind, atUs)) {
      if (action.atUs > atUs) this.pending.push(action);
      else struck = this.execute(action) || struck;
    }
    this.pending.sort((a, b) => a.atUs - b.atUs);
    return struck;
  }

  /** False when it could do nothing: then it is not on the list either. */
  private execute(action: FaultAction): boolean {
    const { cluster } = this;
    // A list has no order numbers of events, so what is due at this moment always comes first: also what the action
    // before this one has set off.
    if (cluster.scheduler.runUntil(cluster.scheduler.nowUs, () => cluster.failure !== null)) return false;
    const effect = applyAction(this.world, action);
    if (effect === 'nothing') return false;
    this.executed.push(action);
    cluster.note('fault', describeAction(action));
    cluster.watcher?.fault(action);
    if (effect === 'struck' && action.kind !== 'calm' && action.kind !== 'exceed') this.count(action.kind);
    return true;
  }

  private count(kind: FaultKind): void {
    this.fired.set(kind, (this.fired.get(kind) ?? 0) + 1);
  }

  /** Kinds that count as fired only if a frame met them: how many did. */
  private ambientCounts(): ReadonlyMap<FaultKind, number> {
    const { lost, duplicated, reordered, replayed } = this.cluster.network.counts;
    return new Map<FaultKind, number>([
      ['loss', lost],
      ['duplication', duplicated],
      ['reordering', reordered],
      ['replay', replayed],
    ]);
  }

  private collectAmbient(): void {
    for (const [kind, by] of this.ambientCounts()) {
      if (!this.fired.has(kind)) continue;
      if (by > 0) this.fired.set(kind, by);
      else this.fired.delete(kind);
    }
  }
}

/** How many times longer it waits while too little gets through. */
const airFactor = 3;

const onceOnly = (kind: FaultKind): boolean => kind === 'flood' || kind === 'session-flood';
