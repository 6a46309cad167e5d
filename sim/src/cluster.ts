import {
  assert,
  commonVersion,
  ownVersions,
  type VersionRange,
  type Checksum,
  type ClusterId,
  crc32,
  type Hasher,
  type RandomState,
  type ReplicaId,
  randomInt,
  randomU32,
  replicasMax,
  sha256Hasher,
} from '@kimberlite/base';
import { Host } from '@kimberlite/host';
import type { KernelState } from '@kimberlite/kernel';
import { formatLog, type Geometry, type LogMark } from '@kimberlite/log';
import {
  type DurableState,
  encodeDurableState,
  foundingGroup,
  type Group,
  initialDurableState,
  joiningDurableState,
  type Membership,
  primaryIn,
  replacedDurableState,
  type Replica,
  type ReplicaMark,
  type StateMachine,
  replicaStatus,
} from '@kimberlite/vsr';
import { type Codec, createCodec, createKernelStateMachine, type MemberAddress } from '@kimberlite/wire';
import type { Checker, Ending, Fail, Failure, FailureKind, World } from './checkers/checker.ts';
import { Observer } from './checkers/observer.ts';
import { simHeaderSlots } from './checkers/platters.ts';
import { ClientLinks } from './client-links.ts';
import { SimClock } from './clock.ts';
import { SimDisk } from './disk.ts';
import { Flips } from './flips.ts';
import type { Call } from './history.ts';
import { Machine, type MachineOutlets } from './machine.ts';
import { SimNetwork } from './network.ts';
import type { RunOptions } from './options.ts';
import type { RunObserver } from './report/observer.ts';
import { Scheduler } from './scheduler.ts';
import { endpointOf } from './sdk-client.ts';
import { createTrace, digestText, type Trace } from './trace.ts';

export const simCluster = '51000000000000000000000000000051' as ClusterId;

/** Frames, requests and boots, counted for the report and against hollow runs. */
export interface ClusterCounts {
  boots: number;
  crashes: number;
  midTurnCrashes: number;
  /** Views of which a primary served, beyond the first. */
  viewChanges: number;
  /** Boots while another replica was in a view change, or after a crash in the middle of one. */
  restartsDuringViewChange: number;
  commits: number;
}

export interface ClusterSetup {
  readonly seed: number;
  readonly nodes: number;
  readonly checkpointInterval: number;
  /** All machines begin with a release that speaks one version less than the one that is installed later. */
  readonly upgrades?: boolean;
  readonly options: RunOptions;
  readonly hasher?: Hasher;
  readonly createCheckers: (world: World, fail: Fail) => readonly Checker[];
}

/** Stands for the next release: it speaks one version more. */
const newerRelease: VersionRange = { oldest: ownVersions.oldest, newest: ownVersions.newest + 1 };

/** Until a directory that could not be formatted is tried again. */
const formatAgainUs = 300_000;

/** The smallest files the log allows, so that runs reach their ends. */
const geometry: Geometry = { segmentBytes: 1_228_800, headerSlots: simHeaderSlots };

const randomHex128 = (random: RandomState): string =>
  Array.from({ length: 4 }, () => randomU32(random).toString(16).padStart(8, '0')).join('');

/**
 * A whole cluster in one process: the shipped host, replica, log and codecs of every node over simulated ports.
 * The first failure is kept; whoever drives the run looks at it after each event.
 */
export class Cluster {
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly network: SimNetwork;
  readonly links: ClientLinks;
  readonly machines: Machine[] = [];
  /** Reads what any machine writes: that of clients, and of whoever looks on. */
  readonly codec: Codec;
  /** By machine: what its release speaks. */
  private readonly releases = new Map<number, VersionRange>();
  /** By op: the version in force behind it, as the first replica said. */
  private readonly inForce = new Map<number, number>();
  readonly hasher: Hasher;
  /** With how many replicas the cluster was founded; each of them has a machine. */
  readonly founded: number;
  /** Looks on, for whoever wants to see the run. */
  readonly watcher: RunObserver | undefined;
  readonly counts: ClusterCounts = {
    boots: 0,
    crashes: 0,
    midTurnCrashes: 0,
    viewChanges: 0,
    restartsDuringViewChange: 0,
    commits: 0,
  };
  /** Branches of the protocol and the log that were taken, by any replica. */
  readonly marks = new Set<ReplicaMark | LogMark>();
  /** Replicas whose machines are gone, until others are in their place: nothing boots there. */
  readonly lost = new Set<number>();
  /** Replicas that were removed and have learnt of it: their processes have ended for good. */
  readonly gone = new Set<number>();
  /** By replica: the incarnation that its machine was made for; left out: the first. */
  readonly incarnations: number[] = [];
  /** Every group that any replica was seen to be in, by epoch. */
  readonly groups: Group[];
  /** An operator has begun to change the group, and is not done. */
  changing = false;
  readonly flips = new Flips();
  failure: Failure | null = null;
  /** Asked when a process gives up: was its end a fault of ours, such as a disk that was made to fail? */
  excuse: ((replica: number, error: Error) => boolean) | null = null;
  /** Told of every input that a replica has handled. */
  whenTurned: ((replica: number, state: Replica<KernelState>) => void) | null = null;
  private readonly setup: ClusterSetup;
  private readonly random: RandomState;
  private readonly observer: Observer;
  /** Ids of committed ops, as the first replica that knew them committed had them. */
  readonly committedIds = new Map<number, Checksum>();
  private readonly fellInViewChange = new Set<number>();
  /** By replica: was it in a view change when it was last looked at? */
  private readonly changingView = new Set<number>();
  private highestNormalView = 0;
  private highestCommit = 0;

  constructor(setup: ClusterSetup) {
    this.setup = setup;
    this.founded = setup.nodes;
    this.groups = [foundingGroup(setup.nodes)];
    this.watcher = setup.options.observer;
    this.scheduler = new Scheduler(setup.seed);
    this.trace = createTrace(setup.options.recordTrace ?? false);
    this.random = this.scheduler.random('cluster');
    this.hasher = setup.hasher ?? sha256Hasher;
    this.codec = createCodec({ hasher: this.hasher, versions: setup.upgrades === true ? newerRelease : ownVersions });
    const { scheduler, trace, hasher, codec, watcher } = this;
    watcher?.watch({ codec, nowUs: () => scheduler.nowUs });
    const platter = (replica: number): SimDisk => {
      const machine = this.machines[replica];
      assert(machine !== undefined, 'a replica has a machine');
      return machine.platter;
    };
    const { flips } = this;
    const world = { nodes: setup.nodes, cluster: simCluster, hasher, platter, nowUs: () => scheduler.nowUs, flips };
    const fail: Fail = (kind, message) => this.fail(kind, message);
    this.observer = new Observer((superblock) => setup.createCheckers({ ...world, superblock }, fail));
    this.network = new SimNetwork({
      scheduler,
      trace,
      nodes: replicasMax,
      deliver: (from, to, frame) => {
        const machine = this.machines[to];
        if (machine?.power !== 'off') watcher?.peerReceived(from, to, frame);
        machine?.input(() => machine.host?.receivePeer(from as ReplicaId, frame));
      },
    });
    this.links = new ClientLinks({ scheduler, trace, observer: watcher, nodeEnd: this.nodeEnd() });
    for (let index = 0; index < setup.nodes; index++) this.addMachine();
  }

  /** One more machine, off and with an empty disk. */
  private addMachine(): Machine {
    const { scheduler, watcher, setup } = this;
    const index = this.machines.length;
    assert(index < replicasMax, 'a cluster has no more replicas');
    const platter = new SimDisk({
      schedule: (delayUs, run) => void scheduler.after(delayUs, run),
      random: scheduler.random(`disk ${index}`),
    });
    // The platter itself is watched, below any broken part: what is told of it is what it did.
    const told = watcher?.watchDisk(index, platter) ?? platter;
    const watched = this.observer.watchDisk(told, index);
    const disk = setup.options.plants?.disk?.(watched, index) ?? watched;
    const clock = new SimClock(scheduler);
    const machine = new Machine({
      replica: index as ReplicaId,
      disk,
      platter,
      clock,
      scheduler,
      outlets: this.outlets(),
    });
    this.machines.push(machine);
    return machine;
  }

  /** How many machines there are, running or not. */
  get nodes(): number {
    return this.machines.length;
  }

  /** The newest group that any replica was seen to be in. */
  get group(): Group {
    return this.groups.at(-1) ?? foundingGroup(this.founded);
  }

  /** The replica that serves, as far as any of them knows: the normal primary of the highest view. */
  get primary(): Replica<KernelState> | null {
    let highest: Replica<KernelState> | null = null;
    for (const state of this.states) {
      if (state.status !== 'normal' || primaryIn(state.group, state.view) !== state.self) continue;
      if (highest === null || state.view > highest.view) highest = state;
    }
    return highest;
  }

  /** Where clients reach whom: every machine there is. */
  private get members(): readonly MemberAddress[] {
    return this.machines.map(({ replica }) => ({ replica, endpoint: endpointOf(replica), adminUrl: null }));
  }

  fail(kind: FailureKind, message: string): void {
    if (this.failure !== null) return;
    this.failure = { kind, message, atUs: this.scheduler.nowUs };
    this.watcher?.failed(this.failure);
    this.note('FAILURE', `${kind}: ${message}`);
  }

  note(kind: string, text: string): void {
    this.trace.event(this.scheduler.nowUs, kind, digestText(text), () => text);
    this.watcher?.noted(kind, text);
  }

  /** Formats every directory and boots every machine; `done` when all are formatted. */
  format(done: () => void): void {
    let waiting = this.machines.length;
    for (const { disk, replica } of this.machines) {
      const superblock = encodeDurableState(initialDurableState(this.setup.checkpointInterval));
      const identity = { hasher: this.hasher, crc32, cluster: simCluster, replica };
      formatLog({ disk, ...identity, superblock, geometry }, (result) => {
        if (!result.ok) return this.fail('fatal', `replica ${replica} cannot be formatted: ${result.error.message}`);
        waiting -= 1;
        if (waiting === 0) done();
      });
    }
  }

  /** An empty directory for a replica whose machine was lost; the answer of the primary says what it may know. */
  formatReplacement(
    index: number,
    fenced: { readonly view: number; readonly incarnation: number; readonly membership: Membership | null },
    done: () => void,
  ): void {
    const { checkpointInterval } = this.setup;
    this.incarnations[index] = fenced.incarnation;
    const superblock = replacedDurableState({ ...fenced, replica: index, checkpointInterval });
    this.formatEmpty(index, superblock, () => {
      this.lost.delete(index);
      done();
    });
  }

  /** A new machine for a replica that was added; the one that had its number before is not needed any more. */
  formatJoining(index: number, membership: Membership, done: () => void): void {
    assert(index <= this.machines.length, 'machines are numbered without gaps');
    const machine = this.machines[index] ?? this.addMachine();
    machine.platter.nextCrashKeeps = 'nothing';
    this.crash(index);
    machine.disk.wipe();
    this.gone.add(index);
    this.incarnations[index] = membership.group.incarnations[index] ?? 0;
    const { checkpointInterval } = this.setup;
    this.formatEmpty(index, joiningDurableState({ membership, replica: index, checkpointInterval }), () => {
      this.gone.delete(index);
      this.lost.delete(index);
      done();
    });
  }

  private formatEmpty(index: number, superblock: DurableState, done: () => void): void {
    const machine = this.machines[index];
    assert(machine !== undefined && machine.power === 'off', 'the new machine does not run yet');
    const identity = { hasher: this.hasher, crc32, cluster: simCluster, replica: machine.replica };
    formatLog({ disk: machine.disk, ...identity, superblock: encodeDurableState(superblock), geometry }, (result) => {
      if (result.ok) return done();
      // The new machine's disk may have its faults too: an operator begins again.
      machine.disk.wipe();
      this.scheduler.after(formatAgainUs, () => this.formatEmpty(index, superblock, done));
    });
  }

  boot(index: number): void {
    const machine = this.machines[index];
    if (machine === undefined || machine.power !== 'off') return;
    if (this.lost.has(index) || this.gone.has(index)) return;
    this.counts.boots += 1;
    if (this.fellInViewChange.has(index) || this.states.some((state) => state.status === 'view-change')) {
      this.counts.restartsDuringViewChange += 1;
    }
    this.fellInViewChange.delete(index);
    this.note('boot', `replica ${index}`);
    const nonce = randomHex128(this.random);
    const seed = randomU32(this.random);
    const { plants, timing } = this.setup.options;
    // A crash in the middle of a turn leaves the rest of that turn running, unheard: a process that is gone says nothing.
    const boot = machine.incarnation + 1;
    const alive = (): boolean => machine.incarnation === boot && machine.power !== 'off';
    const versions = this.releaseOf(index);
    const shared = versions === this.codec.versions ? this.codec : createCodec({ hasher: this.hasher, versions });
    const codec = this.observer.watchCodec(shared, index, alive);
    const machineOf = createKernelStateMachine();
    const planted = plants?.stateMachine?.(machineOf, index) ?? machineOf;
    const told = this.tellExecuted(planted, index, alive);
    const stateMachine = { ...this.observer.watchMachine(told, index, alive), admit: machineOf.admit };
    machine.platter.forgetDamage();
    this.observer.booted(index);
    machine.boot(
      randomInt(this.random, 0, 1_000_000_000),
      (ports) =>
        new Host({
          cluster: simCluster,
          replica: index as ReplicaId,
          replicaCount: this.founded,
          hasher: this.hasher,
          crc32,
          codec: plants?.codec?.(codec, index) ?? codec,
          stateMachine,
          seed,
          nonce,
          ports: { ...ports, network: { ...ports.network, versionTo: (to) => this.versionBetween(index, to) } },
          members: () => this.members,
          describe: () => ({
            endpoint: endpointOf(index),
            adminUrl: null,
            dataDir: `sim-${index}`,
            pid: index,
            version: 'sim',
          }),
          ...(timing === undefined ? {} : { timing }),
        }),
      () => {
        this.note('opened', `replica ${index}`);
        this.watcher?.powered(index, 'opened');
      },
    );
  }

  /** The newer release, from the next boot on; in a run without upgrades there is none. */
  install(index: number): void {
    if (this.setup.upgrades === true) this.releases.set(index, newerRelease);
  }

  private releaseOf(index: number): VersionRange {
    return this.releases.get(index) ?? ownVersions;
  }

  /** As two nodes agree when they connect. */
  private versionBetween(a: number, b: number): number {
    const version = commonVersion(this.releaseOf(a), this.releaseOf(b));
    assert(version !== null, 'two releases in a row have a version in common');
    return version;
  }

  crash(index: number): void {
    const machine = this.machines[index];
    if (machine === undefined || machine.power === 'off') return;
    machine.crash();
  }

  /** The replica's state while its process runs. */
  state(index: number): Replica<KernelState> | undefined {
    const machine = this.machines[index];
    return machine === undefined || machine.power === 'off' ? undefined : machine.host?.inspect();
  }

  /** States of the running replicas. */
  get states(): readonly Replica<KernelState>[] {
    return this.machines.flatMap((_, index) => this.state(index) ?? []);
  }

  tellReturned(call: Call): void {
    this.watcher?.returned(call);
    this.observer.returned(call);
  }

  tellEnded(ending: Ending): void {
    this.observer.ended(ending);
  }

  private nodeEnd(): ConstructorParameters<typeof ClientLinks>[0]['nodeEnd'] {
    return {
      opened: (node, connection) => {
        const machine = this.machines[node];
        if (machine === undefined || machine.power === 'off') return false;
        machine.input(() => machine.host?.clientOpened(connection));
        return true;
      },
      received: (node, connection, frame) => {
        const machine = this.machines[node];
        machine?.input(() => {
          this.observer.clientAsks(connection);
          machine.host?.receiveClient(connection, frame);
        });
      },
      closed: (node, connection) => {
        const machine = this.machines[node];
        machine?.input(() => machine.host?.clientClosed(connection));
      },
    };
  }

  private tellExecuted(
    machine: StateMachine<KernelState>,
    replica: number,
    alive: () => boolean,
  ): StateMachine<KernelState> {
    const { watcher } = this;
    if (watcher === undefined) return machine;
    return {
      ...machine,
      apply: (state, request) => {
        const applied = machine.apply(state, request);
        if (alive()) watcher.executed({ replica, request, applied });
        return applied;
      },
    };
  }

  private outlets(): MachineOutlets {
    const { watcher } = this;
    return {
      sendPeer: (from, to, frame) => {
        watcher?.peerSent(from, to, frame);
        this.network.send(from, to, frame);
      },
      sendClient: (from, connection, frame) => {
        // A wrong answer before the damage is found is beyond any protocol; what comes behind that is judged.
        if (this.flips.has(from)) return this.observer.clientMuted(from);
        this.observer.clientTold(from, connection);
        this.links.sendToClient(connection, frame);
      },
      waitingBytes: (connection) => this.links.waitingBytes(connection),
      closeClient: (_from, connection) => this.links.closeFromNode(connection),
      applied: (from, applied) => this.observer.handedOn(from, applied),
      mark: (name) => this.marks.add(name),
      journal: (from, level, message, fields) => {
        this.observer.journaled(from, { message, fields });
        this.note('journal', `replica ${from} ${level}: ${message} ${JSON.stringify(fields)}`);
      },
      fatal: (from, error) => {
        if (this.excuse?.(from, error) !== true) this.fail('fatal', `replica ${from}: ${error.stack ?? error.message}`);
        this.note('fatal', `replica ${from}: ${error.message}`);
        this.crash(from);
      },
      down: (from) => {
        this.counts.crashes += 1;
        if (this.changingView.delete(from)) this.fellInViewChange.add(from);
        this.note('down', `replica ${from}`);
        this.network.reset(from);
        this.links.nodeDown(from, randomInt(this.random, 0, 3) === 0);
        this.observer.down(from);
      },
      turned: (from) => this.turned(from),
      timerFired: (from, timer) => watcher?.timerFired(from, timer),
      powered: (from, power) => {
        this.flips.powered(from, power, this.scheduler.nowUs);
        watcher?.powered(from, power);
      },
    };
  }

  /** A node that was removed from the cluster ends its process by itself. */
  private endRemoved(index: number): boolean {
    const host = this.machines[index]?.host;
    if (host?.removed !== true || host.phase !== 'stopped') return false;
    this.note('removed', `replica ${index}`);
    this.gone.add(index);
    this.crash(index);
    return true;
  }

  /**
   * A primary with a wrong state that only a comparison shows: clients do not hear it, so there would be little to
   * compare. Somebody starts it again, and it is a backup.
   */
  private unseatWrong(index: number, state: Replica<KernelState>): void {
    if (!this.flips.needsOthers(index) || replicaStatus(state).role !== 'primary') return;
    const boots = this.machines[index]?.incarnation;
    this.scheduler.after(0, () => {
      if (this.machines[index]?.incarnation !== boots) return;
      this.crash(index);
      this.boot(index);
    });
  }

  /** Equal logs put the same version in force at the same op. */
  private compareInForce(index: number, { applied, stateLoaded, versions }: Replica<KernelState>): void {
    if (this.setup.upgrades !== true || !stateLoaded) return;
    const known = this.inForce.get(applied) ?? versions.inForce;
    this.inForce.set(applied, known);
    if (known === versions.inForce) return;
    this.fail(
      'replica',
      `version ${versions.inForce} is in force at op ${applied} of replica ${index}, and ${known} elsewhere`,
    );
  }

  private turned(index: number): void {
    const state = this.state(index);
    if (state === undefined || this.endRemoved(index)) return;
    this.setup.options.plants?.turned?.(state, index);
    this.observer.looksAt(index, state.state);
    this.flips.turned(index, state);
    this.unseatWrong(index, state);
    this.whenTurned?.(index, state);
    this.groups[state.group.epoch] ??= state.group;
    this.compareInForce(index, state);
    if (state.status === 'view-change') this.changingView.add(index);
    else this.changingView.delete(index);
    if (state.status === 'normal' && state.view > this.highestNormalView) {
      this.highestNormalView = state.view;
      this.counts.viewChanges += 1;
    }
    if (state.commit > this.highestCommit) {
      for (let op = this.highestCommit + 1; op <= state.commit; op++) {
        const id = state.log.get(op)?.id;
        if (id !== undefined) this.committedIds.set(op, id);
      }
      this.highestCommit = state.commit;
      this.counts.commits = state.commit;
    }
    this.watcher?.turned(index, state);
  }
}
