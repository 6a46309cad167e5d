import {
  clusterId,
  makePrepare,
  op as toOp,
  type Prepare,
  type RecoveredSlot,
  replicaId,
  rootHeader,
  sha256Hasher,
  timestamp,
  view as toView,
} from '@kimberlite/base';
import { expect, test } from 'vitest';
import {
  createReplica,
  type DurableState,
  type Effect,
  encodeBatch,
  type Event,
  initialDurableState,
  type Message,
  step,
} from '../src/index.ts';
import { headersKept } from '../src/log-writes.ts';
import { defaultTiming } from '../src/timeouts.ts';
import { byteMachine } from './byte-machine.ts';

// One replica of three, its peers and its disk played by hand: what it must not do, and when.

const cluster = clusterId('ab'.repeat(16));
const startUs = 1_700_000_000_000_000;

/** A chain of prepares from `parent` on, made in `view`. */
function chain(view: number, count: number, parent = rootHeader(cluster, sha256Hasher)): readonly Prepare[] {
  const prepares: Prepare[] = [];
  let last = parent;
  for (let i = 0; i < count; i++) {
    const fields = { cluster, op: last.op + 1, view, parent: last.id, timestamp: last.timestamp + 10 };
    const prepare = makePrepare({ ...fields, body: encodeBatch([]) }, sha256Hasher);
    prepares.push(prepare);
    last = prepare.header;
  }
  return prepares;
}

const slot = (prepare: Prepare, state: RecoveredSlot['state']): RecoveredSlot => ({
  op: prepare.header.op,
  id: prepare.header.id,
  header: prepare.header,
  state,
});

interface Start {
  readonly self: number;
  readonly durable?: Partial<Record<'view' | 'logView' | 'commit', number>>;
  readonly slots?: readonly RecoveredSlot[];
}

function replicaOfThree({ self, durable = {}, slots = [] }: Start) {
  const state: DurableState = {
    ...initialDurableState(),
    view: toView(durable.view ?? 0),
    logView: toView(durable.logView ?? durable.view ?? 0),
    commit: toOp(durable.commit ?? 0),
  };
  const replica = createReplica({
    cluster,
    replica: replicaId(self),
    replicaCount: 3,
    hasher: sha256Hasher,
    seed: 1,
    nonce: 'n',
    stateMachine: byteMachine,
    durable: state,
    recovered: { slots: [...slots], head: toOp(slots.length), headCertain: true },
  });
  let nowUs = 1_000_000;
  let flush = 0;
  const send = (event: Event): Effect[] => {
    const clock = { monotonicUs: nowUs, realtimeUs: startUs + nowUs };
    const effects = step(replica, event, clock);
    for (const effect of effects) if (effect.type === 'flush-to-disk') flush = effect.sequence;
    return effects;
  };
  return {
    replica,
    send,
    start: () => send({ type: 'start' }),
    hear: (message: Message) => send({ type: 'message', message }),
    flushed: () => send({ type: 'superblock-written', sequence: flush }),
    written: ({ header }: Prepare) => send({ type: 'log-written', op: header.op, id: header.id }),
    later: (ms: number) => void (nowUs += ms * 1000),
  };
}

const types = (effects: readonly Effect[]): readonly string[] => effects.map((effect) => effect.type);
const messages = (effects: readonly Effect[]): readonly Message[] =>
  effects.flatMap((effect) => ('message' in effect ? [effect.message] : []));
const ofType = <T extends Message['type']>(effects: readonly Effect[], type: T): readonly (Message & { type: T })[] =>
  messages(effects).filter((m): m is Message & { type: T } => m.type === type);

const startView = (view: number, suffix: readonly Prepare[], commit: number): Message => ({
  type: 'start-view',
  from: replicaId(view % 3),
  view: toView(view),
  suffix: suffix.map(({ header }) => header),
  commit: toOp(commit),
  checkpoint: toOp(0),
  nonce: '',
});
const vote = (from: number, view: number): Message => ({
  type: 'start-view-change',
  from: replicaId(from),
  view: toView(view),
});
const doViewChange = (
  from: number,
  view: number,
  logView: number,
  suffix: readonly Prepare[],
  commit: number,
): Message => ({
  type: 'do-view-change',
  from: replicaId(from),
  view: toView(view),
  logView: toView(logView),
  commit: toOp(commit),
  checkpoint: toOp(0),
  head: toOp(suffix.at(-1)?.header.op ?? 0),
  timestamp: timestamp(suffix.at(-1)?.header.timestamp ?? 0),
  suffix: suffix.map(({ header }) => ({ op: header.op, id: header.id, header, present: true, nack: false })),
});
const prepareOf = (view: number, prepare: Prepare, commit: number): Message => ({
  type: 'prepare',
  from: replicaId(view % 3),
  view: toView(view),
  commit: toOp(commit),
  round: 0,
  prepare,
});

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
