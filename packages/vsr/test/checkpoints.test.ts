import {
  type Checksum,
  type ClientId,
  concatBytes,
  FixedWriter,
  makePrepare,
  replicaId,
  requestNumber,
  rootHeader,
  type SessionNumber,
  sessionNumber,
  sha256Hasher,
  view as toView,
} from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import { ContentDecoder, encodeContent } from '../src/checkpoint-content.ts';
import {
  type CheckpointMark,
  createReplay,
  createReplica,
  type Effect,
  encodeBatch,
  replicaStatus,
  step,
  foundingGroup,
  systemClient,
} from '../src/index.ts';
import { seal, sealedOutcome, type SessionEntry } from '../src/sessions.ts';
import { defaultTiming } from '../src/timeouts.ts';
import { byteMachine, type ByteState, bytesOf } from './byte-machine.ts';
import { chain, cluster, prepareOf, replicaOfThree, types } from './replica-of-three.ts';
import { TestCheckpoints } from './test-checkpoints.ts';

const interval = 4;

/** A backup of view 1 that has heard, written and applied so many ops, and the disk its checkpoints go to. */
function grownBackup(ops: number) {
  const node = replicaOfThree({ self: 0, durable: { view: 1 }, checkpointInterval: interval });
  const prepares = chain(1, ops + 1);
  const disk = new TestCheckpoints();
  node.start();
  const written: Effect[] = [];
  const hear = (from: number, to: number, durable = true): void => {
    for (const prepare of prepares.slice(from, to)) {
      written.push(...node.hear(prepareOf(1, prepare, prepare.header.op)));
      if (durable) node.written(prepare);
    }
  };
  return { node, prepares, disk, written, hear };
}

const writesOf = (effects: readonly Effect[]): readonly (Effect & { type: 'write-checkpoint' })[] =>
  effects.filter((effect): effect is Effect & { type: 'write-checkpoint' } => effect.type === 'write-checkpoint');

describe('checkpoints of a backup', () => {
  test('one at every fourth op; it counts when the superblock names it', () => {
    const { node, disk, written, hear } = grownBackup(6);
    hear(0, 6);
    const [write, ...rest] = writesOf(written);
    if (write === undefined) throw new Error('a checkpoint');
    expect([write.header.op, rest.length]).toEqual([4, 0]);
    const ref = disk.write(write.header, write.content);
    const effects = node.send({ type: 'checkpoint-written', op: write.header.op, ref });
    expect(effects).toMatchObject([{ type: 'flush-to-disk', state: { checkpoint: 4, checkpoints: [ref] } }]);
    expect(node.replica.durable.checkpoint).toBe(0);
    node.flushed();
    expect(node.replica.durable.checkpoint).toBe(4);
  });

  test('the superblock does not name one whose op the own log lacks: a log never ends below it', () => {
    const { node, prepares, disk, written, hear } = grownBackup(6);
    hear(0, 3);
    hear(3, 5, false);
    const [write] = writesOf(written);
    const last = prepares[3];
    if (write === undefined || last === undefined) throw new Error('a checkpoint');
    const ref = disk.write(write.header, write.content);
    expect(types(node.send({ type: 'checkpoint-written', op: write.header.op, ref }))).not.toContain('flush-to-disk');
    expect(types(node.written(last))).toContain('flush-to-disk');
  });

  test('where there was no space it is tried again', () => {
    const { node, written, hear } = grownBackup(6);
    hear(0, 6);
    const [write] = writesOf(written);
    if (write === undefined) throw new Error('a checkpoint');
    const effects = node.send({ type: 'checkpoint-written', op: write.header.op, ref: null });
    expect(effects).toMatchObject([{ type: 'set-timer', timer: 'checkpoint' }]);
    node.later(2 * defaultTiming.checkpointRetryMs);
    expect(writesOf(node.send({ type: 'timer', timer: 'checkpoint' }))).toMatchObject([{ header: { op: 4 } }]);
  });

  test('the log is let go of only below a second checkpoint, and only where a quorum has one', () => {
    const { node, disk, written, hear } = grownBackup(12);
    const marks: CheckpointMark[] = [];
    const finish = (): readonly Effect[] => {
      const write = writesOf(written.splice(0))[0];
      if (write === undefined) throw new Error('a checkpoint');
      const ref = disk.write(write.header, write.content);
      marks.push({ op: write.header.op, checksum: ref.checksum });
      node.send({ type: 'checkpoint-written', op: write.header.op, ref });
      return node.flushed();
    };
    const trims = (effects: readonly Effect[]): readonly Effect[] => effects.filter(({ type }) => type === 'trim-log');
    const heartbeat = (number: number, stable: CheckpointMark | null): readonly Effect[] => {
      const { commit } = node.replica;
      const said = { number, commit: node.replica.durable.commit, round: 0, report: null, stable };
      expect(commit).toBeGreaterThanOrEqual(said.commit);
      const trimmed = node.replica.durable.checkpoint;
      node.hear({ type: 'heartbeat', from: replicaId(1), view: toView(1), ...said, trimmed });
      return node.flushed();
    };
    hear(0, 5);
    expect(trims(finish())).toEqual([]);
    expect(trims(heartbeat(1, marks[0] ?? null))).toEqual([]);
    hear(5, 9);
    expect(trims(finish())).toMatchObject([{ op: 5 }]);
    hear(9, 12);
    expect(trims(finish())).toEqual([]);
    expect(trims(heartbeat(2, marks[1] ?? null))).toMatchObject([{ op: 9 }]);
  });
});

test('until its checkpoint is read a replica does not call the first state that of the checkpoint, nor answers from it', () => {
  const { node, disk, written, hear } = grownBackup(6);
  hear(0, 6);
  const [write] = writesOf(written);
  if (write === undefined) throw new Error('a checkpoint');
  const ref = disk.write(write.header, write.content);
  node.send({ type: 'checkpoint-written', op: write.header.op, ref });
  node.flushed();
  const replica = createReplica({
    cluster,
    replica: replicaId(0),
    replicaCount: 3,
    hasher: sha256Hasher,
    seed: 1,
    nonce: 'm',
    stateMachine: byteMachine,
    durable: node.replica.durable,
    recovered: { slots: [], head: write.header.op, headCertain: true },
  });
  const clock = { monotonicUs: 1, realtimeUs: 1_700_000_000_000_000 };
  const effects = step(replica, { type: 'start' }, clock);
  expect(effects).toContainEqual({ type: 'read-checkpoint-part', ref, part: 0, to: null });
  expect(replicaStatus(replica)).toMatchObject({ status: 'recovering', stateHashOp: 0 });
  const query = { client: 'c'.repeat(32) as ClientId, session: sessionNumber(1), query: 1, after: requestNumber(0) };
  const asked = {
    type: 'client-queries' as const,
    queries: [{ ...query, level: { type: 'local' as const }, body: bytesOf('') }],
  };
  expect(step(replica, asked, clock)).toMatchObject([
    { reply: { type: 'query-refused', refusal: { reason: 'recovering' } } },
  ]);
  step(replica, { type: 'checkpoint-part-read', ref, part: 0, to: null, bytes: disk.read(ref, 0) }, clock);
  expect(replicaStatus(replica)).toMatchObject({ stateHashOp: 4 });
});

describe('the content of a checkpoint', () => {
  const entry = (session: number, bodies: readonly string[]): SessionEntry => {
    const made: SessionEntry = {
      session: session as SessionNumber,
      floor: 2,
      lastOp: session + 1,
      executed: 1 + bodies.length,
      outcomes: new Map(
        bodies.map((body, i) => [
          i + 2,
          sealedOutcome({ checksum: 'ab'.repeat(16) as Checksum, op: session, timestamp: 7, body: bytesOf(body) }),
        ]),
      ),
      outcomeBytes: bodies.reduce((sum, body) => sum + body.length + 256, 0),
      seal: 0,
    };
    seal(made);
    return made;
  };
  const clients = ['b'.repeat(32), 'a'.repeat(32)] as ClientId[];
  let state: ByteState = byteMachine.initial();
  for (let op = 1; op <= 5; op++) {
    const request = { op, timestamp: op, client: clients[0], session: 1, checksum: '', body: bytesOf(`put ${op}`) };
    state = byteMachine.apply(state, request as never).state;
  }
  const fields = { cluster: 'c0'.repeat(16), op: 3, view: 1, parent: 'ab'.repeat(16), timestamp: 1 };
  const { header } = makePrepare({ ...fields, body: new Uint8Array(0) }, sha256Hasher);
  const content = {
    state,
    sessions: new Map([
      [clients[0] as ClientId, entry(3, ['x', 'y'.repeat(70_000)])],
      [clients[1] as ClientId, entry(4, [])],
    ]),
    schedule: { op: 4, bytes: 99 },
    living: [0, 2, 0, 0, 0, 0],
    membership: { group: { ...foundingGroup(3), epoch: 2, standbys: [4] }, boundary: header },
    inForce: 1,
  };
  const bytes = concatBytes([...encodeContent(content, byteMachine)]);

  test('comes back the same from pieces of any size, and does not depend on the order of the sessions', () => {
    for (const size of [1000, 4096, 262_144]) {
      const decoder = new ContentDecoder(byteMachine);
      for (let at = 0; at < bytes.length; at += size) {
        expect(decoder.push(bytes.slice(at, at + size))).toEqual({ ok: true, value: undefined });
      }
      expect(decoder.finish()).toEqual({ ok: true, value: content });
    }
    const turned = { ...content, sessions: new Map([...content.sessions].reverse()) };
    expect(sha256Hasher(concatBytes([...encodeContent(turned, byteMachine)]))).toBe(sha256Hasher(bytes));
  });

  test('is total: what is cut off or strange is an error, never a throw', () => {
    const read = (piece: Uint8Array): boolean => {
      const decoder = new ContentDecoder(byteMachine);
      return decoder.push(piece).ok && decoder.finish().ok;
    };
    for (let end = 0; end < 400; end++) expect(read(bytes.slice(0, end))).toBe(false);
    for (let at = 0; at < 300; at++) read(bytes.slice(0, 4000).map((byte, i) => (i === at ? byte ^ 0x55 : byte)));
    expect(read(new Uint8Array(500).fill(255))).toBe(false);
  });
});

test('an op that was let go of is not rot: nobody can bring it back, and nobody needs it', () => {
  const { node, prepares, hear } = grownBackup(12);
  hear(0, 12);
  node.replica.checkpointing.trimmed = 6;
  const [gone, kept] = [prepares[5], prepares[6]];
  if (gone === undefined || kept === undefined) throw new Error('ops 6 and 7');
  for (const { header } of [gone, kept]) {
    node.replica.slots.set(header.op, { durable: header.id, writing: null, faulty: false });
    node.send({ type: 'prepare-read', op: header.op, id: header.id, prepare: null });
  }
  expect([...node.replica.damaged]).toEqual([7]);
});

test('a replay is none of the replicas: a fence in the log stops none of it', () => {
  const replay = createReplay({ cluster, hasher: sha256Hasher, stateMachine: byteMachine });
  const body = new FixedWriter(6).u8(1).u8(0).u32(3).bytes;
  const numbers = { session: sessionNumber(0), number: requestNumber(0), floor: requestNumber(0) };
  const fence = { client: systemClient, ...numbers, checksum: sha256Hasher(body), body };
  const parent = rootHeader(cluster, sha256Hasher).id;
  const fields = { cluster, op: 1, view: 1, parent, timestamp: 5, body: encodeBatch([fence]) };
  expect(replay.apply(makePrepare(fields, sha256Hasher))).toEqual({ ok: true, value: undefined });
});
