import { type Canary, faults, host, log, lostForGood, plain, ploy, vsr } from './canary.ts';
import { lastCopy, misplaced, rots, wiped } from './ploys.ts';
import {
  killedInFlush,
  newOpWhileWriting,
  powerCutAfterAnswer,
  powerCutInWrite,
  slotTakenTwice,
  syncsFail,
  toldOfNewLog,
} from './ploys-storage.ts';

// Storage (pitfalls 20 to 27), and what a restart makes of it.

/** How the log writes prepares. */
const bodyWrite = 'disk.writeDurable(file, first.place.offset, bytes, (written) => {';

export const storage: readonly Canary[] = [
  {
    ...plain,
    id: '20a',
    name: 'prepare_ok leaves when the write is handed over, not when it is synced',
    patches: [
      vsr(
        'log-writes',
        "r.out.push({ type: 'write-to-log', prepare });",
        "r.out.push({ type: 'write-to-log', prepare });\n    onLogWritten(r, op, prepare.header.id);",
      ),
    ],
    // Witness: an ack is out and its prepare is not synced: that is the bug in its own words. Only a crash makes it a
    // loss.
    caughtBy: { kind: 'persistence' },
    world: ploy(powerCutAfterAnswer),
  },
  {
    ...plain,
    id: '20b.1',
    name: 'the header record is synced, the prepare is not',
    patches: [log('group-commit', bodyWrite, 'disk.write(file, first.place.offset, bytes, (written) => {')],
    caughtBy: { kind: 'persistence' },
    world: ploy(powerCutAfterAnswer),
  },
  {
    ...plain,
    id: '20b.2',
    name: 'a sync that began before the write counts for it',
    patches: [
      log(
        'group-commit',
        bodyWrite,
        `((done) => {
            let early = null;
            let tell = null;
            disk.sync(file, (result) => { early = result; tell?.(); });
            disk.write(file, first.place.offset, bytes, (result) => {
                tell = () => done(result.ok ? early : result);
                if (early !== null) tell();
            });
        })((written) => {`,
      ),
    ],
    caughtBy: { kind: 'persistence' },
    world: ploy(powerCutAfterAnswer),
  },
  {
    ...plain,
    id: '21.1',
    name: 'do_view_change leaves before the view is in the superblock',
    patches: [
      vsr('view-change', "r.phase !== 'collecting' || r.durable.view !== r.view)", "r.phase !== 'collecting')"),
      vsr(
        'view-change',
        '    flush(r);\n    armViewChangeTimer(r);\n    r.viewChangeAttempts++;',
        '    flush(r);\n    armViewChangeTimer(r);\n    sendDoViewChange(r);\n    r.viewChangeAttempts++;',
      ),
    ],
    caughtBy: { kind: 'persistence' },
    world: faults('isolate', 'crash'),
    fast: true,
  },
  {
    ...plain,
    id: '21.2',
    name: 'start_view leaves before the log view is in the superblock',
    patches: [
      vsr(
        'view-change',
        "    cancelTimer(r, 'do-view-change');\n    armViewChangeTimer(r);\n    flush(r);",
        "    cancelTimer(r, 'do-view-change');\n    armViewChangeTimer(r);\n    flush(r);\n    if (isPrimary(r))\n        beginFetching(r);",
      ),
    ],
    caughtBy: { kind: 'persistence' },
    world: faults('isolate', 'crash'),
  },
  {
    ...plain,
    id: '22',
    name: 'what does not match its checksum is taken for a torn tail, and the log ends before it',
    patches: [
      log(
        'recovery',
        "if (verdict === 'durable' || verdict === 'faulty')",
        "if (verdict === 'faulty' || verdict === 'undecidable')\n            break;\n        if (verdict === 'durable')",
      ),
    ],
    // Witness: the log that was cut disowns what was acknowledged from it; only a view made of that truncates it.
    caughtBy: { kind: 'nacks' },
    world: ploy(lastCopy(rots)),
  },
  {
    ...plain,
    id: '23',
    name: 'a slot that holds a prepare of that op counts as holding this one',
    patches: [log('group-commit', 'index.holds(op, id) ? index.place(op) : null', 'index.place(op)')],
    // Witness: the ack is for a prepare that is not on the disk, since another one lies in that slot.
    caughtBy: { kind: 'persistence' },
    world: ploy(slotTakenTwice),
  },
  {
    ...plain,
    id: '24',
    name: 'the log is trimmed to the own newest checkpoint, whoever else has it',
    patches: [
      vsr('checkpoint', 'lowestKept(r.durable.checkpoints, r.durable.stable);', 'r.durable.checkpoints[0].header.op;'),
    ],
    caughtBy: { kind: 'log-trim' },
    world: { ...faults('slow-disk', 'crash', 'isolate'), plan: { checkpointInterval: 16 } },
  },
  {
    ...plain,
    id: '25',
    name: 'an empty directory is formatted at once, and its replica takes part',
    patches: [
      host(
        'host',
        "import { openLog } from '@kimberlite/log';",
        "import { formatLog, openLog } from '@kimberlite/log';",
      ),
      host(
        'host',
        'decodeDurableState, encodeDurableState, foundingGroup',
        'decodeDurableState, encodeDurableState, foundingGroup, initialDurableState',
      ),
      host(
        'host',
        '            if (!result.ok)\n                return this.fail(new Error(result.error.message));\n            this.boot(',
        "            if (!result.ok && result.error.kind === 'not-formatted') {\n                this.phase = 'new';\n                const superblock = encodeDurableState(initialDurableState());\n                const geometry = { segmentBytes: 1_228_800, headerSlots: 64 };\n                return formatLog({ disk, hasher, crc32, cluster, replica, superblock, geometry }, () => this.start(opened));\n            }\n            if (!result.ok)\n                return this.fail(new Error(result.error.message));\n            this.boot(",
      ),
    ],
    caughtBy: { kind: 'never-back' },
    world: lostForGood(lastCopy(wiped, 1)),
  },
  {
    ...plain,
    id: '26',
    name: 'a header record in the slot of another op counts as none',
    patches: [
      log(
        'header-record',
        'if (reader.u64() !== op || reader.failed)\n        return bad;',
        'if (reader.u64() !== op || reader.failed)\n        return none;',
      ),
    ],
    // Witness: what the misdirected record hides was acknowledged, and its replica says in a do_view_change that it was
    // not.
    caughtBy: { kind: 'nacks' },
    world: ploy(lastCopy(misplaced)),
  },
  {
    ...plain,
    id: '27a',
    name: 'after a sync that failed there is another one, which is believed',
    patches: [
      log(
        'group-commit',
        '        this.options = options;',
        '        const { disk } = options;\n        const writeDurable = (file, offset, bytes, done) => disk.writeDurable(file, offset, bytes, (first) => (first.ok ? done(first) : disk.sync(file, done)));\n        this.options = { ...options, disk: { ...disk, writeDurable } };',
      ),
    ],
    caughtBy: { kind: 'persistence' },
    world: ploy(syncsFail),
  },
  {
    ...plain,
    id: '27b',
    name: 'a file gets its name without the directory being synced',
    patches: [log('preallocation', '        (next) => disk.syncDirectory(next),\n', '')],
    caughtBy: { kind: 'fatal', message: 'is missing' },
    assertions: 'on',
    world: faults('crash-all', 'crash'),
  },
  {
    ...plain,
    id: '46',
    name: 'two writes to one slot are in flight at once',
    patches: [
      vsr('log-writes', 'if (slot.writing !== null || !slotsOpen(r))', 'if (!slotsOpen(r))'),
      log('group-commit', 'if (ops.has(prepare.header.op))', 'if (false)'),
    ],
    // Witness: the rule itself, one write to a slot at a time. Which of the two lands last is chance, and the log finds
    // the newer prepare by itself unless that is damaged too.
    caughtBy: { kind: 'persistence' },
    world: ploy(newOpWhileWriting),
  },
  {
    ...plain,
    id: '50a',
    name: 'the superblock has the new log view before it has its suffix',
    patches: [vsr('superblock', 'suffix: r.suffix,', 'suffix: r.durable.suffix,')],
    // Witness: the superblock of the new log view has not the suffix that its owner tells of in that log view.
    caughtBy: { kind: 'persistence' },
    world: faults('isolate', 'crash', 'crash-all'),
  },
  {
    ...plain,
    id: '50b',
    name: 'slots change before the superblock has the log view that wants it',
    patches: [
      vsr('log-writes', 'r.durable.logView === r.logView', 'true'),
      vsr('repair', "(r.status === 'view-change' && r.phase === 'fetching')", "r.status === 'view-change'"),
      vsr('view-change', "    r.phase = 'installing';", "    r.phase = 'installing';\n    startRepair(r);"),
    ],
    caughtBy: { kind: 'nacks' },
    world: ploy(toldOfNewLog),
  },
  {
    ...plain,
    id: '62',
    name: 'the newest copy of the superblock is believed at once, and not written again',
    patches: [
      log(
        'open',
        'withDisk((next) => disk.sync(superblockFile, next))((synced) => {',
        '((next) => next(ok(undefined)))((synced) => {',
      ),
      log(
        'open',
        'rewriteStaleCopies(disk, hasher, copies.value, chosen.value, (result) => opened(result.ok ? chosen : result, bad));',
        'opened(chosen, bad);',
      ),
    ],
    caughtBy: { kind: 'persistence' },
    // Each checkpoint writes all copies again.
    world: { ...ploy(killedInFlush), plan: { checkpointInterval: 16_384 } },
  },
  {
    ...plain,
    id: '63',
    name: 'the header record is written along with the prepare',
    patches: [
      log(
        'group-commit',
        bodyWrite,
        `this.headers.push(...group);\n        if (!this.headersBusy)\n            this.writeHeaders();\n        ${bodyWrite}`,
      ),
      log('group-commit', '            this.headers.push({ prepare, place });\n', ''),
    ],
    caughtBy: { kind: 'persistence' },
    world: ploy(powerCutInWrite),
  },
];
