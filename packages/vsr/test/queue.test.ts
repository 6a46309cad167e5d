import {
  type ClientId,
  clusterId,
  op as toOp,
  replicaId,
  requestNumber,
  requestQueueMax,
  sessionNumber,
  sessionTableBytesMax,
  sha256Hasher,
} from '@kimberlite/base';
import { expect, test } from 'vitest';
import {
  type ClientReply,
  type ClientRequest,
  createReplica,
  type Event,
  initialDurableState,
  step,
} from '../src/index.ts';
import { byteMachine, bytesOf } from './byte-machine.ts';

/** One body for all outcomes, so that the test itself needs little memory. */
const large = new Uint8Array(1_048_576);

/** A cluster of one whose disk answers at once. */
function alone(stateMachine = byteMachine) {
  const replica = createReplica({
    cluster: clusterId('ab'.repeat(16)),
    replica: replicaId(0),
    replicaCount: 1,
    hasher: sha256Hasher,
    seed: 1,
    nonce: 'n',
    stateMachine,
    durable: initialDurableState(),
    recovered: { slots: [], head: toOp(0), headCertain: true },
  });
  let now = 1_000_000;
  const replies: ClientReply[] = [];
  const send = (first: Event): void => {
    const events = [first];
    for (let event = events.shift(); event !== undefined; event = events.shift()) {
      now += 1000;
      for (const effect of step(replica, event, { monotonicUs: now, realtimeUs: 1_700_000_000_000_000 + now })) {
        if (effect.type === 'write-to-log') {
          const { op, id } = effect.prepare.header;
          events.push({ type: 'log-written', op, id });
        } else if (effect.type === 'flush-to-disk')
          events.push({ type: 'superblock-written', sequence: effect.sequence });
        else if (effect.type === 'notify-client') replies.push(effect.reply);
      }
    }
  };
  send({ type: 'start' });
  return { replica, replies, send };
}

const request = (client: string, session: number, number: number, floor = Math.min(1, number)): ClientRequest => {
  const body = bytesOf(number === 0 ? '' : `${client}${number}`);
  return {
    client: client.repeat(32) as ClientId,
    session: sessionNumber(session),
    number: requestNumber(number),
    floor: requestNumber(floor),
    checksum: sha256Hasher(body),
    body,
  };
};

function register(node: ReturnType<typeof alone>, client: string): number {
  node.send({ type: 'client-requests', requests: [request(client, 0, 0)] });
  const reply = node.replies.at(-1);
  if (reply?.type !== 'registered') throw new Error(`not registered: ${JSON.stringify(reply)}`);
  return reply.session;
}

const gapClients = ['1', '2', '3', '4', '5', '6', '7', '8', '9'];

test('requests whose predecessor never comes do not keep the queue from others', () => {
  const node = alone();
  const sessions = gapClients.map((client) => register(node, client));
  const honest = register(node, 'a');
  // Number 1 is missing everywhere, as if it had been refused and its client were gone.
  const waiting = gapClients.flatMap((client, i) =>
    Array.from({ length: 500 }, (_, n) => request(client, sessions[i] ?? 0, n + 2)),
  );
  expect(waiting.length).toBeGreaterThan(requestQueueMax);
  node.send({ type: 'client-requests', requests: waiting });
  expect(node.replies.some((reply) => reply.type === 'refused' && reply.refusal.reason === 'overloaded')).toBe(true);
  node.send({ type: 'client-requests', requests: waiting.slice(0, requestQueueMax) });
  node.send({ type: 'client-requests', requests: [request('a', honest, 1)] });
  expect(node.replies.at(-1)).toMatchObject({ type: 'outcome', session: honest, number: 1 });
});

test('a floor above them lets go of what waited below', () => {
  const node = alone();
  const session = register(node, '1');
  node.send({ type: 'client-requests', requests: [request('1', session, 3), request('1', session, 4)] });
  expect(node.replica.queuedCount).toBe(2);
  node.send({ type: 'client-requests', requests: [request('1', session, 5, 5)] });
  expect(node.replies.at(-1)).toMatchObject({ type: 'outcome', number: 5 });
  expect(node.replica.queuedCount).toBe(0);
  expect(node.replica.queuedBytes).toBe(0);
});

test('outcomes nobody fetches cost their own session, not the memory and not the others', () => {
  const node = alone({ ...byteMachine, apply: (state, r) => ({ ...byteMachine.apply(state, r), reply: large }) });
  const hog = register(node, '1');
  const honest = register(node, '2');
  node.send({ type: 'client-requests', requests: [request('2', honest, 1)] });
  const enough = Math.ceil(sessionTableBytesMax / large.length);
  for (let number = 1; number <= enough; number++) {
    node.send({ type: 'client-requests', requests: [request('1', hog, number)] });
    expect(node.replica.outcomeBytes).toBeLessThanOrEqual(sessionTableBytesMax);
  }
  node.send({ type: 'client-requests', requests: [request('1', hog, enough + 1)] });
  expect(node.replies.at(-1)).toMatchObject({ type: 'evicted', session: hog });
  node.send({ type: 'client-requests', requests: [request('2', honest, 1)] });
  expect(node.replies.at(-1)).toMatchObject({ type: 'outcome', session: honest, number: 1 });
});
