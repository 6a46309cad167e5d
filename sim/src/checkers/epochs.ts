import type { PrepareHeader } from '@kimberlite/base';
import { epochOf, type Group, type Membership, type Message, quorumsOf, systemOpIn } from '@kimberlite/vsr';
import { type Checker, describeHeader, type Fail, type World } from './checker.ts';
import type { Commits } from './commits.ts';
import type { Groups } from './groups.ts';
import type { Disks } from './platters.ts';
import type { KnownPrepare, Prepares } from './prepares.ts';

const describeGroup = ({ epoch, voters, standbys }: Group): string =>
  `epoch ${epoch}, voters ${voters.join(' ')}, standbys ${standbys.join(' ') || 'none'}`;

/** The group that a prepare makes, if it is the last op of its epoch. */
function groupMadeBy({ header, bytes }: KnownPrepare): Group | null {
  const system = bytes === null ? null : systemOpIn({ header, bytes });
  return system?.type === 'reconfigure' ? system.group : null;
}

/**
 * From one group to the next (VRR section 7), judged by the disks and by what leaves.
 * - An epoch has one group, on every disk, and one op that made it, which a quorum of the group before has committed.
 * - Behind the last op of an epoch nothing of that epoch is prepared.
 * - In later epochs a primary speaks only after a view-change quorum of the group of its epoch has been in its view.
 * - Only voters acknowledge, vote and send do_view_change; and in an epoch that was not the first a replica
 *   acknowledges nothing before it has everything up to the beginning of that epoch: whoever left is asked no more.
 */
export function epochs(
  world: World,
  { groups, disks, prepares, commits }: { groups: Groups; disks: Disks; prepares: Prepares; commits: Commits },
  fail: Fail,
): Checker {
  /** By replica: the highest view that was synced. A machine that is replaced goes on from there. */
  const views: number[] = [];
  /** Views to which a quorum has come. */
  const begun = new Set<number>();
  /** By replica: epochs for which it was seen to have everything. */
  const whole: Set<number>[] = [];
  /** By the id of the prepare: the group it makes. */
  const reconfigurations = new Map<string, Group>();

  groups.onNew((replica, { group, boundary }: Membership) => {
    const what = `replica ${replica} is in ${describeGroup(group)}`;
    if (boundary === null) return fail('epochs', `${what}, which no op has made`);
    commits.claim(boundary.op, () => `${what}, made by op ${boundary.op}`);
    const committed = commits.at(boundary.op);
    if (committed !== undefined && committed.id !== boundary.id) {
      return fail('epochs', `${what}, made by ${describeHeader(boundary)}; op ${boundary.op} is ${committed.id}`);
    }
    const made = reconfigurations.get(boundary.id);
    if (made !== undefined && describeGroup(made) === describeGroup(group)) return;
    fail('epochs', `${what}, and op ${boundary.op} makes ${made === undefined ? 'none' : describeGroup(made)}`);
  });
  groups.onClash((replica, { view, membership }) => {
    const group = membership === null ? 'that of the founders' : describeGroup(membership.group);
    const known = describeGroup(groups.of(view));
    fail('epochs', `replica ${replica} is in view ${view} with the group ${group}; others have ${known}`);
  });

  const checkBehind = (last: PrepareHeader, group: Group, next: PrepareHeader): void => {
    if (epochOf(next.view) >= group.epoch) return;
    fail('epochs', `${describeHeader(next)} is prepared behind the last op of its epoch, ${describeHeader(last)}`);
  };
  prepares.onNew((known) => {
    const { id, parent } = known.header;
    const group = groupMadeBy(known);
    if (group !== null) {
      reconfigurations.set(id, group);
      for (const next of prepares.after(id)) checkBehind(known.header, group, next.header);
    }
    const before = reconfigurations.get(parent);
    const last = prepares.get(parent);
    if (before !== undefined && last !== undefined) checkBehind(last.header, before, known.header);
  });

  /** A view of a later epoch is served only after those who may choose its log have come to it. */
  const checkBegun = (replica: number, view: number, type: string): void => {
    if (epochOf(view) === 0 || begun.has(view)) return;
    const voters = groups.votersOf(view);
    const there = voters.filter((voter) => (views[voter] ?? 0) >= view).length;
    if (there >= quorumsOf(voters.length).viewChange) begun.add(view);
    else fail('epochs', `replica ${replica} sends ${type} of view ${view}, and ${there} of its voters have come to it`);
  };

  /** Everything up to the beginning of the epoch lies on that disk. */
  const checkWhole = (replica: number, view: number): void => {
    const boundary = groups.boundaryOf(view);
    const seen = (whole[replica] ??= new Set());
    if (boundary === null || seen.has(epochOf(view))) return;
    seen.add(epochOf(view));
    const covered = world.superblock(replica).checkpoint;
    for (let op = boundary.op; op > covered; op--) {
      const id = commits.at(op)?.id;
      const bytes = (id === undefined ? undefined : prepares.get(id))?.bytes ?? null;
      const found = bytes === null ? 'synced' : disks.lookUp(replica, op, bytes);
      if (found === 'synced' || found === 'damaged') continue;
      return fail(
        'epochs',
        `replica ${replica} acknowledges ops of view ${view}; of op ${op}, before it, it has: ${found}`,
      );
    }
  };

  const checkVoter = (replica: number, view: number, type: string): void => {
    if (groups.votersOf(view).includes(replica)) return;
    fail('epochs', `replica ${replica} sends ${type} of view ${view}, and has no vote in it`);
  };

  return {
    name: 'epochs',
    wiped: (replica) => void whole[replica]?.clear(),
    superblockSynced: (replica, { view }) => {
      views[replica] = Math.max(views[replica] ?? 0, view);
    },
    sentTypes: ['prepare', 'heartbeat', 'start-view', 'prepare-ok', 'start-view-change', 'do-view-change'],
    sent: (replica, message: Message) => {
      switch (message.type) {
        case 'prepare':
        case 'heartbeat':
        case 'start-view':
          return checkBegun(replica, message.view, message.type);
        case 'prepare-ok':
          checkVoter(replica, message.view, message.type);
          return checkWhole(replica, message.view);
        case 'start-view-change':
        case 'do-view-change':
          return checkVoter(replica, message.view, message.type);
        default:
          return;
      }
    },
  };
}
