import type { RandomState } from '@kimberlite/base';
import { trueClock } from '../clock.ts';
import type { Cluster } from '../cluster.ts';
import { noFaults } from '../disk.ts';
import { calmLink } from '../network.ts';
import type { FaultKind } from '../options.ts';
import type { RunPlan } from '../plan.ts';
import { randomExponential, shuffled } from '../random.ts';
import type { Workload } from '../workload.ts';
import { describeAction, type FaultAction } from './action.ts';
import { applyAction, type FaultWorld } from './apply.ts';
import { FaultDraws, isAmbient } from './draw.ts';

/**
 * The one who breaks things: draws what to do from a stream of its own of the seed, or does what a list says. Both
 * ways the same things happen at the same moments, so a run's list replays it event for event.
 */
export class Nemesis {
  /** How often each kind struck. */
  readonly fired = new Map<FaultKind, number>();
  /** What was done, in order. */
  readonly executed: FaultAction[] = [];
  private readonly cluster: Cluster;
  private readonly plan: RunPlan;
  private readonly world: FaultWorld;
  private readonly random: RandomState;
  private readonly draws: FaultDraws;
  private readonly script: readonly FaultAction[] | null;
  /** Of the script: how many are behind us. */
  private done = 0;
  private meanIntervalUs: number;
  private startUs = 0;
  private drawAtUs = 0;
  private round: FaultKind[] = [];
  private on = false;

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
    this.draws = new FaultDraws({ cluster, random: this.random, clients: plan.clients.length });
    // Short enough for every drawn kind to have its turn.
    const longest = (plan.seconds * 1_000_000) / (2 + 2 * plan.faults.length);
    this.meanIntervalUs = Math.min(longest, plan.meanIntervalUs);
    this.world = {
      cluster,
      workload,
      later: (us, mend) => void cluster.scheduler.after(us, () => this.on && mend()),
    };
  }

  start(): void {
    this.on = true;
    this.startUs = this.cluster.scheduler.nowUs;
    if (this.script !== null) return;
    for (const action of this.draws.ambient(this.plan.faults, 0)) this.execute(action);
    this.wait();
  }

  /** Virtual time of the next thing it does; it comes after every event due by then. */
  get nextAtUs(): number {
    if (!this.on) return Number.POSITIVE_INFINITY;
    if (this.script === null) return this.drawAtUs;
    const next = this.script[this.done];
    return next === undefined ? Number.POSITIVE_INFINITY : this.startUs + next.atUs;
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
    if (this.round.length === 0) {
      const kinds = this.plan.faults.filter((kind) => !isAmbient(kind));
      this.round = shuffled(this.random, kinds);
    }
    const kind = this.round.pop();
    if (kind !== undefined && !this.strike(kind)) this.round.unshift(kind);
    this.wait();
  }

  /** No more faults; everything that can be mended is. Machines in `leaveDown` stay as they are, and cut off. */
  stop(leaveDown: readonly number[]): void {
    const { cluster } = this;
    this.collectAmbient();
    this.on = false;
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

  /** Records that the faults stop now, so that they stop at the same moment when the list is replayed. */
  calm(): void {
    if (!this.isCalm) this.execute({ kind: 'calm', atUs: this.sinceStartUs() });
  }

  /** Every kind that strikes now and then has done so. A list says itself when the faults are over. */
  get struckAll(): boolean {
    if (this.script !== null) return false;
    return this.plan.faults.every((kind) => isAmbient(kind) || this.fired.has(kind));
  }

  /** Leaves the cluster more air: too little gets through to prove anything. */
  ease(): void {
    this.meanIntervalUs *= 3;
  }

  private sinceStartUs(): number {
    return this.cluster.scheduler.nowUs - this.startUs;
  }

  /** Goes through the drawn kinds in shuffled rounds, so that each gets its turn even in a short run. */
  private wait(): void {
    const delay = Math.min(randomExponential(this.random, this.meanIntervalUs), 3 * this.meanIntervalUs);
    this.drawAtUs = this.cluster.scheduler.nowUs + Math.floor(delay);
  }

  private strike(kind: FaultKind): boolean {
    let struck = false;
    for (const action of this.draws.strike(kind, this.sinceStartUs())) struck = this.execute(action) || struck;
    return struck;
  }

  private execute(action: FaultAction): boolean {
    if (!applyAction(this.world, action)) return false;
    this.executed.push(action);
    this.cluster.note('fault', describeAction(action));
    if (action.kind !== 'calm') this.fired.set(action.kind, (this.fired.get(action.kind) ?? 0) + 1);
    return true;
  }

  /** Kinds that count as fired only if a frame met them. */
  private collectAmbient(): void {
    const { counts } = this.cluster.network;
    const count = (kind: FaultKind, by: number): void => {
      if (!this.fired.has(kind)) return;
      if (by > 0) this.fired.set(kind, by);
      else this.fired.delete(kind);
    };
    count('loss', counts.lost);
    count('duplication', counts.duplicated);
    count('reordering', counts.reordered);
    count('replay', counts.replayed);
  }
}
