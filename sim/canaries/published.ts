import { type Canary, faults, plain, ploy, sim, vsr } from './canary.ts';
import { inMemoryOnly } from './ploys.ts';
import { viewWithoutLog } from './ploys-views.ts';

// Known defects of the published protocol (pitfalls 1 to 7).

export const published: readonly Canary[] = [
  {
    ...plain,
    id: '1a',
    name: 'a replica that asks for the log of a newer view first cuts its own back to its commit number',
    patches: [
      vsr(
        'view-change',
        '    r.askingView = view;',
        '    for (let op = r.commit + 1; op <= r.head; op++) {\n        dropEntry(r, op);\n        r.slots.delete(op);\n    }\n    r.head = Math.min(r.head, r.commit);\n    r.suffix = r.suffix.filter(({ op }) => op <= r.commit);\n    r.askingView = view;',
      ),
    ],
    caughtBy: { kind: 'agreement' },
    world: { ...ploy(inMemoryOnly('young')), nodes: 5 },
  },
  {
    ...plain,
    id: '2',
    name: 'a view counts as log view once it is left, whether its log was ever installed or not',
    patches: [
      vsr(
        'view-change',
        '    leaveView(r);\n    r.view = view;',
        '    leaveView(r);\n    r.logView = r.view;\n    r.view = view;',
      ),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(viewWithoutLog),
  },
  {
    ...plain,
    id: '3a',
    name: 'the commit number follows every message, also a stale one',
    patches: [vsr('commit', 'if (known <= r.commit)', 'if (known === r.commit)')],
    caughtBy: { kind: 'never-back' },
    world: faults('reordering', 'replay'),
    fast: true,
  },
  {
    ...plain,
    id: '3b',
    name: 'a start_view of an older view is installed',
    patches: [
      vsr(
        'view-change',
        'if (m.view < r.view || m.from !== primaryOf(r, m.view) || m.from === r.self)',
        'if (m.from !== primaryOf(r, m.view) || m.from === r.self)',
      ),
    ],
    caughtBy: { kind: 'never-back' },
    world: faults('reordering', 'replay', 'isolate', 'crash'),
  },
  {
    ...plain,
    id: '4',
    name: 'the view is kept in memory alone: superblock writes end without having been made',
    patches: [
      vsr(
        'superblock',
        "r.out.push({ type: 'flush-to-disk', sequence: r.flushSequence, state });",
        'onSuperblockWritten(r, r.flushSequence);',
      ),
    ],
    caughtBy: { kind: 'persistence' },
    world: faults('isolate', 'crash'),
    fast: true,
  },
  {
    ...plain,
    id: '5',
    name: 'whoever restarts waits for a running primary to tell it the log',
    patches: [
      vsr('recovery', "if (action === 'recovering-head')", 'if (r.group.voters.length > 1 && r.recovered.head > 0)'),
    ],
    caughtBy: { kind: 'liveness' },
    world: faults('crash-all'),
    fast: true,
  },
  {
    ...plain,
    id: '7a',
    name: 'a client that crashed comes back under its old name and counts its requests from one',
    patches: [
      sim(
        'sdk-client',
        'scheduler.random(`sdk client ${index} boot ${this.boots}`)',
        'scheduler.random(`sdk client ${index}`)',
      ),
      vsr('sessions', "outcome.checksum === request.checksum ? 'same' : 'other'", "'same'"),
    ],
    caughtBy: { kind: 'nothing-lost' },
    world: { ...faults('client-crash'), plan: { clients: ['sdk', 'sdk', 'sdk'] } },
  },
];
