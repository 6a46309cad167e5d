import { randomFloat } from '@kimberlite/base';
import type { Replica } from './replica.ts';

/** Durations of the protocol, in milliseconds. They change how soon things happen, never what happens. */
export interface Timing {
  readonly heartbeatMs: number;
  /** Least silence after which a backup votes to leave the view. */
  readonly heartbeatTimeoutFloorMs: number;
  readonly heartbeatTimeoutCeilingMs: number;
  /** Silence tolerated, as a multiple of the longest recent gap between heartbeats. */
  readonly heartbeatGapFactor: number;
  /** Pause between two transmissions of one's own vote. */
  readonly voteResendMs: number;
  /** Life of somebody else's vote. */
  readonly voteWindowMs: number;
  readonly viewChangeMs: number;
  readonly viewChangeCeilingMs: number;
  readonly doViewChangeResendMs: number;
  readonly prepareResendMs: number;
  readonly prepareResendCeilingMs: number;
  /** A primary that waits and hears no quorum for so long gives up. */
  readonly abdicateMs: number;
  /** A primary that has committed ops to apply and gets none applied for so long gives up. */
  readonly forfeitMs: number;
  /** A primary whose own disk lags so long behind what the others' have made committed hands over. */
  readonly diskLagMs: number;
  readonly requestStartViewMs: number;
  readonly repairMs: number;
  /** A repair request unanswered for so long goes to another peer. */
  readonly repairTimeoutMs: number;
  /** Until a checkpoint for which there was no space is tried again. */
  readonly checkpointRetryMs: number;
  readonly pingMs: number;
  /** Pause between pings until the clocks agree. */
  readonly pingUnsynchronizedMs: number;
  readonly clockSampleLifeMs: number;
  /** How far two good clocks may be apart, network delay aside. */
  readonly clockToleranceMs: number;
  readonly queryTimeoutMs: number;
  readonly queryExpiryMs: number;
  /** Between two slices of the state that are looked through for damage, and from its end to its beginning. */
  readonly auditMs: number;
  readonly auditRestMs: number;
  /** Bound on the hand-over of a stopping primary. */
  readonly stopMs: number;
  readonly retryAfterMs: number;
}

export const defaultTiming: Timing = {
  heartbeatMs: 40,
  heartbeatTimeoutFloorMs: 200,
  heartbeatTimeoutCeilingMs: 1000,
  heartbeatGapFactor: 3,
  voteResendMs: 60,
  voteWindowMs: 500,
  viewChangeMs: 300,
  viewChangeCeilingMs: 4000,
  doViewChangeResendMs: 80,
  prepareResendMs: 100,
  prepareResendCeilingMs: 1000,
  abdicateMs: 500,
  forfeitMs: 2000,
  diskLagMs: 1000,
  requestStartViewMs: 50,
  repairMs: 30,
  repairTimeoutMs: 150,
  checkpointRetryMs: 1000,
  pingMs: 500,
  pingUnsynchronizedMs: 40,
  clockSampleLifeMs: 10_000,
  clockToleranceMs: 1000,
  queryTimeoutMs: 2000,
  queryExpiryMs: 100,
  auditMs: 25,
  auditRestMs: 1000,
  stopMs: 1500,
  retryAfterMs: 50,
};

/** Up to a quarter longer, so that replicas never act in step (pitfall 30). */
export function jittered<S>(r: Replica<S>, delayMs: number): number {
  return Math.ceil(delayMs * (1 + randomFloat(r.random) / 4));
}

/** Doubles per attempt, up to the ceiling, with jitter. */
export function backedOff<S>(r: Replica<S>, delayMs: number, ceilingMs: number, attempts: number): number {
  return jittered(r, Math.min(ceilingMs, delayMs * 2 ** Math.min(attempts, 16)));
}

/** Adaptive: a machine that stalls now and then is not taken for a dead one, within the ceiling. */
export function heartbeatTimeoutMs<S>(r: Replica<S>): number {
  const { heartbeatTimeoutFloorMs, heartbeatTimeoutCeilingMs, heartbeatGapFactor } = r.timing;
  const wanted = (r.heartbeatGapUs / 1000) * heartbeatGapFactor;
  return jittered(r, Math.min(heartbeatTimeoutCeilingMs, Math.max(heartbeatTimeoutFloorMs, wanted)));
}
