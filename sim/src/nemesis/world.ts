import type { Cluster } from '../cluster.ts';
import type { Workload } from '../workload.ts';
import type { Atlas } from './atlas.ts';
import type { DiskTraps } from './disk-traps.ts';
import type { FaultKind } from './kinds.ts';

/** Whether an error with which a process ended is the fault of what was done to it. */
export type Excuse = (error: Error) => boolean;

/** What faults are done to. */
export interface FaultWorld {
  readonly cluster: Cluster;
  readonly workload: Workload;
  readonly atlas: Atlas;
  /** What lies in wait at that replica's disk; null when there is no such replica. */
  readonly traps: (replica: number) => DiskTraps | null;
  /** Runs `then` so much later, unless the faults have stopped by then: what was to be mended is mended already. */
  readonly later: (us: number, then: () => void) => void;
  /** Asked when the process gives up: all of them, and each may see to it that it starts again. */
  readonly excuses: (replica: number) => Set<Excuse>;
  /** It stays broken when the faults stop for the others. */
  readonly isLeftBroken: (replica: number) => boolean;
  /** A fault that lay in wait has struck. */
  readonly struck: (kind: FaultKind) => void;
}

/**
 * struck: it is done. waiting: it lies in wait for its moment. nothing: it could do nothing and left no trace, as with a
 * replica or file that is not there.
 */
export type ActionEffect = 'struck' | 'waiting' | 'nothing';

/** The machine loses its power, or only its process, and starts again after a while. False when it was off. */
export function takeDown(
  { cluster, later }: FaultWorld,
  replica: number,
  forUs: number,
  keeps: 'some' | 'nothing' | 'everything' = 'some',
): boolean {
  const machine = cluster.machines[replica];
  if (machine === undefined || machine.power === 'off') return false;
  machine.platter.nextCrashKeeps = keeps;
  cluster.crash(replica);
  later(forUs, () => cluster.boot(replica));
  return true;
}
