import { refuseQueued } from './pipeline.ts';
import { isNormalPrimary, isSoleVoter, type Replica } from './replica.ts';
import { setTimer } from './send.ts';
import { voteToLeave } from './view-change.ts';

// A graceful stop: the primary hands over before it leaves. A hint to the others and nothing more; what it does is
// an ordinary vote, and the view change that follows is an ordinary one.

export function onStop<S>(r: Replica<S>): void {
  if (r.stopping) return;
  r.stopping = true;
  if (!isNormalPrimary(r)) return emitStopped(r);
  refuseQueued(r, 'stopping');
  r.stopDeadlineUs = r.now + r.timing.stopMs * 1000;
  handOver(r);
}

/** Once nothing is in flight, asks to be replaced; again and again, until the next view has begun or the time is up. */
export function handOver<S>(r: Replica<S>): void {
  if (!r.stopping || r.stopped) return;
  if (r.now >= r.stopDeadlineUs) return emitStopped(r);
  setTimer(r, 'stop', r.timing.voteResendMs);
  if (!isNormalPrimary(r) || r.head > r.commit) return;
  if (isSoleVoter(r)) return emitStopped(r);
  voteToLeave(r);
}

/** Asked once: whoever wants it may see that nothing came of it, and ask again. */
export function onTransfer<S>(r: Replica<S>): void {
  if (isNormalPrimary(r) && !isSoleVoter(r)) voteToLeave(r);
}

/** The next view has begun, and this replica gave it its do_view_change if it was needed. */
export function finishStop<S>(r: Replica<S>): void {
  if (r.stopping && !isNormalPrimary(r)) emitStopped(r);
}

/** `step` says so behind everything else: after it the host takes no write any more. */
function emitStopped<S>(r: Replica<S>): void {
  r.stopped = true;
}
