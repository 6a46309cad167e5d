import type { FaultKind } from '@kimberlite/sim';
import { type Canary, faults, plain, ploy, sim, vsr, type World } from './canary.ts';
import { leavesTooSoon, missesTheEpoch } from './ploys-membership.ts';

// Changing the group (pitfall 68), and machines that take the place of others (64).

/** Where the members change all the time. */
const changing = (...others: readonly FaultKind[]): World => ({
  ...faults('change-members', ...others),
  plan: { meanIntervalUs: 250_000, broken: [], finalBlackout: false },
});

export const membership: readonly Canary[] = [
  {
    ...plain,
    id: '64a',
    name: 'a lost machine is replaced without a fence',
    patches: [vsr('members', "[...members.queue, { type: 'fence', replica, incarnation }, ...nothing,", '[...nothing,')],
    // Witness: the rule; what the old machine had said and is still under way does harm in very few orders.
    caughtBy: { kind: 'replacement', message: 'no fence' },
    world: faults('lose-machine', 'crash'),
  },
  {
    ...plain,
    id: '64b',
    name: 'a machine takes the place of a lost one in the view in which that was lost',
    patches: [vsr('durable-codec', 'options.view : options.view + 2)', 'options.view : options.view)')],
    caughtBy: { kind: 'replacement', message: 'has had the log of view' },
    world: faults('lose-machine', 'crash'),
  },
  {
    ...plain,
    id: '68a',
    name: 'a standby acknowledges, and its acks count',
    patches: [
      vsr('log-writes', 'if (!isVoter(r) || !isWhole(r))\n', 'if (!isWhole(r))\n'),
      vsr('normal', 'from === r.self || !isVoter(r, from))', 'from === r.self)'),
    ],
    // Witness: the ack itself; whether it is one of those that make a quorum is chance.
    caughtBy: { kind: 'epochs', message: 'has no vote in it' },
    world: changing('crash'),
  },
  {
    ...plain,
    id: '68b',
    name: 'the first primary of an epoch serves at once, without a view-change quorum of its group',
    patches: [
      vsr(
        'view-change',
        '    const { quorums, mark } = r;\n    const replicaCount',
        '    const { mark } = r;\n    const isFirst = r.group.epoch > 0 && r.logView === firstViewOf(r.group.epoch);\n    const quorums = isFirst ? { ...r.quorums, viewChange: 1 } : r.quorums;\n    const replicaCount',
      ),
    ],
    caughtBy: { kind: 'epochs', message: 'have come to it' },
    world: changing('crash'),
  },
  {
    ...plain,
    id: '68c',
    name: 'a primary prepares on behind a reconfiguration',
    patches: [vsr('pipeline', ' && !epochEnds(r);', ';')],
    caughtBy: { kind: 'epochs', message: 'behind the last op of its epoch' },
    world: changing('crash'),
  },
  {
    ...plain,
    id: '68d.1',
    name: 'a new voter acknowledges before it has everything from before its epoch',
    patches: [vsr('epoch', 'if (members.wholeEpoch === r.group.epoch)\n        return true;', 'return true;')],
    // Witness: what it has not when it acknowledges may be on no other disk once those who left are gone.
    caughtBy: { kind: 'epochs', message: 'before it, it has' },
    world: changing('isolate', 'crash', 'slow-disk'),
  },
  {
    ...plain,
    id: '68d.2',
    name: 'a new voter acknowledges before it has everything, and the only others who have it are gone',
    patches: [vsr('epoch', 'if (members.wholeEpoch === r.group.epoch)\n        return true;', 'return true;')],
    // The same bug by what it costs: acknowledged ops that are on no disk any more. That the ack came too soon is not
    // looked at here.
    ground: [sim('checkers/epochs', 'checkWhole(replica, message.view)', 'undefined')],
    caughtBy: { kind: 'nothing-lost' },
    // The first primary of these runs is replica 1, and it is the one that is lost.
    world: ploy(leavesTooSoon, {}, { weak: [1], broken: [{ replica: 1, how: 'down' }], mendsBroken: false }),
  },
  {
    ...plain,
    id: '68e',
    name: 'a message of a later epoch counts as one of a later view',
    patches: [vsr('step', 'if (epoch > r.group.epoch)\n            return askForEpoch(r, m.from);', '')],
    caughtBy: { kind: 'epochs', message: 'others have' },
    world: ploy(missesTheEpoch),
  },
  {
    ...plain,
    id: '68f',
    name: 'whoever misses the primary votes, whether it has a vote or not, and is counted',
    patches: [
      vsr('view-change', 'r.durable.view !== r.view || !isVoter(r))\n', 'r.durable.view !== r.view)\n'),
      vsr(
        'view-change',
        '    if (isVoter(r))\n        voteToLeave(r);\n    else\n        askEverybody(r);\n}',
        '    voteToLeave(r);\n}',
      ),
      vsr('view-change', '    if (!isVoter(r, m.from))\n        return;\n', ''),
    ],
    caughtBy: { kind: 'epochs', message: 'has no vote in it' },
    world: changing('isolate', 'crash'),
  },
];
