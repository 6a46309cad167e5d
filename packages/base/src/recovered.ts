import type { Checksum, Op } from './ids.ts';
import type { PrepareHeader } from './prepare.ts';

/** What the log found out about one op after a restart: the verdict of the slot recovery table. */
export interface RecoveredSlot {
  readonly op: Op;
  /** Id wanted at this op: from the suffix, the log view's own records, or the parent link of the op above. Null when blank. */
  readonly id: Checksum | null;
  /** The header with that id, where an intact one was found. */
  readonly header: PrepareHeader | null;
  /**
   * durable: the prepare with this id is intact. faulty: it may have been acknowledged and is damaged; it is
   * repaired from peers, never nacked. missing: it was certainly never acknowledged from here.
   */
  readonly state: 'durable' | 'faulty' | 'missing';
  /**
   * Of a blank op: the header of the prepare that is intact here. Whether it is the one wanted is not known until
   * links from above lead to it.
   */
  readonly found?: PrepareHeader;
}

/** The log as a restart finds it. */
export interface RecoveredLog {
  /** Every op from 1 (later: above the checkpoint) to `head`, ascending, without gaps. */
  readonly slots: readonly RecoveredSlot[];
  /** Highest op of the log; 0 for an empty one. */
  readonly head: Op;
  /** False when a slot above the head cannot be decided: the replica then is in recovering head. */
  readonly headCertain: boolean;
}
