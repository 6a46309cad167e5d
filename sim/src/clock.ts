import type { ClockReading } from '@kimberlite/vsr';
import type { Scheduler } from './scheduler.ts';

/** Virtual time zero as wall clocks show it: 2026-01-01T00:00:00Z. */
export const epochUs = 1_767_225_600_000_000;

/** How wrong one machine's clocks are. */
export interface ClockError {
  /** Microseconds the wall clock is ahead (or behind, negative). */
  readonly skewUs: number;
  /** Parts per million by which both clocks run fast (or slow, negative). */
  readonly driftPpm: number;
}

export const trueClock: ClockError = { skewUs: 0, driftPpm: 0 };

/**
 * The clocks of one machine. The monotonic one starts anywhere at a boot, as a process's does: nothing may
 * compare readings across a restart.
 */
export class SimClock {
  private readonly scheduler: Scheduler;
  private error: ClockError = trueClock;
  private monotonicBase = 0;
  private realtimeBase = epochUs;
  private baseAt = 0;

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler;
  }

  boot(monotonicOriginUs: number): void {
    this.rebase();
    this.monotonicBase = monotonicOriginUs;
  }

  get wrong(): ClockError {
    return this.error;
  }

  /** Changes the error from now on; the wall clock jumps by the change of its skew. */
  setError(error: ClockError): void {
    this.rebase();
    this.realtimeBase += error.skewUs - this.error.skewUs;
    this.error = error;
  }

  read(): ClockReading {
    const passed = this.passedUs();
    return {
      monotonicUs: Math.floor(this.monotonicBase + passed),
      realtimeUs: Math.floor(this.realtimeBase + passed),
    };
  }

  /** True microseconds until this machine's clocks have moved on by `localUs`: how late or early its timers fire. */
  trueDelayUs(localUs: number): number {
    return localUs / (1 + this.error.driftPpm / 1_000_000);
  }

  private passedUs(): number {
    return (this.scheduler.nowUs - this.baseAt) * (1 + this.error.driftPpm / 1_000_000);
  }

  private rebase(): void {
    const passed = this.passedUs();
    this.monotonicBase += passed;
    this.realtimeBase += passed;
    this.baseAt = this.scheduler.nowUs;
  }
}
