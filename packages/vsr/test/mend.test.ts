import { type CheckpointRef, type Checksum, op as toOp, replicaId } from '@kimberlite/base';
import { expect, test } from 'vitest';
import type { Effect } from '../src/index.ts';
import { defaultTiming } from '../src/timeouts.ts';
import { chain, messages, ofType, replicaOfThree, slot, types } from './replica-of-three.ts';

// What a scrub found damaged comes back from peers, whether the replica still has it in memory or not.

const [one, two, three] = chain(0, 3);
if (one === undefined || two === undefined || three === undefined) throw new Error('three prepares');

function backup() {
  const slots = chain(0, 3).map((prepare) => slot(prepare, 'durable'));
  const node = replicaOfThree({ self: 1, slots });
  node.start();
  expect(node.replica.status).toBe('normal');
  return node;
}

const asked = (effects: readonly Effect[]) => ofType(effects, 'request-prepare').map(({ op }) => op as number);

test('a damaged prepare below the memory of the log is asked for by its id until it comes, and written once', () => {
  const node = backup();
  // As after very many ops: nothing up to here is in memory.
  node.replica.logLow = 3;
  const { id } = two.header;
  expect(asked(node.send({ type: 'damage-found', op: toOp(2), id }))).toEqual([2]);
  node.later(defaultTiming.repairTimeoutMs + 1);
  const again = node.send({ type: 'timer', timer: 'repair' });
  expect(asked(again)).toEqual([2]);
  const other = { ...three, header: { ...three.header, op: toOp(2) } };
  expect(types(node.hear({ type: 'repair-prepare', from: replicaId(0), prepare: other }))).not.toContain(
    'write-to-log',
  );
  const taken = node.hear({ type: 'repair-prepare', from: replicaId(0), prepare: two });
  expect(taken).toContainEqual({ type: 'write-to-log', prepare: two });
  expect(types(node.hear({ type: 'repair-prepare', from: replicaId(2), prepare: two }))).not.toContain('write-to-log');
  node.written(two);
  expect(node.replica.mending.prepares.size).toBe(0);
});

test('one that the log no longer needs is let go', () => {
  const node = backup();
  node.replica.logLow = 3;
  node.replica.checkpointing.trimmed = 2;
  expect(asked(node.send({ type: 'damage-found', op: toOp(2), id: two.header.id }))).toEqual([]);
});

const ref: CheckpointRef = { header: two.header, contentBytes: 600_000, checksum: 'cd'.repeat(16) as Checksum };
const manifest = 3;

function withCheckpoint() {
  const node = backup();
  node.replica.durable = { ...node.replica.durable, checkpoint: toOp(2), checkpoints: [ref] };
  node.replica.checkpoint = 2;
  node.replica.checkpointing.refs = [ref];
  return node;
}
const parts = (effects: readonly Effect[]) => ofType(effects, 'request-checkpoint-part').map(({ part }) => part);
const part = (number: number, bytes: Uint8Array | null, from = 0) => ({
  type: 'checkpoint-part' as const,
  from: replicaId(from),
  checksum: ref.checksum,
  part: number,
  bytes,
});

test('the damaged parts of a checkpoint are fetched, one after another; then it is offered again', () => {
  const node = withCheckpoint();
  expect(parts(node.send({ type: 'checkpoint-damaged', ref }))).toEqual([manifest]);
  expect(messages(node.hear({ type: 'request-checkpoint', from: replicaId(2) }))).toEqual([]);
  // A peer without it: the next one is asked.
  expect(parts(node.hear(part(manifest, null)))).toEqual([manifest]);
  expect(types(node.hear(part(manifest, new Uint8Array(80), 2)))).toEqual(['receive-checkpoint']);
  const { checksum } = ref;
  expect(parts(node.send({ type: 'checkpoint-receiving', checksum, missing: [0, 2] }))).toEqual([0]);
  expect(types(node.hear(part(0, new Uint8Array(9))))).toEqual(['store-checkpoint-part']);
  expect(parts(node.send({ type: 'checkpoint-part-stored', checksum, part: 0, stored: true }))).toEqual([2]);
  node.later(defaultTiming.repairTimeoutMs + 1);
  expect(parts(node.send({ type: 'timer', timer: 'sync' }))).toEqual([2]);
  node.hear(part(2, new Uint8Array(9)));
  node.send({ type: 'checkpoint-part-stored', checksum, part: 2, stored: true });
  expect(node.replica.mending.checkpoint).toBeNull();
  expect(node.replica.checkpointing.damaged.size).toBe(0);
  expect(ofType(node.hear({ type: 'request-checkpoint', from: replicaId(2) }), 'checkpoint-offer')).toHaveLength(1);
});

test('where nobody has it, it is left to the checkpoint that follows', () => {
  const node = withCheckpoint();
  node.send({ type: 'checkpoint-damaged', ref });
  for (let i = 0; i < 20; i++) node.hear(part(manifest, null, i % 2 === 0 ? 0 : 2));
  expect(node.replica.mending.checkpoint).toBeNull();
  expect(node.replica.checkpointing.damaged.has(ref.checksum)).toBe(true);
});
