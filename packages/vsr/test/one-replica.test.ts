import {
  type ClientId,
  clientId,
  makePrepare,
  op as toOp,
  type Prepare,
  replicaId,
  requestNumber,
  rootHeader,
  sessionNumber,
  sha256Hasher,
  view as toView,
} from '@kimberlite/base';
import { expect, test } from 'vitest';
import { type ClientRequest, encodeBatch } from '../src/index.ts';
import { headersKept } from '../src/log-writes.ts';
import { defaultTiming } from '../src/timeouts.ts';
import { bytesOf, textOf } from './byte-machine.ts';
import {
  chain,
  cluster,
  doViewChange,
  ofType,
  prepareOf,
  replicaOfThree,
  slot,
  startUs,
  startView,
  types,
  vote,
} from './replica-of-three.ts';

test('installing a log leaves fault marks where they are: what is damaged is not nacked (pitfall 48)', () => {
  const [one, two] = chain(1, 2);
  if (one === undefined || two === undefined) throw new Error('two prepares');
  const node = replicaOfThree({ self: 0, durable: { view: 1 }, slots: [slot(one, 'durable'), slot(two, 'faulty')] });
  node.start();
  node.hear(startView(2, [one, two], 0));
  node.flushed();
  expect(node.replica.status).toBe('normal');
  // Before repair brings it, the view changes again.
  node.hear(vote(2, 4));
  const [said] = ofType(node.flushed(), 'do-view-change');
  expect(said?.suffix).toMatchObject([
    { op: 1, present: true, nack: false },
    { op: 2, present: false, nack: false },
  ]);
});

test('a new primary touches no slot before the superblock names its log (pitfall 50)', () => {
  const [one, old] = chain(1, 2);
  if (one === undefined || old === undefined) throw new Error('two prepares');
  const [changed] = chain(2, 1, one.header);
  if (changed === undefined) throw new Error('a prepare');
  const node = replicaOfThree({ self: 1, durable: { view: 1 }, slots: [slot(one, 'durable'), slot(old, 'durable')] });
  // As primary of view 1 it begins with the next.
  node.start();
  node.flushed();
  // Its log view is 1, that of the other is 2 and has something else at op 2.
  node.hear(doViewChange(2, 4, 2, [one, changed], 1));
  const chosen = node.flushed();
  expect(types(chosen)).toContain('flush-to-disk');
  expect(node.replica.phase).toBe('installing');
  const early = node.hear({ type: 'repair-prepare', from: replicaId(2), prepare: changed });
  expect(types([...chosen, ...early])).not.toContain('write-to-log');
  expect(ofType([...chosen, ...early], 'start-view')).toEqual([]);
  node.flushed();
  expect(types(node.hear({ type: 'repair-prepare', from: replicaId(2), prepare: changed }))).toContain('write-to-log');
  expect(node.replica.status).toBe('normal');
});

test('a backup touches no slot before the superblock names the log of start_view (pitfall 50)', () => {
  const [one, old] = chain(1, 2);
  if (one === undefined || old === undefined) throw new Error('two prepares');
  const [changed, next] = chain(2, 2, one.header);
  if (changed === undefined || next === undefined) throw new Error('two prepares');
  const node = replicaOfThree({ self: 0, durable: { view: 1 }, slots: [slot(one, 'durable'), slot(old, 'durable')] });
  node.start();
  const early = [
    ...node.hear(startView(2, [one, changed], 1)),
    ...node.hear(prepareOf(2, changed, 1)),
    ...node.hear({ type: 'repair-prepare', from: replicaId(2), prepare: changed }),
    ...node.hear(prepareOf(2, next, 1)),
  ];
  expect(types(early)).toContain('flush-to-disk');
  expect(types(early)).not.toContain('write-to-log');
  expect(ofType(early, 'prepare-ok')).toEqual([]);
  // What came early is written now.
  expect(types(node.flushed()).filter((type) => type === 'write-to-log')).toHaveLength(2);
});

/** Replica 1 as primary of view 1 with an empty log. */
function primary() {
  const node = replicaOfThree({ self: 1 });
  node.start();
  node.hear(doViewChange(0, 1, 0, [], 0));
  node.flushed();
  node.flushed();
  expect(node.replica.status).toBe('normal');
  return node;
}

test('a primary that stops writes nothing behind its last word', () => {
  const node = primary();
  node.send({ type: 'stop' });
  node.hear(vote(0, 1));
  node.flushed();
  node.hear(startView(2, [], 0));
  const [first] = chain(2, 1);
  if (first === undefined) throw new Error('a prepare');
  // The new primary goes to work at once; its prepare waits for the superblock here.
  node.hear(prepareOf(2, first, 0));
  const effects = types(node.flushed());
  expect(effects).toContain('write-to-log');
  expect(effects.filter((type) => type === 'stopped')).toHaveLength(1);
  expect(effects.at(-1)).toBe('stopped');
});

test('a candidate far behind what is committed leaves the view to one that can serve', () => {
  const long = chain(1, 2000);
  const far = replicaOfThree({
    self: 1,
    durable: { view: 2 },
    slots: long.slice(0, 100).map((p) => slot(p, 'durable')),
  });
  far.start();
  far.hear(doViewChange(2, 4, 2, long.slice(-8), 1995));
  far.flushed();
  expect(far.replica.view).toBe(5);
  const near = replicaOfThree({
    self: 1,
    durable: { view: 2 },
    slots: long.slice(0, 1500).map((p) => slot(p, 'durable')),
  });
  near.start();
  near.hear(doViewChange(2, 4, 2, long.slice(-8), 1995));
  near.flushed();
  expect(near.replica.view).toBe(4);
  expect(near.replica.phase).toBe('installing');
});

test('a primary whom nobody brings a committed op gives up', () => {
  const [one, two, three] = chain(1, 3);
  if (one === undefined || two === undefined || three === undefined) throw new Error('three prepares');
  const node = replicaOfThree({ self: 1, durable: { view: 2 }, slots: [slot(one, 'durable')] });
  node.start();
  node.hear(doViewChange(2, 4, 2, [two, three], 3));
  node.flushed();
  node.flushed();
  expect(node.replica).toMatchObject({ status: 'normal', applied: 0, commit: 3, serving: false });
  node.later(defaultTiming.forfeitMs / 2);
  expect(ofType(node.send({ type: 'timer', timer: 'heartbeat' }), 'start-view-change')).toEqual([]);
  node.later(defaultTiming.forfeitMs);
  expect(ofType(node.send({ type: 'timer', timer: 'heartbeat' }), 'start-view-change')).toMatchObject([{ view: 4 }]);
  // A backup takes that for the hand-over it is.
  const backup = replicaOfThree({ self: 0, durable: { view: 4 } });
  backup.start();
  backup.hear(vote(1, 4));
  expect(backup.replica.view).toBe(5);
});

test('a backup that slept itself reads what has arrived before it votes against the primary', () => {
  const node = replicaOfThree({ self: 0, durable: { view: 1 } });
  const due = node.start().find((e) => e.type === 'set-timer' && e.timer === 'heartbeat-timeout');
  if (due?.type !== 'set-timer') throw new Error('no heartbeat timeout is set');
  node.later(due.delayMs + 3000);
  const woken = node.send({ type: 'timer', timer: 'heartbeat-timeout' });
  expect(ofType(woken, 'start-view-change')).toEqual([]);
  const again = woken.find((e) => e.type === 'set-timer' && e.timer === 'heartbeat-timeout');
  if (again?.type !== 'set-timer') throw new Error('the heartbeat timeout is not set again');
  expect(again.delayMs).toBeLessThanOrEqual(2.5 * defaultTiming.heartbeatMs);
  // Nothing had arrived: now it is the primary that is silent, however late this timer is too.
  node.later(again.delayMs + 3000);
  expect(ofType(node.send({ type: 'timer', timer: 'heartbeat-timeout' }), 'start-view-change')).toMatchObject([
    { view: 1 },
  ]);
});

test('damage found in an applied op is repaired, and its slot does not hold the window of headers for ever', () => {
  const count = headersKept + 300;
  const long = chain(1, count);
  const node = replicaOfThree({ self: 0, durable: { view: 1 } });
  node.start();
  const grow = (prepares: readonly Prepare[]): void => {
    for (const prepare of prepares) {
      node.hear(prepareOf(1, prepare, prepare.header.op - 1));
      node.written(prepare);
    }
  };
  grow(long.slice(0, 200));
  const damaged = long[49];
  if (damaged === undefined) throw new Error('op 50');
  const { op, id } = damaged.header;
  const asked = node.hear({ type: 'request-prepare', from: replicaId(2), op, id });
  expect(types(asked)).toEqual(['read-from-log']);
  const found = node.send({ type: 'prepare-read', op, id, prepare: null });
  expect(ofType(found, 'request-prepare')).toMatchObject([{ op, id }]);
  // Nobody answers for long: memory does not wait for it.
  grow(long.slice(200));
  expect(node.replica.logLow).toBe(node.replica.applied - headersKept);
  expect(node.replica.log.size).toBeLessThan(headersKept + 10);
  expect(node.replica.damaged.size).toBe(0);
});

test('damage found in an applied op is rewritten when a peer brings it', () => {
  const long = chain(1, 200);
  const node = replicaOfThree({ self: 0, durable: { view: 1 } });
  node.start();
  for (const prepare of long) {
    node.hear(prepareOf(1, prepare, prepare.header.op - 1));
    node.written(prepare);
  }
  const damaged = long[49];
  if (damaged === undefined) throw new Error('op 50');
  const { op, id } = damaged.header;
  node.hear({ type: 'request-prepare', from: replicaId(2), op, id });
  node.send({ type: 'prepare-read', op, id, prepare: null });
  // The first peer stays silent, so another is asked.
  node.later(defaultTiming.repairTimeoutMs + 1);
  expect(ofType(node.send({ type: 'timer', timer: 'repair' }), 'request-prepare')).toMatchObject([{ op, id }]);
  expect(types(node.hear({ type: 'repair-prepare', from: replicaId(1), prepare: damaged }))).toContain('write-to-log');
  node.written(damaged);
  expect(node.replica.slots.get(op)).toEqual({ durable: id, writing: null, faulty: false });
  expect(node.replica.bodies.has(op)).toBe(false);
  expect(node.replica.damaged.size).toBe(0);
});

test('a primary answers a vote in an older view with its own: a replica that missed it would never learn of it', () => {
  const [one] = chain(1, 1);
  if (one === undefined) throw new Error('a prepare');
  const node = replicaOfThree({ self: 1, durable: { view: 2 }, slots: [slot(one, 'durable')] });
  node.start();
  node.hear(doViewChange(2, 4, 2, [one], 1));
  node.flushed();
  node.flushed();
  expect(node.replica).toMatchObject({ status: 'normal', view: 4 });
  expect(ofType(node.hear(vote(0, 1)), 'start-view')).toMatchObject([{ view: 4, commit: 1 }]);
  expect(node.replica).toMatchObject({ status: 'normal', view: 4 });
});

test('a primary that gave up says where it is, or two of them would wait for each other', () => {
  const [one, two] = chain(1, 2);
  if (one === undefined || two === undefined) throw new Error('two prepares');
  const node = replicaOfThree({ self: 1, durable: { view: 2 }, slots: [slot(one, 'durable'), slot(two, 'durable')] });
  node.start();
  node.hear(doViewChange(2, 4, 2, [one, two], 1));
  node.flushed();
  node.flushed();
  node.send({ type: 'prepare-read', op: two.header.op, id: two.header.id, prepare: two });
  expect(node.replica).toMatchObject({ status: 'normal', head: 2, commit: 1 });
  const abdicate = (): readonly unknown[] => {
    node.later(defaultTiming.abdicateMs + 1);
    return ofType(node.send({ type: 'timer', timer: 'abdicate' }), 'start-view-change');
  };
  expect(abdicate()).toEqual([]);
  expect(node.replica.silent).toBe(true);
  expect(abdicate()).toMatchObject([{ view: 4 }]);
});

test('a query behind a request of an inherited op sees all of that op: others may have been told of it (pitfall 41)', () => {
  const clients = ['a', 'b'].map((letter) => clientId(letter.repeat(32)));
  const request = (client: ClientId, session: number, number: number, text: string): ClientRequest => ({
    client,
    session: sessionNumber(session),
    number: requestNumber(number),
    floor: requestNumber(number),
    checksum: sha256Hasher(bytesOf(text)),
    body: bytesOf(text),
  });
  const root = rootHeader(cluster, sha256Hasher);
  const of = (after: typeof root, requests: readonly ClientRequest[]): Prepare =>
    makePrepare(
      { cluster, op: after.op + 1, view: 1, parent: after.id, timestamp: after.op + 10, body: encodeBatch(requests) },
      sha256Hasher,
    );
  const one = of(
    root,
    clients.map((client) => request(client, 0, 0, '')),
  );
  const two = of(
    one.header,
    clients.map((client, i) => request(client, 1, 1, `put ${i}`)),
  );
  const node = replicaOfThree({ self: 1, durable: { view: 2 }, slots: [slot(one, 'durable'), slot(two, 'durable')] });
  node.start();
  node.send({ type: 'prepare-read', op: one.header.op, id: one.header.id, prepare: one });
  node.hear(doViewChange(2, 4, 2, [one, two], 1));
  node.flushed();
  node.flushed();
  for (const prepare of [two, one]) {
    node.send({ type: 'prepare-read', op: prepare.header.op, id: prepare.header.id, prepare });
  }
  expect(node.replica).toMatchObject({ status: 'normal', serving: true, applied: 1, inherited: 2 });
  const [client] = clients;
  if (client === undefined) throw new Error('a client');
  const query = { client, session: sessionNumber(1), query: 1, after: requestNumber(1), body: bytesOf('') };
  node.send({ type: 'client-queries', queries: [{ ...query, level: { type: 'linearizable' } }] });
  const { op, id } = two.header;
  const said = { round: node.replica.startedRound, checkpoint: toOp(0), report: null };
  const effects = node.hear({ type: 'prepare-ok', from: replicaId(2), view: toView(4), op, id, ...said });
  const answers = effects.flatMap((e) => (e.type === 'notify-client' && e.reply.type === 'answer' ? [e.reply] : []));
  expect(answers.map(({ body }) => textOf(body))).toEqual(['2 put 1']);
});

test('a client is sent to the latest view whose log is here, not to one that was only joined (pitfall 32)', () => {
  const [one] = chain(5, 1);
  if (one === undefined) throw new Error('a prepare');
  const node = replicaOfThree({ self: 1, durable: { view: 5, commit: 1 }, slots: [slot(one, 'durable')] });
  node.start();
  const client = clientId('c'.repeat(32));
  const body = new Uint8Array(0);
  const zero = { session: sessionNumber(0), number: requestNumber(0), floor: requestNumber(0) };
  const registration: ClientRequest = { client, ...zero, checksum: sha256Hasher(body), body };
  const told = (): readonly unknown[] =>
    node
      .send({ type: 'client-requests', requests: [registration] })
      .flatMap((effect) => (effect.type === 'notify-client' ? [effect.reply] : []));
  const refused = (view: number, primary: number): object => ({ type: 'refused', refusal: { view, primary } });
  expect(told()).toMatchObject([refused(5, 2)]);
  node.hear(vote(0, 6));
  expect(told()).toMatchObject([refused(5, 2)]);
  // Durable, and yet the others may never come.
  node.flushed();
  expect(node.replica.durable).toMatchObject({ view: 6, logView: 5 });
  expect(told()).toMatchObject([refused(5, 2)]);
  node.hear(startView(6, [one], 1));
  expect(told()).toMatchObject([refused(5, 2)]);
  node.flushed();
  expect(told()).toMatchObject([refused(6, 0)]);
});

test('a primary fences off nobody whom it hears, and a machine that was fenced off stops (Table H)', () => {
  const [one] = chain(1, 1);
  if (one === undefined) throw new Error('a prepare');
  const node = replicaOfThree({ self: 1, durable: { view: 2 }, slots: [slot(one, 'durable')] });
  node.start();
  node.hear(doViewChange(2, 4, 2, [one], 1));
  node.flushed();
  node.flushed();
  node.send({ type: 'prepare-read', op: one.header.op, id: one.header.id, prepare: one });
  const said = { op: one.header.op, id: one.header.id, round: 0, checkpoint: toOp(0), report: null };
  node.hear({ type: 'prepare-ok', from: replicaId(2), view: toView(4), ...said });
  const ask = () => node.send({ type: 'replace-member', replica: 2, ticket: 7 });
  expect(ask()).toMatchObject([
    { type: 'member-replaced', ticket: 7, result: { ok: false, reason: 'the others hear it: it is not lost' } },
  ]);
  node.later(2000);
  // The clocks agree, or nothing would be prepared.
  for (const from of [0, 2]) {
    node.hear({ type: 'pong', from: replicaId(from), sentAtUs: 3_000_000, realtimeUs: startUs + 3_000_000 });
  }
  const effects = ask();
  expect(ofType(effects, 'prepare')).toHaveLength(8);
  expect(node.replica.members.fences.get(2)).toEqual({ type: 'fence', replica: 2, incarnation: 1 });
  node.hear({ type: 'prepare-ok', from: replicaId(2), view: toView(4), ...said, op: toOp(2) });
  expect(node.replica.heardUs[2]).toBe(0);

  const [fence] = ofType(effects, 'prepare');
  const old = replicaOfThree({ self: 2, durable: { view: 4 }, slots: [slot(one, 'durable')] });
  old.start();
  old.send({ type: 'prepare-read', op: one.header.op, id: one.header.id, prepare: one });
  if (fence === undefined) throw new Error('a fence');
  old.hear({ ...fence, commit: toOp(1) });
  old.send({ type: 'prepare-read', op: one.header.op, id: one.header.id, prepare: one });
  expect(() => old.hear({ ...fence, commit: toOp(2) })).toThrow(/another machine has taken the place/);
});
