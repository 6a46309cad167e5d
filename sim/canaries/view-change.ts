import { base, busy, type Canary, faults, plain, ploy, vsr } from './canary.ts';
import { backInTurn, loneLogView, oldTailReturns, lastCopy, rots } from './ploys.ts';
import { lateRepair, primaryBlinks, writeOutlivesView } from './ploys-storage.ts';

// View changes (pitfalls 8 to 19).

export const viewChange: readonly Canary[] = [
  {
    ...plain,
    id: '8a',
    name: 'the longest log wins, whatever its log view',
    patches: [
      vsr(
        'select',
        'dvcs.filter((d) => d.logView === logView)',
        '[...dvcs].sort((a, b) => b.head - a.head).slice(0, 1)',
      ),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(oldTailReturns, busy),
  },
  {
    ...plain,
    id: '8b',
    name: 'logs are merged slot by slot, the prepare of the highest view in each',
    patches: [
      vsr('select', 'dvcs.filter((d) => d.logView === logView)', 'dvcs'),
      vsr(
        'select',
        'if (mark === null || mark.id === null)',
        'if (mark === null || mark.id === null || (header?.view ?? -1) > (mark.header?.view ?? -1))',
      ),
      vsr('select', 'header ??= mark.header', 'header = mark.header'),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(loneLogView('heard')),
  },
  {
    ...plain,
    id: '9a',
    name: 'an op that none of the replicas heard has intact is truncated without proof',
    patches: [vsr('select', 'nacks >= quorums.nack', '!dvcs.some((d) => heldBy(d, entry))')],
    caughtBy: { kind: 'agreement' },
    world: ploy(lastCopy(rots)),
  },
  {
    ...plain,
    id: '9b',
    name: 'one nack is enough to truncate',
    patches: [vsr('select', 'nacks >= quorums.nack', 'nacks >= 1')],
    caughtBy: { kind: 'agreement' },
    world: faults('isolate', 'crash', 'partition'),
  },
  {
    ...plain,
    id: '10',
    name: 'ids of prepares are never set, so any two are equal',
    patches: [
      base('prepare', 'const id = hasher(bytes.subarray(idBytes, prepareHeaderBytes));', "const id = '0'.repeat(32);"),
      base('prepare', 'hasher(bytes.subarray(idBytes, prepareHeaderBytes)) !== id', "id !== '0'.repeat(32)"),
    ],
    // Witness: the rule that is broken: an id is the checksum of what it names. What follows from equal ids comes
    // later.
    caughtBy: { kind: 'identity' },
    world: faults('isolate', 'partition', 'crash'),
  },
  {
    ...plain,
    id: '11',
    name: 'the new primary sends its do_view_change to itself, where it is dropped',
    patches: [
      vsr(
        'view-change',
        '    if (isPrimary(r))\n        onDoViewChange(r, message);\n    else\n        send(',
        '    send(',
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: faults('crash'),
    fast: true,
  },
  {
    ...plain,
    id: '12a',
    name: 'a prepare_ok counts whatever view it was sent in',
    patches: [
      vsr(
        'normal',
        'if (!hearBackup(r, m.from, m.view))\n        return;\n    if (idAt',
        'if (!isNormalPrimary(r))\n        return;\n    if (idAt',
      ),
    ],
    // Witness: commits are judged by the acks of one view at a time, so one that only acks of two views bear out is no
    // commit.
    caughtBy: { kind: 'commit-quorum' },
    world: ploy(loneLogView('unheard')),
  },
  {
    ...plain,
    id: '12c',
    name: 'do_view_changes of an older view count in this one',
    patches: [
      vsr('view-change', '    r.dvcs.clear();\n    r.stash', '    r.stash'),
      vsr('view-change', '    r.viewChangeAttempts = 0;\n    r.dvcs.clear();', '    r.viewChangeAttempts = 0;'),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(backInTurn),
  },
  {
    ...plain,
    id: '13b',
    name: 'the end of a write is acknowledged in whatever view and status it finds',
    patches: [vsr('log-writes', "r.status !== 'normal' || r.syncing", 'r.syncing')],
    caughtBy: { kind: 'persistence' },
    world: ploy(writeOutlivesView),
  },
  {
    ...plain,
    id: '14',
    name: 'prepare_ok goes to the primary that made the prepare, in its view',
    patches: [
      vsr(
        'log-writes',
        'send(r, primaryOf(r, r.view), {',
        'send(r, primaryOf(r, r.log.get(op)?.header?.view ?? r.view), {',
      ),
      vsr(
        'log-writes',
        'view: toView(r.view),\n        op: toOp(op)',
        'view: toView(r.log.get(op)?.header?.view ?? r.view),\n        op: toOp(op)',
      ),
    ],
    // Witness: the ack that lets an old primary commit speaks for a view its sender has left, so its view goes back in
    // what it says; that comes before anything is committed twice.
    caughtBy: { kind: 'never-back' },
    world: faults('isolate', 'partition', 'crash'),
  },
  {
    ...plain,
    id: '15',
    name: 'a new primary takes the tail it inherits for committed',
    patches: [vsr('view-change', '    r.inherited = r.head;', '    r.inherited = r.head;\n    r.commit = r.head;')],
    // Witness: the new primary claims a commit that no acks and disks of its view bear out.
    caughtBy: { kind: 'commit-quorum' },
    world: ploy(loneLogView('unheard')),
  },
  {
    ...plain,
    id: '16',
    name: 'a primary that restarts goes on in its view',
    patches: [
      vsr(
        'recovery',
        "import { extendLinks } from './repair.js';",
        "import { extendLinks, startRepair } from './repair.js';",
      ),
      vsr(
        'recovery',
        "r.mark('restarted-as-primary');",
        "r.mark('restarted-as-primary');\n            becomeNormal(r);\n            for (let op = r.commit + 1; op <= r.head; op++) r.acks.set(op, 1 << r.self);\n            setTimer(r, 'heartbeat', r.timing.heartbeatMs);\n            return startRepair(r);",
      ),
      vsr(
        'pipeline',
        'assert(prepare !== undefined, () => `the primary serves without op ${op}`);',
        'if (prepare === undefined)\n            return;',
      ),
    ],
    // Witness: after its boot it answers as the primary without having begun a view, which is to go on in the old one.
    caughtBy: { kind: 'effects' },
    world: ploy(primaryBlinks),
  },
  {
    ...plain,
    id: '17b',
    name: 'a timestamp is what the clock says, not more than the one before',
    patches: [vsr('clock', 'Math.max(Math.floor(bounded), r.timestamp + 1)', 'Math.floor(bounded)')],
    caughtBy: { kind: 'timestamps' },
    world: faults('skew', 'crash', 'isolate'),
    fast: true,
  },
  {
    ...plain,
    id: '18',
    name: 'repair takes any prepare for the op it wants, during view changes too',
    patches: [
      vsr('repair', 'header.op > r.head || idAt(r, header.op) !== header.id)', 'header.op > r.head)'),
      vsr('repair', "(r.status === 'view-change' && r.phase === 'fetching')", "r.status === 'view-change'"),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(lateRepair),
  },
  {
    ...plain,
    id: '19',
    name: 'a prepare that is known is thrown away, so that a lost prepare_ok is not sent again',
    patches: [
      vsr(
        'normal',
        '    if (header.op <= r.head)\n        onKnownPrepare(r, m);',
        '    if (header.op <= r.head)\n        return;',
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: faults('loss'),
  },
];
