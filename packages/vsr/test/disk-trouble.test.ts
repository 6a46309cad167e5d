import {
  type ClientId,
  op as toOp,
  type Prepare,
  replicaId,
  requestNumber,
  sessionNumber,
  sha256Hasher,
  view as toView,
} from '@kimberlite/base';
import { expect, test } from 'vitest';
import type { ClientRequest, Effect, Message } from '../src/index.ts';
import { defaultTiming } from '../src/timeouts.ts';
import { doViewChange, ofType, replicaOfThree } from './replica-of-three.ts';

// A disk with no room, or a very slow one: a write that does not end.

const registration: ClientRequest = {
  client: 'a'.repeat(32) as ClientId,
  session: sessionNumber(0),
  number: requestNumber(0),
  floor: requestNumber(0),
  checksum: sha256Hasher(new Uint8Array(0)),
  body: new Uint8Array(0),
};

/** The primary of view 1, serving, with one op prepared that its disk has not taken. */
function primaryWithWrite() {
  const node = replicaOfThree({ self: 1, durable: { view: 0 } });
  node.start();
  node.hear({ type: 'start-view-change', from: replicaId(2), view: toView(1) });
  node.flushed();
  node.hear(doViewChange(2, 1, 0, [], 0));
  node.flushed();
  expect(node.replica.status).toBe('normal');
  agreeOnTime(node);
  const effects = node.send({ type: 'client-requests', requests: [registration] });
  const written = effects.find((effect) => effect.type === 'write-to-log');
  if (written?.type !== 'write-to-log') throw new Error(`nothing was prepared: ${JSON.stringify(effects)}`);
  return { node, prepare: written.prepare };
}

/** Peers whose clocks are the same. */
function agreeOnTime(node: ReturnType<typeof replicaOfThree>): void {
  const pings = ofType(node.send({ type: 'timer', timer: 'ping' }), 'ping');
  for (const ping of pings) {
    for (const from of [0, 2]) {
      node.hear({ type: 'pong', from: replicaId(from), sentAtUs: ping.sentAtUs, realtimeUs: node.replica.realtime });
    }
  }
}

const prepareOk = (from: number, { header }: Prepare): Message => ({
  type: 'prepare-ok',
  from: replicaId(from),
  view: toView(1),
  op: toOp(header.op),
  id: header.id,
  round: 0,
  checkpoint: toOp(0),
  report: null,
});

const heartbeat = (node: ReturnType<typeof replicaOfThree>): readonly Effect[] =>
  node.send({ type: 'timer', timer: 'heartbeat' });
const refusals = (effects: readonly Effect[]): readonly string[] =>
  effects.flatMap((effect) =>
    effect.type === 'notify-client' && effect.reply.type === 'refused' ? [effect.reply.refusal.reason] : [],
  );

test('requests are refused while the disk has no room, and taken again when it has', () => {
  const { node } = primaryWithWrite();
  node.send({ type: 'disk-full', full: true });
  const other = { ...registration, client: 'b'.repeat(32) as ClientId };
  const refused = node.send({ type: 'client-requests', requests: [other] });
  expect(refusals(refused)).toEqual(['disk-full']);
  expect(refused.some((effect) => effect.type === 'write-to-log')).toBe(false);
  node.send({ type: 'disk-full', full: false });
  const taken = node.send({ type: 'client-requests', requests: [other] });
  expect(refusals(taken)).toEqual([]);
  expect(taken.some((effect) => effect.type === 'write-to-log')).toBe(true);
});

test('a primary whose disk lags behind what the others committed hands over; alone with its lag it stays', () => {
  const { node, prepare } = primaryWithWrite();
  const votesAfter = (ms: number): number => {
    node.later(ms);
    return ofType(heartbeat(node), 'start-view-change').length;
  };
  // Nothing is committed: all disks may be full alike.
  expect([votesAfter(40), votesAfter(defaultTiming.diskLagMs + 40)]).toEqual([0, 0]);
  node.hear(prepareOk(0, prepare));
  node.hear(prepareOk(2, prepare));
  expect(node.replica.commit).toBe(1);
  expect([votesAfter(40), votesAfter(defaultTiming.diskLagMs - 100), votesAfter(200)]).toEqual([0, 0, 1]);
});

test('a disk that catches up in time costs the primary nothing', () => {
  const { node, prepare } = primaryWithWrite();
  node.hear(prepareOk(0, prepare));
  node.hear(prepareOk(2, prepare));
  heartbeat(node);
  node.later(defaultTiming.diskLagMs - 100);
  heartbeat(node);
  node.written(prepare);
  node.later(200);
  expect(ofType(heartbeat(node), 'start-view-change')).toEqual([]);
  node.later(defaultTiming.diskLagMs + 200);
  expect(ofType(heartbeat(node), 'start-view-change')).toEqual([]);
});
