import { type Canary, faults, plain, ploy, vsr } from './canary.ts';
import { deafBackup, deafPrimary, echoes } from './ploys.ts';
import { twoHiccups, viewsApart, votesOfBefore } from './ploys-clients.ts';
import { slowPeer } from './ploys-views.ts';

// Liveness and cost (pitfalls 28 to 35, and 55, 59 to 61).

export const liveness: readonly Canary[] = [
  {
    ...plain,
    id: '12b',
    name: 'start_view_changes of older views count in this one',
    patches: [
      vsr(
        'view-change',
        'export function onStartViewChange(r, m) {\n    if (m.view < r.view)',
        'export function onStartViewChange(r, m) {\n    if (m.view < r.view - 1)',
      ),
      vsr('view-change', '    r.votes.clear();\n    r.dvcs.clear();\n    r.stash', '    r.dvcs.clear();\n    r.stash'),
      vsr('view-change', 'if (live && vote.view === r.view)', 'if (live)'),
    ],
    caughtBy: { kind: 'orderly-views' },
    world: ploy(votesOfBefore),
  },
  {
    ...plain,
    id: '28',
    name: 'a heartbeat does not reset the timeout',
    patches: [vsr('normal', '        setHeartbeatTimeout(r, heartbeatTimeoutMs(r));\n', '')],
    caughtBy: { kind: 'liveness' },
    world: { ...faults('loss'), plan: { broken: [], simulatedSecondsMin: 9 } },
    fast: true,
  },
  {
    ...plain,
    id: '29',
    name: 'the timer of a view change is never set',
    patches: [
      vsr('view-change', "    setTimer(r, 'view-change', r.viewChangeDelayMs);\n}", '}'),
      vsr('view-change', "            setTimer(r, 'view-change', r.viewChangeDelayMs);\n", ''),
    ],
    caughtBy: { kind: 'liveness' },
    world: {
      ...faults('crash', 'isolate'),
      nodes: 5,
      plan: {
        weak: [0, 1],
        broken: [
          { replica: 0, how: 'down' },
          { replica: 1, how: 'down' },
        ],
      },
    },
  },
  {
    ...plain,
    id: '31a',
    name: 'a primary that hears nobody goes on heartbeating',
    patches: [vsr('normal', 'r.silent = true;', 'r.silent = false;')],
    caughtBy: { kind: 'liveness' },
    world: ploy(deafPrimary),
    fast: true,
  },
  {
    ...plain,
    id: '31b',
    name: 'one vote makes everybody vote',
    patches: [
      vsr(
        'view-change',
        'const handOver = isNormalBackup(r) && m.from === primaryOf(r, r.view);',
        'const handOver = isNormalBackup(r);',
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: ploy(deafBackup),
    fast: true,
  },
  {
    ...plain,
    id: '32a',
    name: 'whoever misses heartbeats goes on to the next view by itself',
    patches: [
      vsr(
        'view-change',
        "setTimer(r, 'heartbeat-timeout', jittered(r, voteResendMs));",
        'return enterView(r, r.view + 1);',
      ),
      vsr(
        'view-change',
        "setTimer(r, 'view-change', jittered(r, r.timing.viewChangeMs / 2));",
        'return enterView(r, r.view + 1);',
      ),
    ],
    caughtBy: { kind: 'orderly-views' },
    world: faults('isolate'),
    fast: true,
  },
  {
    ...plain,
    id: '32b',
    name: 'clients are told of the view in memory',
    patches: [vsr('send', 'const view = toView(r.durable.logView);', 'const view = toView(r.view);')],
    caughtBy: { kind: 'persistence' },
    world: faults('isolate', 'crash'),
    fast: true,
  },
  {
    ...plain,
    id: '32b.2',
    name: 'clients are told of a view that was only joined',
    patches: [vsr('send', 'const view = toView(r.durable.logView);', 'const view = toView(r.durable.view);')],
    caughtBy: { kind: 'persistence' },
    world: faults('isolate', 'crash'),
    fast: true,
  },
  {
    ...plain,
    id: '33',
    name: 'a commit waits for every replica, up to 50 ms',
    patches: [
      vsr(
        'commit',
        'sizeOf(r.acks.get(commit + 1) ?? 0) >= r.quorums.replication)',
        'sizeOf(r.acks.get(commit + 1) ?? 0) >= (r.now - (r.sent.get(commit + 1)?.atUs ?? 0) > 50_000 ? r.quorums.replication : r.replicaCount))',
      ),
      vsr(
        'normal',
        '    startRound(r);\n    startPrepares(r);',
        '    commitByAcks(r);\n    startRound(r);\n    startPrepares(r);',
      ),
    ],
    caughtBy: { kind: 'performance' },
    world: { type: 'degraded', nodes: 3, fault: 'dead' },
  },
  {
    ...plain,
    id: '34b',
    name: 'what was asked of a slow peer stays asked of it, and counts against all peers',
    patches: [
      vsr(
        'repair',
        'if (same && !isLate(r, pending.sentUs))\n        return;\n    if (same)\n        missed(r, pending.peer);\n    const attempts = same ? pending.attempts + 1 : 0;\n    if (attempts',
        'if (same)\n        return;\n    const attempts = 0;\n    if (attempts',
      ),
      vsr(
        'repair',
        'const busy = load.get(peer) ?? 0;',
        'const busy = [...load.values()].reduce((sum, count) => sum + count, 0);',
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: ploy(slowPeer),
  },
  {
    ...plain,
    id: '35a',
    name: 'the timer that sends prepares again is armed once',
    patches: [vsr('normal', "    disarm(r, 'prepare');\n", '')],
    caughtBy: { kind: 'liveness' },
    world: faults('loss'),
  },
  {
    ...plain,
    id: '35b',
    name: 'prepares are sent again at every tick',
    patches: [
      vsr('normal', 'prepare === null || r.now - sent.atUs < pauseMs * 1000', 'prepare === null'),
      vsr(
        'normal',
        "armTimer(r, 'prepare', jittered(r, r.timing.prepareResendMs));\n}",
        "armTimer(r, 'prepare', 0.1);\n}",
      ),
      vsr('pipeline', "armTimer(r, 'prepare', jittered(r, r.timing.prepareResendMs));", "armTimer(r, 'prepare', 0.1);"),
    ],
    caughtBy: { kind: 'performance' },
    world: { type: 'degraded', nodes: 3, fault: 'dead' },
  },
  {
    ...plain,
    id: '55',
    name: 'the bound on undecided ops leaves inherited ones out',
    patches: [
      vsr('pipeline', 'r.head - r.commit < pipelineMax', 'r.head - Math.max(r.commit, r.inherited) < pipelineMax'),
    ],
    caughtBy: { kind: 'pipeline-bound' },
    world: {
      ...faults('isolate', 'crash', 'loss'),
      plan: { workload: { keys: 8, window: 4, thinkUs: 2_000, plenty: 400, readRate: 0.1, sharedRate: 0 } },
    },
  },
  {
    ...plain,
    id: '59',
    name: 'a vote from a higher view is not followed',
    patches: [
      vsr(
        'view-change',
        '    if (m.view > r.view)\n        enterView(r, m.view);\n    hearBackup',
        '    if (m.view > r.view)\n        return;\n    hearBackup',
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: ploy(viewsApart),
  },
  {
    ...plain,
    id: '60a',
    name: 'votes never expire',
    patches: [
      vsr('view-change', 'const live = r.now - vote.receivedUs <= r.timing.voteWindowMs * 1000;', 'const live = true;'),
    ],
    caughtBy: { kind: 'liveness' },
    world: ploy(twoHiccups),
  },
  {
    ...plain,
    id: '60b.1',
    name: 'a start_view_change that is sent again counts as another replica',
    patches: [vsr('view-change', 'r.votes.set(m.from, {', 'r.votes.set(r.votes.size, {')],
    caughtBy: { kind: 'liveness' },
    world: ploy(deafBackup),
  },
  {
    ...plain,
    id: '60b.2',
    name: 'a prepare_ok that arrives twice counts as two replicas',
    patches: [
      vsr(
        'commit',
        'r.acks.set(op, withReplica(r.acks.get(op) ?? 0, replica));',
        'r.acks.set(op, ((r.acks.get(op) ?? 0) << 1) | 1);',
      ),
    ],
    // Witness: a commit with one backup's ack only, where the rule asks for a set of replicas.
    caughtBy: { kind: 'commit-quorum' },
    world: { ...faults('duplication', 'crash', 'isolate', 'partition'), nodes: 5 },
  },
  {
    ...plain,
    id: '60c',
    name: 'a heartbeat said before counts as a live primary',
    patches: [vsr('normal', 'if (m.number > r.heartbeatSeen) {', 'if (m.number >= 0) {')],
    caughtBy: { kind: 'liveness' },
    world: ploy(echoes),
    fast: true,
  },
  {
    ...plain,
    id: '61a',
    name: 'a primary listens for prepare_ok only, and asks to be replaced when it hears none',
    patches: [
      vsr(
        'normal',
        'if (!hearBackup(r, m.from, m.view))\n        return;\n    commitByBackup',
        'if (!isNormalPrimary(r) || m.view !== r.view)\n        return;\n    commitByBackup',
      ),
      vsr(
        'normal',
        'const waits = (r) => r.head > r.commit || r.confirmedRound < r.startedRound;',
        'const waits = () => true;',
      ),
      vsr('normal', 'r.silent = true;', 'r.silent = true;\n    voteToLeave(r);'),
    ],
    caughtBy: { kind: 'liveness' },
    world: { ...faults('loss'), plan: { broken: [], simulatedSecondsMin: 9 } },
    fast: true,
  },
  {
    ...plain,
    id: '61b',
    name: 'a primary that gave up goes on retransmitting, at the same pace, and its backups take that for life',
    patches: [
      vsr('normal', '    if (r.silent)\n        return;\n    for (let op', '    for (let op'),
      // One that gave up asks to be replaced, which alone would make up for it.
      vsr(
        'normal',
        "    if (r.silent) {\n        r.mark('silent-primary-votes');",
        '    if (r.silent) {\n        return;',
      ),
      vsr('normal', 'prepareResendCeilingMs, sent.attempts) * 0.8', 'prepareResendCeilingMs, 0) * 0.8'),
      vsr(
        'normal',
        '    commitByMessage(r, m.commit);\n    const { header } = m.prepare;',
        '    r.voted = false;\n    setHeartbeatTimeout(r, heartbeatTimeoutMs(r));\n    commitByMessage(r, m.commit);\n    const { header } = m.prepare;',
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: ploy(deafPrimary),
  },
];
