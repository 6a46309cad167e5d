import {
  type CheckpointRef,
  type Checksum,
  type ClientId,
  makePrepare,
  op as toOp,
  type Prepare,
  replicaId,
  requestNumber,
  rootHeader,
  sessionNumber,
  sha256Hasher,
  stateHashInterval,
  view as toView,
} from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import { verdictOn } from '../src/divergence.ts';
import {
  type CheckpointMark,
  type Effect,
  encodeBatch,
  type Message,
  replicaStatus,
  type StateReport,
} from '../src/index.ts';
import { headersKept } from '../src/log-writes.ts';
import { sessionsHash } from '../src/sessions-hash.ts';
import { bytesOf } from './byte-machine.ts';
import {
  cluster,
  doViewChange,
  messages,
  ofType,
  prepareOf,
  replicaOfThree,
  startUs,
  types,
} from './replica-of-three.ts';
import { TestCheckpoints } from './test-checkpoints.ts';

const client = 'c1'.repeat(16) as ClientId;
/** A registration, then a request an op. */
function requests(count: number): readonly Prepare[] {
  const prepares: Prepare[] = [];
  let last = rootHeader(cluster, sha256Hasher);
  for (let at = 1; at <= count; at++) {
    const body = bytesOf(at === 1 ? '' : `put ${at}`);
    const request = {
      client,
      session: sessionNumber(at === 1 ? 0 : 1),
      number: requestNumber(at - 1),
      floor: requestNumber(at === 1 ? 0 : at - 1),
      checksum: sha256Hasher(body),
      body,
    };
    const fields = { cluster, op: at, view: 1, parent: last.id, timestamp: last.timestamp + 10 };
    const prepare = makePrepare({ ...fields, body: encodeBatch([request]) }, sha256Hasher);
    prepares.push(prepare);
    last = prepare.header;
  }
  return prepares;
}
/** Beyond what stays in memory of a log, and on to an op whose hash is told. */
const many = Math.ceil((headersKept + 600) / stateHashInterval) * stateHashInterval;
const log = requests(many);

/** A backup of view 1 (its primary is replica 1) that has written and applied so many ops, and its checkpoints. */
function backup(ops: number, checkpointInterval = 10_000) {
  const node = replicaOfThree({ self: 0, durable: { view: 1 }, checkpointInterval });
  const disk = new TestCheckpoints();
  const refs: CheckpointRef[] = [];
  node.start();
  const take = (effects: readonly Effect[]): readonly Effect[] => {
    const more: Effect[] = [];
    for (const effect of effects) {
      if (effect.type === 'write-checkpoint') {
        const ref = disk.write(effect.header, effect.content);
        refs.unshift(ref);
        more.push(...node.send({ type: 'checkpoint-written', op: effect.header.op, ref }));
      } else if (effect.type === 'flush-to-disk') more.push(...node.flushed());
      else if (effect.type === 'read-checkpoint-part' && effect.to === null) {
        const { ref, part } = effect;
        const bytes = disk.read(ref, part);
        more.push(...node.send({ type: 'checkpoint-part-read', ref, part, to: null, bytes }));
      } else if (effect.type === 'read-from-log') {
        const prepare = log[effect.op - 1] ?? null;
        more.push(...node.send({ type: 'prepare-read', op: effect.op, id: effect.id, prepare }));
      }
    }
    return more.length === 0 ? effects : [...effects, ...take(more)];
  };
  const apply = (from: number, to: number): readonly Effect[] =>
    log
      .slice(from, to)
      .flatMap((prepare) => [
        ...take(node.hear(prepareOf(1, prepare, prepare.header.op))),
        ...take(node.written(prepare)),
      ]);
  apply(0, ops);
  const ping = (from: number, reports: readonly StateReport[], checkpoint: CheckpointMark | null = null): Effect[] => [
    ...take(node.hear({ type: 'ping', from: replicaId(from), sentAtUs: 1, reports, checkpoint })),
  ];
  return { node, refs, disk, take, apply, ping };
}

/** What a replica reports that has applied so many ops and is sound. */
function sound(ops: number): StateReport {
  const { report } = backup(ops).node.replica;
  if (report === null) throw new Error('a report');
  return report;
}
const good = sound(stateHashInterval);
const other = (report: StateReport, hash: string): StateReport => ({ ...report, hash });

describe('who has diverged', () => {
  test.each([
    [['a', 'a', 'b'], 'agreed'],
    [['a', 'b', 'b'], 'against'],
    [['a', 'b', null], 'open'],
    [['a', 'b', 'c'], 'split'],
    [['a', 'b'], 'split'],
    [['a', null], 'open'],
    // A standby: its own word does not count.
    [['b', 'b', null], 'against'],
    [[null, null], 'open'],
  ] as const)('%j: %s', (said, type) => {
    expect(verdictOn(said, 'a', 2).type).toBe(type);
  });

  test('of four, two against two are no majority', () => {
    expect(verdictOn(['a', 'a', 'b', 'b'], 'a', 3)).toEqual({ type: 'split' });
    expect(verdictOn(['a', 'b', 'b', 'b'], 'a', 3)).toEqual({ type: 'against', majority: 'b' });
    expect(verdictOn(['a', 'a', 'b', null], 'a', 3)).toEqual({ type: 'open' });
  });
});

test('one that differs is no majority: a backup goes on until the third has spoken, and then steps aside', () => {
  const { node, ping, apply } = backup(stateHashInterval);
  ping(1, [other(good, 'ff')]);
  expect(replicaStatus(node.replica).status).toBe('normal');
  expect(ofType(apply(stateHashInterval, stateHashInterval + 1), 'prepare-ok')).toHaveLength(1);
  ping(2, [other(good, 'ff')]);
  expect(replicaStatus(node.replica)).toMatchObject({
    status: 'quarantined',
    divergence: { cause: 'state', op: stateHashInterval, own: good.hash, majority: 'ff' },
  });
  // Its own log gives that very state again: it is not the memory, so it does not try for ever.
  expect(replicaStatus(node.replica)).toMatchObject({ divergence: { progress: 'diverged-again' } });
});

test('where all three differ nobody acks, confirms or answers, until two agree again', () => {
  const { node, ping } = backup(stateHashInterval);
  ping(1, [other(good, 'ff')]);
  ping(2, [other(good, 'ee')]);
  expect(replicaStatus(node.replica)).toMatchObject({
    status: 'quarantined',
    divergence: { cause: 'no-majority', progress: 'standing-still' },
  });
  const next = log[stateHashInterval];
  if (next === undefined) throw new Error('a prepare');
  node.hear(prepareOf(1, next, stateHashInterval));
  expect(ofType(node.written(next), 'prepare-ok')).toEqual([]);
  const heartbeat: Message = {
    type: 'heartbeat',
    from: replicaId(1),
    view: toView(1),
    number: 1,
    commit: toOp(stateHashInterval),
    round: 3,
    report: null,
    stable: null,
    trimmed: toOp(0),
  };
  expect(ofType(node.hear(heartbeat), 'heartbeat-ok')).toMatchObject([{ round: 0 }]);
  const query = { client, session: sessionNumber(1), query: 1, after: requestNumber(0), body: bytesOf('') };
  const asked = node.send({ type: 'client-queries', queries: [{ ...query, level: { type: 'local' } }] });
  expect(asked).toMatchObject([{ reply: { type: 'query-refused', refusal: { reason: 'quarantined' } } }]);
  const after = ping(2, [good]);
  expect(replicaStatus(node.replica).status).toBe('normal');
  expect(ofType(after, 'prepare-ok')).toMatchObject([{ op: stateHashInterval + 1 }]);
});

test('sessions are compared too, though the state machine knows nothing of them', () => {
  const { node, ping } = backup(stateHashInterval - 1);
  const [entry] = [...node.replica.sessions.values()];
  if (entry === undefined) throw new Error('a session');
  entry.executed += 1;
  const again = backup(stateHashInterval - 1);
  again.apply(stateHashInterval - 1, stateHashInterval);
  expect(sessionsHash(node.replica.sessions, 0, sha256Hasher)).not.toBe(
    sessionsHash(backup(stateHashInterval - 1).node.replica.sessions, 0, sha256Hasher),
  );
  ping(1, [good]);
  ping(2, [{ ...good, sessions: '00'.repeat(16) as Checksum }]);
  again.ping(1, [{ ...good, sessions: '00'.repeat(16) as Checksum }]);
  again.ping(2, [{ ...good, sessions: '00'.repeat(16) as Checksum }]);
  expect(again.node.replica.divergence.quarantine).toMatchObject({ cause: 'sessions' });
});

test('it heals from its first op where there is no checkpoint, and is normal again', () => {
  const flipped = backup(10);
  const { node, apply, ping } = flipped;
  node.replica.state = { ...node.replica.state, hash: 1, seal: 0 };
  apply(10, stateHashInterval);
  expect(node.replica.report?.hash).not.toBe(good.hash);
  ping(1, [good]);
  const effects = ping(2, [good]);
  expect(types(effects)).toContain('flush-to-disk');
  expect(node.replica.divergence.quarantine).toBe(null);
  expect(node.replica.report).toEqual(good);
  expect(replicaStatus(node.replica)).toMatchObject({ status: 'normal', applied: stateHashInterval, divergence: null });
  expect(node.replica.durable.quarantined).toBe(0);
});

test('it heals from further back than its memory of the log reaches', () => {
  const { node, apply, ping } = backup(many - 10);
  expect(node.replica.logLow).toBeGreaterThan(0);
  node.replica.state = { ...node.replica.state, hash: 1, seal: 0 };
  apply(many - 10, many);
  const whole = sound(many);
  ping(1, [whole]);
  ping(2, [whole]);
  expect(node.replica.divergence.quarantine).toBe(null);
  expect([node.replica.applied, node.replica.report]).toEqual([many, whole]);
}, 60_000);

test('its own newest checkpoint is not trusted, unless another replica has the very same', () => {
  const clean = backup(stateHashInterval, 16);
  const { node, refs, apply, ping } = backup(20, 16);
  const [first] = refs;
  if (first === undefined) throw new Error('a checkpoint');
  ping(1, [], { op: first.header.op, checksum: first.checksum });
  node.replica.state = { ...node.replica.state, hash: 1, seal: 0 };
  apply(20, stateHashInterval);
  expect(node.replica.checkpointing.refs.map(({ header }) => header.op)).toEqual([64, 48]);
  const marks = clean.refs.map(({ header, checksum }) => ({ op: header.op, checksum }));
  ping(1, [good], marks[0] ?? null);
  ping(2, [good]);
  // Neither of its own is what another has: it asks for theirs, and says so in its superblock meanwhile.
  expect(node.replica.syncing).not.toBe(null);
  expect(replicaStatus(node.replica)).toMatchObject({
    status: 'quarantined',
    divergence: { progress: 'fetching-checkpoint', untilOp: stateHashInterval },
  });
  expect(node.replica.durable.quarantined).toBe(stateHashInterval);
  expect(ofType(node.hear({ type: 'request-checkpoint', from: replicaId(2) }), 'checkpoint-offer')).toEqual([]);
});

test('damage that it finds in its own memory needs nobody to confirm it; its good checkpoint is read again', () => {
  const { node, refs, take } = backup(20, 16);
  const [ref] = refs;
  if (ref === undefined) throw new Error('a checkpoint');
  node.replica.checkpointing.stable = { op: ref.header.op, checksum: ref.checksum };
  const { hash } = node.replica.state;
  node.replica.state = { ...node.replica.state, hash: 1 };
  // The sessions have their turn before the state.
  node.send({ type: 'timer', timer: 'audit' });
  const effects = take(node.send({ type: 'timer', timer: 'audit' }));
  expect(effects).toContainEqual({ type: 'read-checkpoint-part', ref, part: 0, to: null });
  expect(node.replica.divergence.quarantine).toBe(null);
  expect([node.replica.applied, node.replica.state.hash]).toEqual([20, hash]);
});

test.each(['floor', 'executed', 'lastOp'] as const)(
  'a session whose %s changes by itself is found in its turn, and when it is used',
  (field) => {
    const { node } = backup(20);
    const [entry] = [...node.replica.sessions.values()];
    if (entry === undefined) throw new Error('a session');
    entry[field] += 1;
    const used = backup(20);
    for (const session of used.node.replica.sessions.values()) session[field] += 1;
    node.send({ type: 'timer', timer: 'audit' });
    expect(node.replica.divergence.quarantine ?? node.replica.divergence.healed).toMatchObject({ own: 'session 1' });
    used.apply(20, 21);
    expect(used.node.replica.divergence.healed).toMatchObject({ own: 'session 1' });
  },
);

test('an outcome of which one byte changes is found', () => {
  const { node } = backup(20);
  for (const { outcomes } of node.replica.sessions.values()) {
    for (const [number, outcome] of outcomes) outcomes.set(number, { ...outcome, body: bytesOf('20 other') });
  }
  node.send({ type: 'timer', timer: 'audit' });
  expect(node.replica.divergence.quarantine ?? node.replica.divergence.healed).toMatchObject({ own: 'session 1' });
});

test('a primary that has diverged asks to be replaced, and neither heartbeats nor counts its own word', () => {
  const node = replicaOfThree({ self: 1, durable: { view: 1, logView: 0 } });
  node.start();
  node.hear(doViewChange(0, 1, 0, [], 0));
  node.hear(doViewChange(2, 1, 0, [], 0));
  node.flushed();
  expect(replicaStatus(node.replica).role).toBe('primary');
  const nowUs = 1_000_000;
  node.hear({ type: 'pong', from: replicaId(0), sentAtUs: nowUs, realtimeUs: startUs + nowUs });
  const numbers = { session: sessionNumber(0), number: requestNumber(0), floor: requestNumber(0) };
  const request = { client, ...numbers, checksum: sha256Hasher(bytesOf('')), body: bytesOf('') };
  const [prepare] = node
    .send({ type: 'client-requests', requests: [request] })
    .flatMap((effect) => (effect.type === 'write-to-log' ? [effect.prepare] : []));
  if (prepare === undefined) throw new Error('a prepare');
  node.written(prepare);
  const { op, id } = prepare.header;
  const said = { view: toView(1), round: 0, checkpoint: toOp(0), report: null };
  node.hear({ type: 'prepare-ok', from: replicaId(0), op, id, ...said });
  expect(node.replica.applied).toBe(1);
  // What was applied is no longer in memory, so its state is not made anew in the same moment.
  node.replica.bodies.clear();
  node.replica.state = { ...node.replica.state, hash: 1 };
  node.send({ type: 'timer', timer: 'audit' });
  const effects = node.send({ type: 'timer', timer: 'audit' });
  expect(messages(effects)).toMatchObject([{ type: 'start-view-change', view: 1 }]);
  expect(node.replica.serving).toBe(false);
  expect(messages(node.send({ type: 'timer', timer: 'heartbeat' })).map(({ type }) => type)).not.toContain('heartbeat');
});
