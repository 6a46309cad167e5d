import { base, type Canary, client, faults, kernel, plain, ploy, sim, vsr } from './canary.ts';
import { readAtOldPrimary, readReturns } from './ploys.ts';
import { crowdedOut, writeReturns, youngSession } from './ploys-clients.ts';
import { askedAgain, readBeforeInherited } from './ploys-views.ts';
import type { Patch } from './patched-copy.ts';

// The state machine, reads, sessions and clients (pitfalls 36 to 44, and 6, 56 to 58, 67).

/** A query is answered as soon as its round has started, whoever has confirmed it (pitfall 41). */
export const readsWithoutRound: readonly Patch[] = [
  vsr('reads', 'descending[r.quorums.replication - 1] ?? 0', 'r.startedRound'),
];

/** Nobody remembers what was admitted or executed, so a request sent again runs again (pitfalls 42, 56). */
export const executedTwice: readonly Patch[] = [
  vsr(
    'sessions',
    "outcome === undefined ? 'none' : outcome.checksum === request.checksum ? 'same' : 'other'",
    "'none'",
  ),
  vsr('sessions', "{ name: 'in flight', matches: (f) => f.inFlight,", "{ name: 'in flight', matches: () => false,"),
  vsr('pipeline', 'request.session === 0 ? 0 : executed + 1', 'request.number'),
  vsr(
    'pipeline',
    'if (request.number < admission.next)\n        return;',
    'admission.next = Math.min(admission.next, request.number);',
  ),
];

/** Sessions are few, so that runs reach the end of the table. */
const fewSessions: readonly Patch[] = [base('limits', 'sessionsMax = 1024', 'sessionsMax = 6')];

export const execution: readonly Canary[] = [
  {
    ...plain,
    id: '6',
    name: 'the session table has a request once it is prepared',
    patches: [
      vsr(
        'pipeline',
        '    broadcast(r, prepareMessage(r, prepare));',
        '    for (const { client, number } of decodeBatch(prepareBody(prepare)).value) {\n        const entry = r.sessions.get(client);\n        if (entry !== undefined) entry.executed = Math.max(entry.executed, number);\n    }\n    broadcast(r, prepareMessage(r, prepare));',
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: ploy(writeReturns),
  },
  {
    ...plain,
    id: '13a',
    name: 'reads stay when their view is left, and end in the next one in which this replica is primary',
    patches: [vsr('view-change', "    refuseQueries(r, 'view-change');\n", '')],
    // Witness: the answer has no round of its view that began after the query, whether the state it shows is old or
    // not.
    caughtBy: { kind: 'read-confirmation' },
    world: ploy(readReturns, { keys: 1, thinkUs: 10_000 }, { giveUpUs: 3_000_000 }),
  },
  {
    ...plain,
    id: '36',
    name: 'a client is not told that its session was evicted',
    ground: fewSessions,
    patches: [
      vsr(
        'sessions',
        "{ name: 'no such session', matches: (f) => !f.sessionKnown, primary: 'evicted'",
        "{ name: 'no such session', matches: (f) => !f.sessionKnown, primary: 'silence'",
      ),
    ],
    caughtBy: { kind: 'liveness' },
    world: ploy(crowdedOut),
  },
  {
    ...plain,
    id: '37',
    name: 'a rejected command takes no position',
    patches: [
      kernel(
        'apply',
        '        draft.rejected++;\n        return { ok: false, error, position };',
        '        draft.rejected++;\n        draft.position--;\n        return { ok: false, error, position };',
      ),
    ],
    // Witness: every request moves the position by one, rejected or not: here one does not, on all replicas alike, and
    // what waits for the position stalls.
    caughtBy: { kind: 'state-hash' },
    world: faults('crash'),
    fast: true,
  },
  {
    ...plain,
    id: '38',
    name: 'whether a row exists is asked at admission, and not again when the command is applied',
    patches: [
      kernel(
        'apply-row',
        '    if (old !== undefined)\n        return reject.duplicateKey(',
        '    if (old !== undefined && false)\n        return reject.duplicateKey(',
      ),
      kernel(
        'apply-row',
        'return writeRow(draft, table, key, null, cells);',
        'return writeRow(draft, table, key, old ?? null, cells);',
      ),
    ],
    // Witness: the log's own order says that the row was there, which the answer of a check before consensus denies.
    // The search that knows only the calls sees the same later.
    caughtBy: { kind: 'log-order' },
    world: faults('crash'),
    fast: true,
  },
  {
    ...plain,
    id: '39a',
    name: 'the age of an outcome is taken by the clock of the machine',
    patches: [
      kernel(
        'idempotency',
        'const parts = { idempotencyId: id, position, timestamp,',
        'const parts = { idempotencyId: id, position, timestamp: timestamp - (Math.floor(performance.now() * 1000) % 2),',
      ),
    ],
    // Witness: the very claim of determinism: equal logs, equal states.
    caughtBy: { kind: 'state-hash' },
    world: faults('crash'),
    fast: true,
  },
  {
    ...plain,
    id: '40a.1',
    name: 'what was applied before the boot is handed on as new when it is applied again',
    patches: [vsr('apply', 'const replay = header.op <= r.replayUntil;', 'const replay = false;')],
    caughtBy: { kind: 'effects' },
    world: faults('crash'),
    fast: true,
  },
  {
    ...plain,
    id: '40a.2',
    name: 'every replica answers the client whose command it applies',
    patches: [
      vsr(
        'apply',
        'const answers = isNormalPrimary(r) && op > r.replayUntil && !isSuspect(r);',
        'const answers = true;',
      ),
    ],
    caughtBy: { kind: 'effects' },
    world: faults('isolate', 'crash'),
  },
  {
    ...plain,
    id: '40b',
    name: 'what a backup applies is not handed on there, and not later either',
    patches: [vsr('apply', 'if (effects.length > 0) {', 'if (effects.length > 0 && isNormalPrimary(r)) {')],
    caughtBy: { kind: 'effects' },
    world: faults('crash'),
    fast: true,
  },
  {
    ...plain,
    id: '41a',
    name: 'a query is answered without its confirmation round',
    patches: readsWithoutRound,
    // Witness: an answer without the confirmation that its query needs, whether somebody else has gone on by then or
    // not.
    caughtBy: { kind: 'read-confirmation' },
    world: ploy(readAtOldPrimary, { window: 4, thinkUs: 150_000 }, { giveUpUs: 1_000_000 }),
  },
  {
    ...plain,
    id: '41b',
    name: 'a new primary answers before its inherited ops have committed',
    patches: [vsr('reads', 'const needed = Math.max(r.commit, r.inherited);', 'const needed = r.commit;')],
    caughtBy: { kind: 'stale-read' },
    world: ploy(readBeforeInherited, { keys: 1, readRate: 0.6 }),
  },
  {
    ...plain,
    id: '41c',
    name: 'a query joins the confirmation round that is under way',
    patches: [
      vsr(
        'reads',
        '{ query, needed, round: r.nextRound,',
        '{ query, needed, round: r.confirmedRound < r.startedRound ? r.startedRound : r.nextRound,',
      ),
    ],
    // Witness: the round began before the query arrived, and that is what the rule forbids.
    caughtBy: { kind: 'read-confirmation' },
    world: ploy(readAtOldPrimary, { window: 4, thinkUs: 150_000 }, { giveUpUs: 1_000_000 }),
  },
  {
    ...plain,
    id: '42',
    name: 'a request sent again is another request',
    patches: executedTwice,
    caughtBy: { kind: 'exactly-once' },
    world: faults('client-cut', 'crash'),
    fast: true,
  },
  {
    ...plain,
    id: '44a',
    name: 'the workload calls nobody',
    patches: [
      sim(
        'workload',
        'if (this.running && this.epochs[index] === epoch && this.mayCall)\n                this.next(index, epoch);',
        '',
      ),
    ],
    caughtBy: { kind: 'liveness', message: 'nothing is answered' },
    world: faults('crash'),
  },
  {
    ...plain,
    id: '44c',
    name: 'the faults do nothing',
    patches: [
      sim(
        'nemesis/nemesis',
        'const effect = applyAction(this.world, action);',
        "const effect = action.kind === 'calm' ? applyAction(this.world, action) : 'nothing';",
      ),
    ],
    caughtBy: { kind: 'hollow', message: 'never struck' },
    world: faults('crash'),
  },
  {
    ...plain,
    id: '56',
    name: 'a new primary does not index what is in flight',
    // On ground where only the primary looks whether a request was seen before.
    ground: [
      vsr('sessions', "primary: 'resend-outcome', apply: 'skip' }", "primary: 'resend-outcome', apply: 'run' }"),
    ],
    patches: [
      vsr(
        'pipeline',
        'for (let op = r.applied + 1; op <= r.head; op++) {',
        'for (let op = r.head + 1; op <= r.head; op++) {',
      ),
    ],
    caughtBy: { kind: 'exactly-once' },
    world: ploy(askedAgain),
  },
  {
    ...plain,
    id: '57',
    name: 'a session whose registration this primary has not applied yet is called evicted',
    patches: [vsr('sessions', 'reached: r.applied >= request.session,', 'reached: true,')],
    // Witness: the word "evicted" itself, held against the sessions that the log makes. It follows the registrations of
    // the last committed op too, so it speaks long before a call that was given up for nothing could be missed.
    caughtBy: { kind: 'replies' },
    world: ploy(youngSession),
  },
  {
    ...plain,
    id: '58',
    name: 'a session keeps its last outcome only',
    patches: [
      vsr(
        'sessions',
        '    entry.outcomes.set(number, outcome);',
        '    entry.outcomes.clear();\n    entry.outcomes.set(number, outcome);',
      ),
    ],
    caughtBy: { kind: 'sessions' },
    world: {
      ...faults('client-cut'),
      plan: {
        giveUpUs: 8_000_000,
        broken: [],
        workload: { keys: 4, window: 4, thinkUs: 30_000, plenty: 400, readRate: 0.1, sharedRate: 0 },
      },
    },
  },
  {
    ...plain,
    id: '67',
    name: 'not applied is said when the last transmission was refused',
    patches: [client('session/request', 'request.onWire === 0 && request.lost === 0', 'request.onWire === 0')],
    caughtBy: { kind: 'honest-outcomes' },
    world: {
      ...faults('client-cut', 'isolate', 'crash'),
      plan: { clients: ['sdk', 'sdk', 'sdk', 'sdk'], giveUpUs: 1_000_000 },
    },
  },
];
