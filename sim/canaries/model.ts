import { busy, type Canary, log, plain, ploy, vsr } from './canary.ts';
import { hole, inMemoryOnly, oldTailHeals } from './ploys.ts';
import { ghostTail, lateStartView, prepareComesTwice } from './ploys-storage.ts';
import { sentAgainInNextView } from './ploys-views.ts';

// Found in a model of this protocol with one rule left out at a time (pitfalls 45 to 67).

export const model: readonly Canary[] = [
  {
    ...plain,
    id: '45',
    name: 'a duplicate of a prepare is acknowledged while the first one is being written',
    patches: [
      vsr(
        'normal',
        'if (isDurableAt(r, header.op)) {',
        'if (isDurableAt(r, header.op) || bodyAt(r, header.op) !== null) {',
      ),
      vsr('normal', 'return acknowledge(r, header.op);', 'return acknowledge(r, header.op, true);'),
      vsr('log-writes', 'export function acknowledge(r, op) {', 'export function acknowledge(r, op, sure = false) {'),
      vsr('log-writes', 'op > r.head || !isDurableAt(r, op))', 'op > r.head || !(sure || isDurableAt(r, op)))'),
    ],
    // Witness: the ack leaves while its prepare is being written.
    caughtBy: { kind: 'persistence' },
    world: ploy(prepareComesTwice),
  },
  {
    ...plain,
    id: '47',
    name: 'recovery stops at the first hole',
    patches: [
      vsr(
        'recovery',
        'const { slots, head } = r.recovered;',
        "const found = r.recovered;\n    const hole = found.slots.find((slot) => slot.state !== 'durable' && slot.op > r.durable.commit);\n    const head = hole === undefined ? found.head : hole.op - 1;\n    const slots = found.slots.slice(0, head);",
      ),
    ],
    // Witness: what lies above the hole was acknowledged, and the next do_view_change disowns it.
    caughtBy: { kind: 'nacks' },
    world: ploy(hole('split')),
  },
  {
    ...plain,
    id: '48',
    name: 'a start_view clears the fault marks of the slots it names',
    patches: [
      vsr(
        'view-change',
        'for (const { op, id, header } of suffix) {\n        if (op <= r.commit)',
        'for (const { op, id, header } of suffix) {\n        r.slots.set(op, { ...slotAt(r, op), faulty: false });\n        if (op <= r.commit)',
      ),
    ],
    caughtBy: { kind: 'agreement' },
    world: { ...ploy(inMemoryOnly('rot')), nodes: 5 },
  },
  {
    ...plain,
    id: '49',
    name: 'a start_view of the current view is installed, also a delayed one',
    patches: [
      vsr('view-change', "f.sameView && !f.longer, action: 'ignore'", "f.sameView && !f.longer, action: 'install'"),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(lateStartView),
  },
  {
    ...plain,
    id: '51',
    name: 'any one do_view_change of the highest log view is taken, not their union',
    patches: [
      vsr('select', 'dvcs.filter((d) => d.logView === logView)', 'dvcs.filter((d) => d.logView === logView).slice(-1)'),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(hole('split')),
  },
  {
    ...plain,
    id: '52.1',
    name: 'after a restart the head is the highest intact prepare on the disk, of whatever view',
    patches: [
      log('recovery', "header.header.view === logView ? 'current' : 'other'", "'current'"),
      log(
        'recovery',
        "record.state === 'header' && record.header.view === wanted.logView",
        "record.state === 'header'",
      ),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(ghostTail),
  },
  {
    ...plain,
    id: '53',
    name: 'prepare_ok counts for every op below it too',
    patches: [
      vsr(
        'normal',
        'countAck(r, m.op, m.from);',
        'for (let op = r.commit + 1; op <= m.op; op++)\n            countAck(r, op, m.from);',
      ),
    ],
    // Witness: the commit counts acks of ops that nobody gave.
    caughtBy: { kind: 'commit-quorum' },
    world: ploy(hole('above')),
  },
  {
    ...plain,
    id: '54',
    name: 'a commit number of a newer view is applied to the log of this one',
    patches: [
      vsr(
        'normal',
        "    if (m.view > r.view || r.status !== 'normal')\n        return askForStartView(r, m.view);",
        "    if (m.view > r.view || r.status !== 'normal') {\n        commitByMessage(r, m.commit);\n        return askForStartView(r, m.view);\n    }",
      ),
      vsr(
        'normal',
        '        if (m.view === r.view)\n            stash(r, m);',
        '        commitByMessage(r, m.commit);\n        if (m.view === r.view)\n            stash(r, m);',
      ),
    ],
    caughtBy: { kind: 'agreement' },
    world: ploy(oldTailHeals, busy),
  },
  {
    ...plain,
    id: '66b',
    name: 'a prepare that is sent again in a later view is encoded anew, with that view in it',
    patches: [
      vsr(
        'pipeline',
        '    round: r.startedRound,\n    prepare,',
        '    round: r.startedRound,\n    prepare: prepare.header.view === r.view ? prepare : makePrepare({ ...prepare.header, view: r.view, body: prepareBody(prepare) }, r.hasher),',
      ),
    ],
    // Witness: its id is a right checksum of its new header; what is wrong is that the view has another prepare there.
    caughtBy: { kind: 'one-prepare-per-view' },
    world: ploy(sentAgainInNextView),
  },
];
