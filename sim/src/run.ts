import type { Hasher } from '@kimberlite/base';
import type { KernelState } from '@kimberlite/kernel';
import { membersOf, type Replica } from '@kimberlite/vsr';
import type { Failure } from './checkers/checker.ts';
import { createCheckers } from './checkers/index.ts';
import { isOnSomeDisk } from './checkers/platters.ts';
import { Cluster, simCluster } from './cluster.ts';
import type { ClusterClient } from './cluster-client.ts';
import type { FaultAction } from './nemesis/action.ts';
import { Nemesis } from './nemesis/nemesis.ts';
import type { RunOptions } from './options.ts';
import { PlainClient } from './plain-client.ts';
import { planRun, type RunPlan } from './plan.ts';
import { PloyPlay, Stage } from './ploy.ts';
import { Scheduler } from './scheduler.ts';
import { SdkClient } from './sdk-client.ts';
import { Workload } from './workload.ts';

export interface RunStats {
  readonly nodes: number;
  /** Calls of all clients; what became of them is counted below. */
  readonly calls: number;
  /** Commands that were acknowledged, rejections included. */
  readonly acknowledged: number;
  /** Queries that were answered. */
  readonly reads: number;
  readonly unknown: number;
  readonly notApplied: number;
  readonly commits: number;
  /** Since the phase of faults began; a replica alone has none. */
  readonly viewChanges: number;
  /** Boots while another replica was in a view change, or after a crash in the middle of one. */
  readonly restartsDuringViewChange: number;
  readonly crashes: number;
  /** How often each kind struck. */
  readonly faults: Readonly<Record<string, number>>;
  /** Names of the coverage marks that were hit (`coverageMarks` lists all there are). */
  readonly marks: readonly string[];
  readonly messages: number;
  readonly events: number;
  readonly simulatedSeconds: number;
  /** The disks lost more than the protocol can do without, and what became of it. */
  readonly exceeded: 'no' | 'went-on' | 'stopped';
}

export interface RunResult {
  readonly seed: number;
  readonly ok: boolean;
  readonly failure: Failure | null;
  readonly traceHash: string;
  readonly stats: RunStats;
  /** Of each replica that runs at the end. */
  readonly stateHashes: readonly string[];
  /** Everything that was drawn beforehand; as `options.plan` it pins it. */
  readonly plan: RunPlan;
  /** The faults as they were done; as `options.script`, with the same seed and plan, they give the same run again. */
  readonly script: readonly FaultAction[];
  /** One line an event, when the run was asked to keep them. */
  readonly trace: readonly string[];
}

/** Bound of the phase before the faults, in virtual seconds: well above every timeout of the protocol. */
const startSecondsMax = 10;
/** Calls that must be answered after the faults have stopped. */
const recoveredCallsMin = 20;
/** Messages a second between any two replicas of an idle cluster: heartbeats, their answers, pings. */
const idleMessagesPerPairMax = 150;
/** Times that the phase of faults goes on for half its length, for want of answers or of a fault that struck. */
const extensionsMax = 8;
/** A ploy gets so many virtual seconds more than the faults. */
const ploySecondsMax = 20;
/** Load after the first calls were answered again: none of it may stay without an answer. */
const settledSeconds = 0.5;
/** A call that is given up this long after that had all the time it needed. */
const patienceUs = 1_500_000;
/** And the longest that a plain client stays with a replica that is broken and believes itself the primary. */
const wanderUs = 1_400_000;

class Run {
  readonly cluster: Cluster;
  readonly workload: Workload;
  readonly nemesis: Nemesis;
  private readonly plan: RunPlan;
  private readonly clients: readonly ClusterClient[];
  private readonly ploy: RunOptions['ploy'];
  private readonly eventsMax: number;
  private readonly endsWhenCalm: boolean;
  private viewChangesBefore = 0;
  /** The disks had lost too much to go on. */
  private stopped = false;
  /** Replicas that are not expected to work just now. */
  private readonly brokenNow = new Set<number>();
  /** From the beginning of the faults to their end. */
  private play: PloyPlay | null = null;
  private playing = false;

  constructor(seed: number, options: RunOptions, hasher: Hasher | undefined) {
    const setup = { seed, options, createCheckers, ...(hasher === undefined ? {} : { hasher }) };
    this.ploy = options.ploy;
    this.eventsMax = options.eventsMax ?? Number.POSITIVE_INFINITY;
    this.endsWhenCalm = options.endsWhenCalm ?? false;
    this.plan = planRun(new Scheduler(seed).random('plan'), options);
    const { plan } = this;
    this.cluster = new Cluster({
      ...setup,
      nodes: plan.nodes,
      checkpointInterval: plan.checkpointInterval,
      upgrades: plan.faults.includes('upgrade'),
    });
    const { cluster } = this;
    const { scheduler, links, codec, hasher: clusterHasher } = cluster;
    const machines = (): number => cluster.nodes;
    const { nodes, giveUpUs } = plan;
    this.clients = plan.clients.map((kind, index) => {
      const shared = { scheduler, links, codec, hasher: clusterHasher, nodes, index, giveUpUs };
      return kind === 'sdk' ? new SdkClient(shared) : new PlainClient({ ...shared, machines, cluster: simCluster });
    });
    this.workload = new Workload({
      scheduler,
      clients: this.clients,
      options: plan.workload,
      called: (call) => options.observer?.called(call),
      returned: (call) => this.cluster.tellReturned(call),
    });
    this.nemesis = new Nemesis({
      cluster: this.cluster,
      workload: this.workload,
      plan,
      script: options.script,
    });
  }

  /** Runs for so many virtual seconds at most, until `reached` or a failure; says whether `reached`. */
  private within(seconds: number, reached: () => boolean): boolean {
    const { cluster, nemesis } = this;
    const { scheduler } = cluster;
    const until = scheduler.nowUs + seconds * 1_000_000;
    let done = reached();
    while (!done && cluster.failure === null) {
      if (!scheduler.step(Math.min(until, nemesis.nextAtUs))) {
        if (nemesis.nextAtUs > until) {
          // The time is over also when nothing happens at its end.
          scheduler.runUntil(until);
          break;
        }
        scheduler.runUntil(nemesis.nextAtUs);
        nemesis.act();
        if (nemesis.isCalm) break;
      }
      if (this.playing) this.play?.goOn();
      done = reached();
      if (scheduler.steps > this.eventsMax) cluster.fail('undecided', `more than ${this.eventsMax} events`);
    }
    return done && cluster.failure === null;
  }

  execute(): void {
    const { cluster, workload, nemesis, plan } = this;
    cluster.format(() => {
      cluster.machines.forEach((_, index) => cluster.boot(index));
    });
    workload.start();
    if (!this.within(startSecondsMax, () => workload.ready)) return this.stuck('a healthy cluster did not start');
    this.viewChangesBefore = cluster.counts.viewChanges;
    nemesis.start();
    this.startPloy();
    this.endure();
    if (cluster.failure !== null) return;
    if (this.endsWhenCalm) return cluster.tellEnded({ history: workload.history, replicas: [] });
    nemesis.stop();
    this.play?.stage.excuse();
    for (const { replica } of plan.broken) this.brokenNow.add(replica);
    const over = (): boolean => cluster.failure !== null || this.stopped;
    this.recover();
    if (!over() && plan.finalBlackout) this.blackout();
    if (!over()) this.expectIdle();
    if (cluster.failure !== null) return;
    // A cluster that has stopped for good is judged by what clients saw until then.
    cluster.tellEnded({ history: workload.history, replicas: this.stopped ? [] : this.well });
    if (cluster.failure === null) this.expectSubstance();
  }

  /** The phase of faults: its drawn length, and longer while too little was answered or a drawn kind has not struck. */
  private endure(): void {
    const { cluster, workload, plan, nemesis } = this;
    const failed = (): boolean => cluster.failure !== null;
    const enough = (): boolean => workload.history.acknowledged >= plan.acknowledgedMin && nemesis.struckAll;
    this.within(plan.seconds, () => false);
    for (let round = 0; round < extensionsMax && !nemesis.isCalm && !failed() && !enough(); round++) {
      nemesis.extend();
      this.within(plan.seconds / 2, enough);
    }
    this.endPloy();
    if (!failed()) nemesis.calm();
  }

  private startPloy(): void {
    if (this.ploy === undefined) return;
    this.playing = true;
    this.play = new PloyPlay(this.ploy, new Stage(this.cluster, this.workload));
  }

  private endPloy(): void {
    if (this.play === null) return;
    this.within(ploySecondsMax, () => this.ployEnded);
    this.playing = false;
    this.cluster.network.intercept = null;
  }

  private get ployEnded(): boolean {
    return this.play === null || this.play.ended;
  }

  /** Where the protocol was left what it needs, it has to go on; where it was not, it may stop, but not lie. */
  private stuck(what: string): void {
    this.cluster.note('phase', `stuck: ${what}`);
    if (this.nemesis.atlas.exceeded) {
      this.stopped = true;
      return;
    }
    const lost = this.findLost();
    if (lost !== null)
      this.cluster.fail('nothing-lost', `op ${lost} was acknowledged and is on no disk any more; ${what}`);
    this.cluster.fail('liveness', `${what}; ${this.describe()}`);
  }

  /** A cluster that cannot go on may be right to stop: an acknowledged op that is nowhere is worse than a stop. */
  private findLost(): number | null {
    const { cluster, workload } = this;
    const disks = cluster.machines.map((machine) => machine.platter);
    const applied = Math.max(0, ...cluster.states.map((state) => state.applied));
    const ops = new Set<number>();
    for (const { end, type } of workload.history.calls) {
      if (type === 'get' || (end?.type !== 'ok' && end?.type !== 'rejected')) continue;
      if (end.op !== null && end.op > applied) ops.add(end.op);
    }
    for (const op of ops) {
      const id = cluster.committedIds.get(op);
      if (id !== undefined && !isOnSomeDisk(disks, id, cluster.hasher)) return op;
    }
    return null;
  }

  /** The phase of liveness: a quorum is well again, so everything must work, end and agree. */
  private recover(): void {
    const { workload, cluster } = this;
    const { patienceSeconds } = this.plan;
    const before = workload.history.answered;
    // What only a comparison shows is seen at the ops at which states are compared.
    const isClean = (): boolean => this.well.every(({ self }) => !cluster.flips.isThere(self));
    const answered = (): boolean => workload.history.answered >= before + recoveredCallsMin;
    const enough = (): boolean => (answered() && isClean()) || workload.exhausted;
    if (!this.within(patienceSeconds, enough)) return this.stuck('the faults stopped, and nothing is answered');
    const settledUs = cluster.scheduler.nowUs;
    this.within(settledSeconds, () => false);
    workload.running = false;
    const ended = (): boolean => this.clients.every((client) => client.inFlight === 0);
    if (!this.within(patienceSeconds, ended)) return this.stuck(`${workload.open} calls never end`);
    this.expectAnswers(settledUs);
    for (const client of this.clients) client.stop();
    if (!this.within(patienceSeconds, () => this.converged())) return this.stuck('the replicas do not converge');
    cluster.note('phase', 'converged');
    if (this.brokenNow.size === 0 || !this.plan.mendsBroken) return;
    this.brokenNow.clear();
    this.nemesis.mend();
    cluster.note('phase', 'mended');
    if (!this.within(patienceSeconds, () => this.converged())) this.stuck('what was broken does not catch up');
  }

  /** Calls that were given up long after everything was well again: somebody forgot them. */
  private expectAnswers(settledUs: number): void {
    const { cluster, workload, plan } = this;
    // Where strangers crowd the session table, a call may well end with its session.
    if (this.nemesis.fired.has('session-flood')) return;
    const inTime = settledUs + patienceUs + plan.broken.length * wanderUs - plan.giveUpUs;
    for (const { type, client, key, marker, invokedUs, end } of workload.history.calls) {
      if (end === null || end.type === 'ok' || end.type === 'rejected') continue;
      if (invokedUs < inTime || end.returnedUs < settledUs) continue;
      // It ended with its session, for the sake of an older call.
      if (end.returnedUs - invokedUs < plan.giveUpUs) continue;
      const seconds = ((end.returnedUs - invokedUs) / 1_000_000).toFixed(1);
      const what = `its ${type} ${marker} of row ${key} after ${seconds} seconds: ${end.type}`;
      cluster.fail('liveness', `all was well again, and client ${client} gave up ${what}`);
    }
  }

  private blackout(): void {
    const { cluster, plan } = this;
    cluster.note('phase', 'blackout');
    cluster.machines.forEach((_, index) => cluster.crash(index));
    cluster.machines.forEach((_, index) => {
      if (!this.brokenNow.has(index)) cluster.boot(index);
    });
    if (!this.within(plan.patienceSeconds, () => this.converged()))
      this.stuck('after a blackout the replicas do not converge');
  }

  /** The replicas that are well, each of them in every respect where the others are. */
  private get well(): readonly Replica<KernelState>[] {
    const members = membersOf(this.cluster.group);
    return this.cluster.states.filter(({ self }) => !this.brokenNow.has(self) && members.includes(self));
  }

  /** Members that are expected to be well; whoever else runs has not been told yet that it was removed. */
  private get expected(): number | null {
    const { cluster, brokenNow } = this;
    const members = membersOf(cluster.group);
    if (cluster.changing) return null;
    if (cluster.states.some(({ self }) => !members.includes(self) && !brokenNow.has(self))) return null;
    return members.filter((replica) => !brokenNow.has(replica)).length;
  }

  private converged(): boolean {
    const { well } = this;
    const [first] = well;
    if (first === undefined || well.length !== this.expected) return false;
    return well.every(
      (state) =>
        state.status === 'normal' &&
        state.divergence.quarantine === null &&
        !this.cluster.flips.isThere(state.self) &&
        state.view === first.view &&
        state.head === first.head &&
        state.commit === state.head &&
        state.applied === state.commit &&
        state.machine.stateHash(state.state) === first.machine.stateHash(first.state),
    );
  }

  /** A quiet cluster: few messages, and nothing moves. Lasts as long as the run has to. */
  private expectIdle(): void {
    const { cluster, plan } = this;
    const { nowUs } = cluster.scheduler;
    const { nodes } = cluster;
    const seconds = Math.max(1, plan.simulatedSecondsMin - nowUs / 1_000_000);
    const before = cluster.network.counts.sent;
    const { commit, view } = this.well[0] ?? { commit: 0, view: 0 };
    this.within(seconds, () => false);
    if (cluster.failure !== null) return;
    const sent = (cluster.network.counts.sent - before) / seconds;
    const bound = idleMessagesPerPairMax * nodes * (nodes - 1);
    if (sent > bound) cluster.fail('liveness', `an idle cluster sent ${sent} messages a second, more than ${bound}`);
    if (!this.converged()) this.stuck('an idle cluster fell apart');
    if (this.well.some((state) => state.commit !== commit)) this.stuck('an idle cluster commits');
    if (this.well.some((state) => state.view !== view)) this.stuck('an idle cluster changes its view');
  }

  /** A run in which nothing happened proves nothing (pitfall 44). */
  private expectSubstance(): void {
    const { cluster, workload, nemesis, plan } = this;
    const { acknowledged } = workload.history;
    const hollow = (why: string): void => cluster.fail('hollow', why);
    if (acknowledged < plan.acknowledgedMin) hollow(`only ${acknowledged} commands were acknowledged`);
    const seconds = cluster.scheduler.nowUs / 1_000_000;
    if (seconds < plan.simulatedSecondsMin) hollow(`it ran for ${seconds} virtual seconds only`);
    const silent = plan.faults.filter((kind) => !nemesis.fired.has(kind));
    if (!this.ployEnded) hollow(`the ploy got no further than its wait number ${this.play?.acts ?? 0}`);
    if (silent.length > 0) hollow(`drawn, but never struck: ${silent.join(', ')}`);
  }

  private describe(): string {
    return this.cluster.machines
      .map((machine, index) => {
        const state = this.cluster.state(index);
        if (state === undefined) return `replica ${index} is ${machine.power}`;
        return `replica ${index} ${describeState(state)}`;
      })
      .join('; ');
  }

  result(seed: number): RunResult {
    const { cluster, workload, nemesis, plan } = this;
    const ends = workload.history.calls.map((call) => call.end?.type ?? 'unknown');
    for (const state of cluster.states) cluster.note('end', describeState(state));
    return {
      seed,
      ok: cluster.failure === null,
      failure: cluster.failure,
      traceHash: cluster.trace.hash(),
      stats: {
        nodes: plan.nodes,
        calls: workload.history.calls.length,
        acknowledged: workload.history.acknowledged,
        reads: workload.history.reads,
        unknown: ends.filter((type) => type === 'unknown').length,
        notApplied: ends.filter((type) => type === 'not-applied').length,
        commits: cluster.counts.commits,
        viewChanges: plan.nodes === 1 ? 0 : cluster.counts.viewChanges - this.viewChangesBefore,
        restartsDuringViewChange: plan.nodes === 1 ? 0 : cluster.counts.restartsDuringViewChange,
        crashes: cluster.counts.crashes,
        faults: Object.fromEntries([...nemesis.fired].sort(([a], [b]) => (a < b ? -1 : 1))),
        marks: [...cluster.marks].sort(),
        messages: cluster.network.counts.sent,
        events: cluster.scheduler.steps,
        simulatedSeconds: cluster.scheduler.nowUs / 1_000_000,
        exceeded: !nemesis.atlas.exceeded ? 'no' : this.stopped ? 'stopped' : 'went-on',
      },
      stateHashes: cluster.states.map((state) => state.machine.stateHash(state.state)),
      plan,
      script: nemesis.executed,
      trace: cluster.trace.lines(),
    };
  }
}

const describeState = (state: Replica<KernelState>): string =>
  `${state.status} view ${state.view} log view ${state.logView} head ${state.head} commit ${state.commit} applied ${state.applied} state ${state.machine.stateHash(state.state).slice(0, 8)}`;

/** Something that runs seeds: `runSeed`, or it with a part replaced by a broken one. */
export type Execute = (seed: number, options: RunOptions) => RunResult;

/** One run of one seed, from an empty cluster to its verdict. The same seed and options give the same trace hash. */
export function runSeed(seed: number, options: RunOptions = {}, hasher?: Hasher): RunResult {
  const run = new Run(seed, options, hasher);
  try {
    run.execute();
  } catch (error) {
    // An assertion of the simulator, or of code it calls outside any replica.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    run.cluster.fail('fatal', text);
  }
  return run.result(seed);
}
