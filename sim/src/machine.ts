import type { ReplicaId } from '@kimberlite/base';
import type { Host, HostTimer, Ports } from '@kimberlite/host';
import type { Completion, Disk, LogMark } from '@kimberlite/log';
import type { KernelState } from '@kimberlite/kernel';
import type { Effect, ReplicaMark } from '@kimberlite/vsr';
import type { SimClock } from './clock.ts';
import type { SimDisk } from './disk.ts';
import type { Scheduled, Scheduler } from './scheduler.ts';

/** A disk that survives its machine's crashes, except for what was not synced. */
export interface CrashableDisk extends Disk {
  /** Power is gone: completions that are due never come, and what was not synced may be lost, whole or in part. */
  readonly crash: () => void;
  /** The machine is gone, and another one with an empty disk is in its place. */
  readonly wipe: () => void;
}

/** What a machine sends and tells goes here; the cluster routes it. */
export interface MachineOutlets {
  readonly sendPeer: (from: ReplicaId, to: ReplicaId, frame: Uint8Array) => void;
  readonly sendClient: (from: ReplicaId, connection: number, frame: Uint8Array) => void;
  readonly waitingBytes: (connection: number) => number;
  readonly closeClient: (from: ReplicaId, connection: number, reason: string) => void;
  readonly applied: (from: ReplicaId, applied: Extract<Effect, { readonly type: 'apply-effects' }>) => void;
  readonly journal: (from: ReplicaId, level: string, message: string, fields: Record<string, unknown>) => void;
  readonly mark: (name: ReplicaMark | LogMark) => void;
  readonly fatal: (from: ReplicaId, error: Error) => void;
  /** The machine went down, by an armed crash, by `crash`, or after `fatal`. */
  readonly down: (from: ReplicaId) => void;
  /** One input was handled. */
  readonly turned: (from: ReplicaId) => void;
  /** A timer is about to be handled. */
  readonly timerFired: (from: ReplicaId, timer: HostTimer) => void;
  readonly powered: (from: ReplicaId, power: Power) => void;
}

export type Power = 'off' | 'on' | 'paused';

/**
 * One machine: a process that runs the host, and what outlives the process. Everything that reaches the host
 * passes through `input`, so that a pause holds it back and a crash forgets it; everything that leaves passes
 * through a port that can be the last one: a crash strikes between any two effects.
 */
export class Machine {
  readonly replica: ReplicaId;
  readonly disk: CrashableDisk;
  /** The platter below `disk`, for faults. */
  readonly platter: SimDisk;
  readonly clock: SimClock;
  power: Power = 'off';
  /** Counts boots. What was under way for an earlier one is dropped. */
  incarnation = 0;
  host: Host<KernelState> | null = null;
  private readonly scheduler: Scheduler;
  private readonly outlets: MachineOutlets;
  private readonly timers = new Map<HostTimer, Scheduled>();
  private held: (() => void)[] = [];
  private crashAfterCalls: number | null = null;
  private whenArmedCrash: () => void = () => {};

  constructor(options: {
    readonly replica: ReplicaId;
    readonly disk: CrashableDisk;
    readonly platter: SimDisk;
    readonly clock: SimClock;
    readonly scheduler: Scheduler;
    readonly outlets: MachineOutlets;
  }) {
    this.replica = options.replica;
    this.disk = options.disk;
    this.platter = options.platter;
    this.clock = options.clock;
    this.scheduler = options.scheduler;
    this.outlets = options.outlets;
  }

  /** Starts a process. `createHost` gets the ports of this boot, which go dead with it. */
  boot(monotonicOriginUs: number, createHost: (ports: Ports) => Host<KernelState>, opened: () => void): void {
    this.incarnation += 1;
    this.power = 'on';
    this.outlets.powered(this.replica, 'on');
    this.clock.boot(monotonicOriginUs);
    const host = createHost(this.createPorts(this.incarnation));
    this.host = host;
    this.input(() => host.start(opened));
  }

  /** The process is gone, and with it everything it had not synced. */
  crash(): void {
    if (this.power === 'off') return;
    this.power = 'off';
    this.host = null;
    this.crashAfterCalls = null;
    this.held = [];
    for (const timer of this.timers.values()) this.scheduler.cancel(timer);
    this.timers.clear();
    this.disk.crash();
    this.outlets.powered(this.replica, 'off');
    this.outlets.down(this.replica);
  }

  /** Crashes after that many more calls of ports, which may be in the middle of one turn; then calls `struck`. */
  armCrash(calls: number, struck: () => void = () => {}): void {
    this.crashAfterCalls = calls;
    this.whenArmedCrash = struck;
  }

  disarm(): void {
    this.crashAfterCalls = null;
  }

  pause(): void {
    if (this.power !== 'on') return;
    this.power = 'paused';
    this.outlets.powered(this.replica, 'paused');
  }

  /** Everything held back arrives at once, in order. */
  resume(): void {
    if (this.power !== 'paused') return;
    this.power = 'on';
    this.outlets.powered(this.replica, 'on');
    const { incarnation } = this;
    for (const run of this.held.splice(0)) if (this.incarnation === incarnation) this.input(run);
  }

  /** Hands one input to the host; a fault it throws ends the run, as it would end the process. */
  input(run: () => void): void {
    if (this.power === 'off') return;
    if (this.power === 'paused') {
      this.held.push(run);
      return;
    }
    const { incarnation } = this;
    try {
      run();
    } catch (error) {
      if (this.incarnation === incarnation && this.host !== null) {
        this.outlets.fatal(this.replica, error instanceof Error ? error : new Error(String(error)));
      }
    }
    if (this.host !== null && this.incarnation === incarnation) this.outlets.turned(this.replica);
  }

  /** False when the process that asks is gone, or goes at this very call. */
  private live(incarnation: number): boolean {
    if (this.incarnation !== incarnation || this.power === 'off') return false;
    if (this.crashAfterCalls === null) return true;
    if (this.crashAfterCalls > 0) {
      this.crashAfterCalls -= 1;
      return true;
    }
    this.crash();
    this.whenArmedCrash();
    return false;
  }

  private createPorts(incarnation: number): Ports {
    const { outlets, replica } = this;
    const live = (): boolean => this.live(incarnation);
    return {
      network: { send: (to, frame) => live() && outlets.sendPeer(replica, to, frame) },
      clients: {
        waitingBytes: (connection) => outlets.waitingBytes(connection),
        send: (connection, frame) => live() && outlets.sendClient(replica, connection, frame),
        close: (connection, reason) => live() && outlets.closeClient(replica, connection, reason),
      },
      disk: this.createDiskPort(incarnation),
      clock: { read: () => this.clock.read() },
      timers: {
        set: (timer, delayMs) => live() && this.setTimer(incarnation, timer, delayMs),
        cancel: (timer) => this.incarnation === incarnation && this.cancelTimer(timer),
        defer: (turn) => live() && this.later(incarnation, 0, turn),
      },
      metrics: { count: () => {}, gauge: () => {} },
      journal: {
        write: (level, message, fields) => outlets.journal(replica, level, message, fields),
      },
      applied: { execute: (applied) => live() && outlets.applied(replica, applied) },
      mark: outlets.mark,
      fatal: (error) => this.incarnation === incarnation && this.power !== 'off' && outlets.fatal(replica, error),
    };
  }

  private later(incarnation: number, delayUs: number, run: () => void): Scheduled {
    return this.scheduler.after(delayUs, () => {
      if (this.incarnation === incarnation) this.input(run);
    });
  }

  private setTimer(incarnation: number, timer: HostTimer, delayMs: number): void {
    this.cancelTimer(timer);
    const scheduled = this.scheduler.after(this.clock.trueDelayUs(delayMs * 1000), () => {
      if (this.incarnation !== incarnation) return;
      // Held back by a pause, it may be set again or cancelled before it gets through.
      this.input(() => {
        if (this.timers.get(timer) !== scheduled) return;
        this.timers.delete(timer);
        this.outlets.timerFired(this.replica, timer);
        this.host?.timerFired(timer);
      });
    });
    this.timers.set(timer, scheduled);
  }

  private cancelTimer(timer: HostTimer): void {
    const scheduled = this.timers.get(timer);
    if (scheduled === undefined) return;
    this.scheduler.cancel(scheduled);
    this.timers.delete(timer);
  }

  private createDiskPort(incarnation: number): Disk {
    const { disk } = this;
    const live = (): boolean => this.live(incarnation);
    const back =
      <T>(done: Completion<T>): Completion<T> =>
      (result) => {
        if (this.incarnation === incarnation) this.input(() => done(result));
      };
    return {
      list: (done) => live() && disk.list(back(done)),
      create: (file, sizeBytes, done) => live() && disk.create(file, sizeBytes, back(done)),
      size: (file, done) => live() && disk.size(file, back(done)),
      read: (file, offset, lengthBytes, done) => live() && disk.read(file, offset, lengthBytes, back(done)),
      write: (file, offset, bytes, done) => live() && disk.write(file, offset, bytes, back(done)),
      append: (file, bytes, done) => live() && disk.append(file, bytes, back(done)),
      writeDurable: (file, offset, bytes, done) => live() && disk.writeDurable(file, offset, bytes, back(done)),
      sync: (file, done) => live() && disk.sync(file, back(done)),
      syncDirectory: (done) => live() && disk.syncDirectory(back(done)),
      rename: (from, to, done) => live() && disk.rename(from, to, back(done)),
      remove: (file, done) => live() && disk.remove(file, back(done)),
      free: (done) => live() && disk.free(back(done)),
    };
  }
}
