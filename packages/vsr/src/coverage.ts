/**
 * Branches of the protocol that tests must not miss: seldom taken, and wrong in many systems. A replica says at a port
 * which of them it takes; nobody listens in a running node, and what it does never depends on it.
 */
export const replicaMarks = [
  // Tables A and B: entering a view, and choosing its log.
  'suffix-stays-frozen',
  'held-in-memory-only',
  'damaged-neither-held-nor-nacked',
  'blank-op-reported',
  'nacked-head',
  'union-of-logs',
  'older-log-view-outranked',
  'waits-for-more-replicas',
  'inherited-bodies-fetched',
  'late-do-view-change-answered',
  'vote-in-an-older-view-answered',
  'vote-expired',
  'slept-through-heartbeats',
  'hand-over',
  // Table C: start_view.
  'late-start-view-ignored',
  'start-view-extends',
  'start-view-replaces-normal-log',
  'start-view-for-this-boot',
  'start-view-ends-uncertainty',
  // Tables D and E: after a boot.
  'restarted-as-primary',
  'restarted-in-view-change',
  'restarted-unsure-of-head',
  'restarted-alone',
  'damage-found-at-boot',
  'broken-chain-dropped',
  // Normal operation.
  'duplicate-prepare-acked-again',
  'prepare-came-too-early',
  'prepare-sent-again',
  'gave-up-silently',
  'heard-again',
  'primary-stuck-forfeits',
  'inherited-requests-indexed',
  'clock-outvoted',
  'clock-unsynchronized',
  // Table F: reads.
  'read-ordered-behind-request',
  'read-waits-for-state',
  'read-left-with-its-view',
  'read-expired',
  // Table G: sessions.
  'session-told-again',
  'outcome-told-again',
  'session-unknown-yet',
  'evicted',
  'evicted-to-make-room',
  'mismatch',
  'below-floor',
  'window-full',
  'overloaded',
  'waits-for-predecessor',
  'queued-then-refused',
  'applied-twice-skipped',
  // Checkpoints and state sync.
  'checkpoint-overtaken',
  'checkpoint-without-space',
  'checkpoint-damaged',
  'damaged-checkpoint-rewritten',
  'older-checkpoint-loaded',
  'log-trimmed',
  'state-sync',
  'state-sync-resumed',
  'checkpoint-gone-at-peer',
  'checkpoint-of-the-primary-alone',
  'checkpoint-installed',
  // A machine that came back without its memory.
  'fenced',
  'dead-incarnation-unheard',
  'restarted-without-memory',
  // Slots and repair.
  'write-waits-its-turn',
  'written-but-unwanted',
  'faulty-slot-rewritten',
  'blank-slot-recognized',
  'unreadable-at-runtime',
  'headers-fetched',
  'headers-read-from-log',
  'repair-asks-another-peer',
] as const;

export type ReplicaMark = (typeof replicaMarks)[number];
