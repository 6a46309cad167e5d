import type { Codec } from '@kimberlite/wire';
import type { KernelState } from '@kimberlite/kernel';
import type { Replica, StateMachine, Timing } from '@kimberlite/vsr';
import type { CrashableDisk } from './machine.ts';
import type { FaultAction } from './nemesis/action.ts';
import type { FaultKind } from './nemesis/kinds.ts';
import type { RunPlan } from './plan.ts';
import type { Ploy } from './ploy.ts';
import type { RunObserver } from './report/observer.ts';

export { type FaultKind, faultKinds } from './nemesis/kinds.ts';

/**
 * Parts of a replica that a test may replace by a broken one, to see that a checker notices. The shipped code
 * knows nothing of it: these are the ports and arguments it has anyway.
 */
export interface Plants {
  readonly disk?: (disk: CrashableDisk, replica: number) => CrashableDisk;
  readonly stateMachine?: (machine: StateMachine<KernelState>, replica: number) => StateMachine<KernelState>;
  readonly codec?: (codec: Codec, replica: number) => Codec;
  /** After every input: may change the replica's state. */
  readonly turned?: (state: Replica<KernelState>, replica: number) => void;
}

export interface RunOptions {
  /** Drawn from the seed when left out: 3 mostly, 5 or 1 sometimes. */
  readonly nodes?: number;
  /** Kinds of fault this run uses; drawn from the seed when left out. */
  readonly faults?: readonly FaultKind[];
  /** Virtual seconds of faults and load; drawn from the seed when left out. */
  readonly seconds?: number;
  /** Pins what the seed would draw; a run's own plan pins all of it. */
  readonly plan?: Partial<RunPlan>;
  /** Faults to do instead of drawing any. */
  readonly script?: readonly FaultAction[];
  /** A schedule that reacts to what happens, beside the faults; a run whose ploy does not come to its end is hollow. */
  readonly ploy?: Ploy;
  /** Ends the run there, undecided: for a search that has no use for a longer one. */
  readonly eventsMax?: number;
  /**
   * Judges what clients saw as soon as the faults are over, without the phases after it. Replicas are not judged then:
   * they were given no time to agree.
   */
  readonly endsWhenCalm?: boolean;
  /** Keep one line an event. */
  readonly recordTrace?: boolean;
  readonly plants?: Plants;
  /** Watches, and changes nothing: the trace hash is the same with and without it. */
  readonly observer?: RunObserver;
  readonly timing?: Partial<Timing>;
}
