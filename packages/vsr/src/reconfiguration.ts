import { replicasMax } from '@kimberlite/base';
import { addressBytesMax, type Group, membersOf, quorumsOfGroup } from './group.ts';
import { isWhole } from './epoch.ts';
import { isChanging, isHeard, lowestLiving, silenceMs } from './members.ts';
import { startPrepares, whyNotServing } from './pipeline.ts';
import { isMember, isVoter, type Replica } from './replica.ts';

// Changing the group, at its primary: what is asked for is checked against what the primary knows, and refused with the
// reason and what to do first. What passes is one op of the log, and the last of its epoch.

export type MemberChange =
  /** A new replica, without a vote until it is promoted. */
  | { readonly type: 'add'; readonly replica: number; readonly address: string }
  /** A standby that has caught up gets a vote. */
  | { readonly type: 'promote'; readonly replica: number }
  | { readonly type: 'remove'; readonly replica: number }
  /** The standby `by` votes instead of `replica`, which leaves: in one step, so that the group is never smaller. */
  | { readonly type: 'replace'; readonly replica: number; readonly by: number };

type Refused = { readonly ok: false; readonly reason: string; readonly again: boolean };
type Proposal = { readonly ok: true; readonly group: Group } | Refused;

const no = (reason: string): Refused => ({ ok: false, reason, again: false });
const notYet = (reason: string): Refused => ({ ok: false, reason, again: true });

/** Ops that a standby may be behind the primary when it gets its vote. */
const lagMax = 256;

export function onChangeMembers<S>(r: Replica<S>, change: MemberChange, ticket: number, dryRun: boolean): void {
  const proposal = propose(r, change);
  if (!proposal.ok) {
    r.out.push({ type: 'members-changed', ticket, result: proposal });
    return;
  }
  const { group } = proposal;
  if (dryRun) {
    r.out.push({ type: 'members-changed', ticket, result: { ok: true, membership: { group, boundary: null } } });
    return;
  }
  r.members.changing = { ticket, op: null };
  r.members.queue = [...r.members.queue, { type: 'reconfigure', group }];
  startPrepares(r);
}

function propose<S>(r: Replica<S>, change: MemberChange): Proposal {
  const reason = whyNotServing(r);
  if (reason !== null) return notYet(`this replica does not serve just now (${reason}); ask the primary`);
  if (isChanging(r)) return notYet('another change of the members is under way; try again when it is done');
  switch (change.type) {
    case 'add':
      return add(r, change.replica, change.address);
    case 'promote':
      return promote(r, change.replica);
    case 'remove':
      return remove(r, change.replica);
    case 'replace':
      return replace(r, change.replica, change.by);
  }
}

/** The primary of now comes first, so that it goes on. */
function next<S>(r: Replica<S>, voters: readonly number[], standbys: readonly number[]): Group {
  const { epoch, incarnations, addresses } = r.group;
  const at = Math.max(0, voters.indexOf(r.self));
  return {
    epoch: epoch + 1,
    voters: [...voters.slice(at), ...voters.slice(0, at)],
    standbys: [...standbys].sort((a, b) => a - b),
    incarnations: incarnations.map((_, replica) => lowestLiving(r, replica)),
    addresses,
  };
}

function add<S>(r: Replica<S>, replica: number, address: string): Proposal {
  if (isMember(r, replica)) {
    return no(
      `replica ${replica} is a member already; if its machine was lost, run \`kimberlite recover\` on the new one`,
    );
  }
  if (!Number.isInteger(replica) || replica < 0 || replica >= replicasMax) {
    return no(`a cluster has replicas 0 to ${replicasMax - 1}`);
  }
  if (address.length === 0 || address.length > addressBytesMax) return no('its peer address is missing or too long');
  if (membersOf(r.group).some((other) => r.group.addresses[other] === address)) {
    return no(`another member has the address ${address}`);
  }
  const group = next(r, r.group.voters, [...r.group.standbys, replica]);
  // Whoever had this id before is another machine.
  const incarnations = group.incarnations.map((lowest, i) => (i === replica ? lowest + 1 : lowest));
  const addresses = group.addresses.map((known, i) => (i === replica ? address : known));
  return { ok: true, group: { ...group, incarnations, addresses } };
}

/** Null: it may vote. */
function whyNotReady<S>(r: Replica<S>, replica: number): Refused | null {
  if (!r.group.standbys.includes(replica)) {
    return no(
      `replica ${replica} is no standby; see \`kimberlite member list\`, and add it with \`kimberlite member add\``,
    );
  }
  const heard = r.members.heard.get(replica);
  if (heard === undefined || r.now - heard.atUs > silenceMs * 1000) {
    return notYet(`replica ${replica} was not heard for ${silenceMs / 1000} s; start its node first`);
  }
  if (heard.applied + lagMax >= r.commit && heard.applied > 0) return null;
  return notYet(`replica ${replica} has not caught up: it is at op ${heard.applied} of ${r.commit}`);
}

function promote<S>(r: Replica<S>, replica: number): Proposal {
  const { voters, standbys } = r.group;
  if (isVoter(r, replica)) return no(`replica ${replica} has a vote already`);
  const refused = whyNotReady(r, replica);
  if (refused !== null) return refused;
  return guarded(
    r,
    next(
      r,
      [...voters, replica],
      standbys.filter((other) => other !== replica),
    ),
  );
}

function remove<S>(r: Replica<S>, replica: number): Proposal {
  const { voters, standbys } = r.group;
  if (!isMember(r, replica)) return no(`replica ${replica} is no member of the cluster`);
  if (!isVoter(r, replica))
    return {
      ok: true,
      group: next(
        r,
        voters,
        standbys.filter((other) => other !== replica),
      ),
    };
  if (replica === r.self) return no('it is the primary; move that to another replica first: `kimberlite transfer`');
  return guarded(
    r,
    next(
      r,
      voters.filter((other) => other !== replica),
      standbys,
    ),
  );
}

function replace<S>(r: Replica<S>, replica: number, by: number): Proposal {
  const { voters, standbys } = r.group;
  if (!isVoter(r, replica)) return no(`replica ${replica} has no vote that another could take over`);
  if (replica === r.self) return no('it is the primary; move that to another replica first: `kimberlite transfer`');
  const refused = whyNotReady(r, by);
  if (refused !== null) return refused;
  const without = standbys.filter((other) => other !== by);
  return guarded(
    r,
    next(
      r,
      voters.map((other) => (other === replica ? by : other)),
      without,
    ),
  );
}

const isDamaged = <S>(r: Replica<S>): boolean =>
  r.damaged.size > 0 || r.mending.prepares.size > 0 || r.checkpointing.damaged.size > 0 || !isWhole(r);

/** Those that would vote and are heard must be a quorum, for every decision there is: or the next epoch never begins. */
function guarded<S>(r: Replica<S>, group: Group): Proposal {
  const { replication, viewChange } = quorumsOfGroup(group);
  const silent = group.voters.filter((replica) => !isHeard(r, replica));
  if (group.voters.length === 1 && isDamaged(r)) {
    return notYet('the disk of the only one left is damaged, and being repaired from the others');
  }
  const needed = Math.max(replication, viewChange);
  if (group.voters.length - silent.length >= needed) return { ok: true, group };
  return notYet(
    `of the ${group.voters.length} that would vote ${needed} must be up, and replica ${silent.join(', ')} is not heard: ` +
      'start it, or recover or replace it first',
  );
}
