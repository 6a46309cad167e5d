import { assert, replicaId, replicasMax, view as toView } from '@kimberlite/base';
import { onPingTimer } from './clock.ts';
import { forgetReported } from './checkpoint.ts';
import { forgetTestimony } from './divergence.ts';
import { type Group, type Membership, membersOf, quorumsOfGroup } from './group.ts';
import { acknowledge } from './log-writes.ts';
import { refuseToBeSecond } from './members.ts';
import type { NewEpochMessage } from './message.ts';
import { isDurableAt, isMember, isVoter, type Replica } from './replica.ts';
import { send } from './send.ts';
import { beginEpoch } from './view-change.ts';

// From one group to the next (VRR section 7). The last op of an epoch is committed by the group of that epoch, and
// names the next. Whoever knows that enters the new epoch in a view change of its own, with a log that ends at that op:
// so its first primary is chosen by a view-change quorum of the new group, like every other.

/** Told by an op that was applied, or by a replica that is there already. At the end of a step, when nothing else is half done. */
export function enterNextEpoch<S>(r: Replica<S>): void {
  const { next } = r.members;
  r.members.next = null;
  if (next === null || next.group.epoch <= r.group.epoch) return;
  const { group, boundary } = next;
  assert(boundary !== null, 'an epoch but the first begins with an op');
  assert(boundary.op >= r.commit, () => `op ${r.commit} is committed behind the end of its epoch`);
  refuseToBeSecond(r, r.self, group.incarnations[r.self] ?? 0);
  r.mark(isMember(r) ? 'epoch-entered' : 'left-the-group');
  const before = membersOf(r.group);
  forgetOthers(r, group);
  const told = [...new Set([...before, ...membersOf(group)])].filter((replica) => replica !== r.self);
  r.group = group;
  r.boundary = boundary;
  r.quorums = quorumsOfGroup(group);
  r.members.former = before.filter((replica) => !membersOf(group).includes(replica));
  for (let replica = 0; replica < r.heardUs.length; replica++) if (!isVoter(r, replica)) forgetReported(r, replica);
  beginEpoch(r, boundary);
  // It may have been alone before.
  onPingTimer(r);
  r.out.push({ type: 'group-changed', membership: next });
  r.out.push({ type: 'broadcast', to: told.map(replicaId), message: newEpoch(r, next) });
}

/** Whoever comes or goes, or is another machine now: what was said under that number is nobody's word any more. */
function forgetOthers<S>(r: Replica<S>, group: Group): void {
  for (let replica = 0; replica < replicasMax; replica++) {
    const isOther = (group.incarnations[replica] ?? 0) > (r.group.incarnations[replica] ?? 0);
    const isSteady = isMember(r, replica) === membersOf(group).includes(replica);
    if (replica === r.self || (isSteady && !isOther)) continue;
    forgetTestimony(r, replica);
    r.samples.delete(replica);
    r.misses[replica] = 0;
  }
}

const newEpoch = <S>(r: Replica<S>, membership: Membership): NewEpochMessage => ({
  type: 'new-epoch',
  from: r.self,
  membership,
});

/** Somebody speaks for an epoch that is over. */
export function answerOldEpoch<S>(r: Replica<S>, to: number): void {
  if (r.boundary === null) return;
  r.mark('old-epoch-answered');
  send(r, to, newEpoch(r, { group: r.group, boundary: r.boundary }));
}

/** Somebody speaks for an epoch that this replica does not know: its answer to any message of this one says all. */
export function askForEpoch<S>(r: Replica<S>, from: number): void {
  send(r, from, { type: 'request-start-view', from: r.self, view: toView(r.durable.view), nonce: r.nonce });
}

export function onNewEpoch<S>(r: Replica<S>, { membership }: NewEpochMessage): void {
  const { group, boundary } = membership;
  const known = r.members.next?.group.epoch ?? r.group.epoch;
  if (group.epoch <= known || boundary === null) return;
  r.mark('epoch-told-by-another');
  r.members.next = membership;
}

// Whether an ack of this replica may count in its epoch.

/**
 * Everything up to the beginning of the epoch is durable here. Until then no ack leaves: so a first commit of the
 * epoch says that a quorum of the new group has it all, and that those who left are not needed any more.
 */
export function isWhole<S>(r: Replica<S>): boolean {
  const { members, boundary } = r;
  if (members.wholeEpoch === r.group.epoch) return true;
  if (boundary === null || r.syncing !== null || r.durable.replaced) return false;
  // A checkpoint has what lies below it, also while it is still being read; and the log there may be damaged for good.
  const whole = r.durable.checkpoints.find(({ checksum }) => !r.checkpointing.damaged.has(checksum))?.header.op ?? 0;
  if (whole < boundary.op) {
    if (!r.stateLoaded || r.applied < boundary.op) return false;
    const low = Math.max(r.logLow, whole);
    for (let op: number = boundary.op; op > low; op--) if (!isDurableAt(r, op)) return false;
  }
  members.wholeEpoch = r.group.epoch;
  return true;
}

/** Something became durable or was applied: acks that were held back may leave. */
export function noteWhole<S>(r: Replica<S>): void {
  if (r.members.wholeEpoch === r.group.epoch || r.status !== 'normal' || !isWhole(r)) return;
  r.mark('whole-for-its-epoch');
  for (let op = r.commit + 1; op <= r.head; op++) acknowledge(r, op);
}
