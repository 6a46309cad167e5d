import type { KernelState } from '@kimberlite/kernel';
import type { Replica } from '@kimberlite/vsr';
import type { Codec } from '@kimberlite/wire';
import type { Execution, Failure } from '../checkers/checker.ts';
import type { Call } from '../history.ts';
import type { WatchableDisk } from '../checkers/superblocks.ts';
import type { Power } from '../machine.ts';
import type { FaultAction } from '../nemesis/action.ts';

/**
 * Somebody who watches a run and changes nothing of it: it draws nothing, schedules nothing, and the trace hash is
 * the same with and without it. A run without one pays a comparison with undefined at each of these places.
 */
export interface RunObserver {
  /** Once, before anything happens. */
  readonly watch: (watched: { readonly codec: Codec; readonly nowUs: () => number }) => void;
  readonly peerSent: (from: number, to: number, frame: Uint8Array) => void;
  readonly peerReceived: (from: number, to: number, frame: Uint8Array) => void;
  readonly requestSent: (client: number, replica: number, frame: Uint8Array) => void;
  readonly requestReceived: (client: number, replica: number, frame: Uint8Array) => void;
  readonly replySent: (replica: number, client: number, frame: Uint8Array) => void;
  readonly replyReceived: (replica: number, client: number, frame: Uint8Array) => void;
  readonly connection: (
    client: number,
    replica: number,
    connection: number,
    what: 'dialled' | 'opened' | 'refused' | 'closed',
  ) => void;
  /** The same disk, watched: calls go through one for one, completions come back one for one. */
  readonly watchDisk: (replica: number, disk: WatchableDisk) => WatchableDisk;
  readonly timerFired: (replica: number, timer: string) => void;
  readonly powered: (replica: number, power: Power | 'opened') => void;
  /** One input was handled. */
  readonly turned: (replica: number, state: Replica<KernelState>) => void;
  readonly executed: (execution: Execution) => void;
  readonly called: (call: Call) => void;
  readonly returned: (call: Call) => void;
  readonly fault: (action: FaultAction) => void;
  readonly noted: (kind: string, text: string) => void;
  readonly failed: (failure: Failure) => void;
}
