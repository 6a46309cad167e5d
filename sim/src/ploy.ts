import { crc32, type RandomState, randomInt } from '@kimberlite/base';
import type { KernelState } from '@kimberlite/kernel';
import { fileName, inspectOp, type OpInspection } from '@kimberlite/log';
import { type Message, primaryIn, type Replica } from '@kimberlite/vsr';
import type { Cluster } from './cluster.ts';
import { noFaults } from './disk.ts';
import { headerRecordBytes } from './nemesis/atlas.ts';
import { peekDisk } from './nemesis/peek-disk.ts';
import type { Workload } from './workload.ts';

/** What becomes of a message between replicas: it goes on, is lost, or is kept until `release`. */
export type MessageVerdict = 'pass' | 'lose' | 'hold';

export type Judge = (from: number, to: number, message: Message, frame: Uint8Array) => MessageVerdict;

/**
 * A schedule with eyes: a generator that yields what it waits for, and goes on once that holds after an event. For
 * bugs that hurt only in one order of events, which random faults would take very many seeds to meet.
 */
export type Ploy = (stage: Stage) => Generator<() => boolean, void, void>;

/** What a ploy sees of a running cluster, and what it can do to it. */
export class Stage {
  readonly cluster: Cluster;
  readonly workload: Workload;
  private readonly random: RandomState;
  private verdict: Judge | null = null;
  private readonly excused = new Set<number>();
  private watchers: (() => boolean)[] = [];
  /** By replica: how much slower files of that prefix are. */
  private readonly slow = new Map<number, Map<string, number>>();
  private readonly held: { readonly from: number; readonly to: number; readonly frame: Uint8Array }[] = [];

  constructor(cluster: Cluster, workload: Workload) {
    this.cluster = cluster;
    this.workload = workload;
    this.random = cluster.scheduler.random('ploy');
    cluster.network.intercept = (from, to, frame) => this.takes(from, to, frame);
    this.excuse();
  }

  /** Whoever stops for what was done to it here is excused; said again where somebody else may have said otherwise. */
  excuse(): void {
    const { excuse } = this.cluster;
    this.cluster.excuse = (replica, error) => this.excused.has(replica) || excuse?.(replica, error) === true;
  }

  private takes(from: number, to: number, frame: Uint8Array): boolean {
    if (this.verdict === null) return true;
    const message = this.cluster.codec.decodePeerMessage(frame);
    if (!message.ok) return true;
    const verdict = this.verdict(from, to, message.value, frame);
    if (verdict === 'hold') this.held.push({ from, to, frame });
    return verdict === 'pass';
  }

  /** Judges every message between replicas from now on; null lets all of them pass. */
  judge(verdict: Judge | null): void {
    this.verdict = verdict;
  }

  get heldCount(): number {
    return this.held.length;
  }

  /** What was held goes on its way now. */
  release(): void {
    for (const { from, to, frame } of this.held.splice(0)) this.send(from, to, frame);
  }

  /** Puts a frame onto a link, one seen before for instance; `judge` is not asked. */
  send(from: number, to: number, frame: Uint8Array): void {
    const { verdict } = this;
    this.verdict = null;
    this.cluster.network.send(from, to, frame);
    this.verdict = verdict;
  }

  /** A condition: that much virtual time has passed since this call. */
  after(us: number): () => boolean {
    const { scheduler } = this.cluster;
    const at = scheduler.nowUs + us;
    // The conditions are looked at after events; without one there would be no look.
    scheduler.after(us, () => {});
    return () => scheduler.nowUs >= at;
  }

  /** A number of microseconds up to that many, drawn from the seed. */
  chance(us: number): number {
    return randomInt(this.random, 0, us);
  }

  /** A condition: `reached` holds. It has so many virtual seconds; then the run fails, for want of liveness. */
  within(seconds: number, what: string, reached: () => boolean): () => boolean {
    const late = this.after(seconds * 1_000_000);
    return () => {
      if (reached()) return true;
      if (late()) this.cluster.fail('liveness', `${seconds} seconds were not enough: ${what}`);
      return false;
    };
  }

  state(replica: number): Replica<KernelState> | undefined {
    return this.cluster.state(replica);
  }

  /** The replica that is the normal primary of the highest view, or undefined. */
  primary(): number | undefined {
    return this.cluster.primary?.self;
  }

  /** Whether it is the normal primary of the view it is in. */
  isPrimary(replica: number): boolean {
    const state = this.state(replica);
    return state?.status === 'normal' && primaryIn(state.group, state.view) === replica;
  }

  /** All other voters, in the order in which they become primary after it. */
  othersBehind(replica: number): readonly number[] {
    const { voters } = this.cluster.group;
    const at = voters.indexOf(replica);
    return [...voters.slice(at + 1), ...voters.slice(0, Math.max(0, at))];
  }

  crash(...replicas: readonly number[]): void {
    for (const replica of replicas) {
      this.note(`crash ${replica}`);
      this.cluster.crash(replica);
    }
  }

  /** As `crash`, and nothing that was not synced survives. */
  powerCut(...replicas: readonly number[]): void {
    for (const replica of replicas) this.keep(replica, 'nothing');
    this.crash(...replicas);
  }

  /** Only the process ends: everything that was written can be read again, synced or not. */
  kill(...replicas: readonly number[]): void {
    for (const replica of replicas) this.keep(replica, 'everything');
    this.crash(...replicas);
  }

  private keep(replica: number, keeps: 'nothing' | 'everything'): void {
    const platter = this.cluster.machines[replica]?.platter;
    if (platter !== undefined) platter.nextCrashKeeps = keeps;
  }

  boot(...replicas: readonly number[]): void {
    for (const replica of replicas) this.cluster.boot(replica);
  }

  /** Nothing goes between these replicas and the others, either way; among themselves they talk. */
  part(...replicas: readonly number[]): void {
    this.note(`part ${replicas.join(' ')}`);
    this.cluster.network.partition((node) => (replicas.includes(node) ? 1 : 0));
  }

  heal(): void {
    this.note('heal');
    this.cluster.network.heal();
  }

  /** The op as the log code finds it on that disk now. */
  private inspect(replica: number, op: number): OpInspection | null {
    const { machines, hasher } = this.cluster;
    const platter = machines[replica]?.platter;
    if (platter === undefined) return null;
    let found: OpInspection | null = null;
    inspectOp({ disk: peekDisk(platter), hasher, crc32 }, op, (result) => {
      if (result.ok) found = result.value;
    });
    return found;
  }

  /** Flips a bit in the body of a prepare on that disk; false when there is none of that op. */
  rot(replica: number, op: number): boolean {
    const found = this.inspect(replica, op);
    if (found === null || found.header.state !== 'header') return false;
    const { segment, offset } = found.header.place;
    // Behind the frame and the header of the prepare: also the shortest has a body there.
    this.cluster.machines[replica]?.platter.flipBit(fileName('segment', segment), offset + 200, 0);
    this.note(`rot of op ${op} at ${replica}`);
    return true;
  }

  /** The header record of one op lies in the slot of another: whole bytes in the wrong place. */
  misplaceHeader(replica: number, op: number, into: number): boolean {
    const from = this.inspect(replica, op);
    const to = this.inspect(replica, into);
    const platter = this.cluster.machines[replica]?.platter;
    if (from === null || to === null || platter === undefined) return false;
    const record = platter.bytesAt(from.file, from.offset, headerRecordBytes);
    if (record === undefined) return false;
    platter.replaceBytes(to.file, to.offset, record);
    this.note(`header record of op ${op} in the slot of op ${into} at ${replica}`);
    return true;
  }

  /** The next sync of that disk fails, if it ends within the given time; whoever stops for it is excused. */
  failNextSync(replica: number): void {
    const { cluster } = this;
    const platter = cluster.machines[replica]?.platter;
    if (platter === undefined) return;
    const before = platter.completed['sync'] ?? 0;
    platter.faults.syncErrorChance = 1;
    this.excused.add(replica);
    this.note(`the next sync at ${replica} fails`);
    this.watchers.push(() => {
      if ((platter.completed['sync'] ?? 0) === before) return false;
      platter.faults.syncErrorChance = 0;
      return true;
    });
  }

  /** The directory of a machine that is down is gone; whoever refuses to start for it is excused. */
  wipe(replica: number): void {
    this.cluster.machines[replica]?.platter.wipe();
    this.excused.add(replica);
    this.note(`wipe ${replica}`);
  }

  /** What waits for an event. Called after each. */
  look(): void {
    this.watchers = this.watchers.filter((isDone) => !isDone());
  }

  /** That many times the latency of a healthy disk; 1 heals it. */
  slowDisk(replica: number, factor: number): void {
    this.setLatency(replica, factor);
    this.note(`disk of ${replica} slower by ${factor}`);
  }

  private setLatency(replica: number, factor: number): void {
    const faults = this.cluster.machines[replica]?.platter.faults;
    if (faults === undefined) return;
    const slower = ([low, high]: readonly [number, number]): [number, number] => [low * factor, high * factor];
    faults.latencyUs = slower(noFaults.latencyUs);
    faults.syncLatencyUs = slower(noFaults.syncLatencyUs);
  }

  /** The same for writes and syncs of files whose names begin so, from now on. */
  slowFiles(replica: number, prefix: string, factor: number): void {
    const platter = this.cluster.machines[replica]?.platter;
    if (platter === undefined) return;
    const slow = this.slow.get(replica) ?? new Map<string, number>();
    if (!this.slow.has(replica)) this.watchFiles(replica, slow);
    slow.set(prefix, factor);
    this.note(`${prefix} of ${replica} slower by ${factor}`);
  }

  /** Sets the latency of each call just before it is drawn. */
  private watchFiles(replica: number, slow: Map<string, number>): void {
    const platter = this.cluster.machines[replica]?.platter;
    if (platter === undefined) return;
    this.slow.set(replica, slow);
    const before = platter.watcher;
    const set = (file: string): void => {
      const found = [...slow].find(([prefix]) => file.startsWith(prefix));
      this.setLatency(replica, found?.[1] ?? 1);
    };
    platter.watcher = {
      write: (file) => {
        set(file);
        return before?.write(file) ?? 'kept';
      },
      sync: (file) => {
        set(file);
        before?.sync(file);
      },
      syncDirectory: (changes) => before?.syncDirectory(changes),
      mayFailToRead: (file, offset, lengthBytes) => before?.mayFailToRead(file, offset, lengthBytes) ?? true,
      told: (freeBytes) => before?.told(freeBytes),
      failed: (call, code) => before?.failed(call, code),
    };
  }

  note(text: string): void {
    this.cluster.note('ploy', text);
  }
}

/** Plays a ploy along a run. */
export class PloyPlay {
  /** It has come to its end. */
  ended = false;
  /** Conditions that came true. */
  acts = 0;
  readonly stage: Stage;
  private readonly steps: Generator<() => boolean, void, void>;
  private waiting: () => boolean = () => true;

  constructor(ploy: Ploy, stage: Stage) {
    this.stage = stage;
    this.steps = ploy(stage);
  }

  /** After an event: goes on for as long as what it waits for holds. */
  goOn(): void {
    this.stage.look();
    while (!this.ended && this.waiting()) {
      const step = this.steps.next();
      if (step.done === true) this.ended = true;
      else {
        this.acts += 1;
        this.waiting = step.value;
      }
    }
  }
}
