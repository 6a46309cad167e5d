import { refuseQueued } from './pipeline.ts';
import { isNormalPrimary, isSoleVoter, type Replica, slotAt } from './replica.ts';
import { voteToLeave } from './view-change.ts';

// A disk that has no room, or takes very long. To the protocol both are writes that have not ended yet: nothing is
// acknowledged, the others go on, and the primary must not be the one that everybody waits for.

/** New requests are refused while there is no room; what is in the log already may still be committed by the others. */
export function onDiskFull<S>(r: Replica<S>, full: boolean): void {
  r.diskFull = full;
  if (full && isNormalPrimary(r)) refuseQueued(r, 'disk-full');
}

/**
 * Requests are refused, so nothing is prepared by which one could see whether the others have room: an op of nothing is.
 * Where they have, it is committed ahead of the own disk; where they have not, it waits with everything else.
 */
export function probeIfDiskFull<S>(r: Replica<S>): void {
  const { members } = r;
  const isIdle = r.head === r.commit && r.diskLag === null && members.queue.length === 0;
  if (r.diskFull && isIdle && isNormalPrimary(r) && !isSoleVoter(r)) members.queue = [{ type: 'nothing' }];
}

/**
 * The others have committed what the own disk still has not taken: they can do without this replica, and what is
 * prepared here would pile up in its memory. Where all disks are full, or slow alike, nothing is committed ahead of the
 * own, and the view stays.
 */
export function handOverIfDiskLags<S>(r: Replica<S>): void {
  const lag = r.diskLag;
  const isWriting = (op: number): boolean => slotAt(r, op).writing !== null;
  if (lag === null || !isWriting(lag.op)) {
    r.diskLag = isWriting(r.commit) ? { op: r.commit, atUs: r.now } : null;
    return;
  }
  if (r.now - lag.atUs < r.timing.diskLagMs * 1000) return;
  r.mark('slow-disk-hands-over');
  voteToLeave(r);
}
