import { seal, sealedOutcome } from '../../packages/vsr/src/sessions.ts';
import { encodeOutcomes } from '@kimberlite/wire';
import { describe, expect, test } from 'vitest';
import {
  after,
  client,
  expectRejected,
  ok,
  registration,
  type Rejected,
  replicate,
  request,
  type Scene,
  settled,
  upsert,
} from './scene.ts';

// What clients are told, and what they make of it: replies, reads, calls, and the order of it all.

const write = (scene: Scene, value: string, number = 2): void =>
  void replicate(scene, [request(number, [upsert(value)])]);
const hello = (scene: Scene, replica: number, connection: number, number: number): void =>
  scene.ask(replica, connection, [{ type: 'hello', protocolVersion: 1, client: client(number), cluster: null }]);

const replies: Record<string, Rejected> = {
  'an outcome to another client (pitfall 7)': {
    kinds: ['replies'],
    says: /to client 0+2, for whom it was executed nowhere/,
    make: after((scene) => {
      hello(scene, 0, 2, 2);
      scene.replyOutcome(0, 2, request(1, []));
    }),
  },
  'the outcome of another request (pitfall 58)': {
    kinds: ['replies'],
    says: /it is another one/,
    make: after((scene) => {
      write(scene, 'a');
      const session = scene.node(0).replica.sessions.get(client(1));
      const first = session?.outcomes.get(1);
      if (session === undefined || first === undefined) throw new Error('it was executed');
      session.outcomes.set(2, first);
      scene.replyOutcome(0, 1, request(2, []));
    }),
  },
  'an outcome of what was executed nowhere': {
    kinds: ['replies'],
    says: /for whom it was executed nowhere/,
    make: after((scene) => {
      const made = request(2, [upsert('a')]);
      const body = encodeOutcomes([{ ok: true, position: 3, op: 3, timestamp: 3000, isReplay: false }]);
      const session = scene.node(0).replica.sessions.get(client(1));
      session?.outcomes.set(2, sealedOutcome({ checksum: made.checksum, op: 3, timestamp: 3000, body }));
      if (session !== undefined) seal(session);
      scene.replyOutcome(0, 1, made);
    }),
  },
  'an outcome from a replica that has not executed it': {
    kinds: ['replies', 'effects'],
    says: /and has not executed it/,
    make: after((scene) => {
      const made = request(2, [upsert('a')]);
      replicate(scene, [made], [0]);
      const outcome = scene.node(0).replica.sessions.get(client(1))?.outcomes.get(2);
      if (outcome === undefined) throw new Error('it was executed');
      scene.node(1).replica.sessions.get(client(1))?.outcomes.set(2, outcome);
      hello(scene, 1, 2, 1);
      scene.replyOutcome(1, 2, made);
    }),
  },
  'an outcome from a backup': {
    kinds: ['effects'],
    says: /and has not been primary since it booted/,
    make: after((scene) => {
      hello(scene, 1, 2, 1);
      scene.replyOutcome(1, 2, request(1, []));
    }),
  },
  'another session than the one that was registered': {
    kinds: ['replies'],
    says: /gives client 0+1 session 9, not 1/,
    make: after((scene) => scene.reply(0, 1, { type: 'registered', session: request(1, [], { session: 9 }).session })),
  },
  'a live session called evicted (pitfalls 36, 57)': {
    kinds: ['replies'],
    says: /calls session 1 evicted, and it is not/,
    make: after((scene) => scene.reply(0, 1, { type: 'evicted', session: request(1, []).session })),
  },
  'a mismatch that the client has not earned': {
    kinds: ['replies'],
    says: /says request 2 of session 1 was another one before/,
    make: after((scene) => {
      const { session, number, floor, checksum, body } = request(2, [upsert('a')]);
      for (let i = 0; i < 2; i++)
        scene.ask(0, 1, [{ type: 'request', request: { session, number, floor, checksum, body } }]);
      scene.reply(0, 1, { type: 'mismatch', session, number });
    }),
  },
};

test('a mismatch that the client has earned is accepted, and so is a reply told again', () => {
  const scene = settled();
  for (const value of ['a', 'b']) {
    const { session, number, floor, checksum, body } = request(2, [upsert(value)]);
    scene.ask(0, 1, [{ type: 'request', request: { session, number, floor, checksum, body } }]);
  }
  const { session, number } = request(2, []);
  scene.reply(0, 1, { type: 'mismatch', session, number });
  for (let i = 0; i < 2; i++) scene.replyOutcome(0, 1, request(1, []));
  scene.reply(0, 1, { type: 'registered', session });
  expect(scene.failures).toEqual([]);
});

const confirmed = (scene: Scene, round: number): void => {
  scene.heartbeat(0, { round, commit: 2 });
  scene.heartbeatOk(1, { round, commit: 2 });
};

const reads: Record<string, Rejected> = {
  'an answer without a round (pitfall 41)': {
    kinds: ['read-confirmation'],
    says: /answers query 1, and 1 of 2 confirmed round 1 of view 0/,
    make: after((scene) => {
      scene.query(0, 1, 1);
      scene.answer(0, 1, 1, 2);
    }),
  },
  'an answer on a round from before the query': {
    kinds: ['read-confirmation'],
    says: /1 of 2 confirmed round 8 of view 0/,
    make: after((scene) => {
      scene.heartbeat(0, { round: 7, commit: 2 });
      scene.query(0, 1, 1);
      scene.heartbeatOk(1, { round: 7, commit: 2 });
      scene.answer(0, 1, 1, 2);
    }),
  },
  'an answer on an echo of another view': {
    kinds: ['read-confirmation'],
    says: /1 of 2 confirmed round 1 of view 0/,
    make: after((scene) => {
      scene.query(0, 1, 1);
      scene.heartbeat(0, { round: 1, commit: 2 });
      scene.superblock(1, { view: 1 });
      scene.heartbeatOk(1, { view: 1, round: 1, commit: 2 });
      scene.answer(0, 1, 1, 2);
    }),
  },
  'an answer without the request it comes after': {
    kinds: ['issue-order'],
    says: /request 2, issued before it, is op 3/,
    make: after((scene) => {
      write(scene, 'a');
      scene.query(0, 1, 1, 1, 2);
      confirmed(scene, 1);
      scene.answer(0, 1, 1, 2);
    }),
  },
  'an answer that has what was issued after it': {
    kinds: ['issue-order'],
    says: /request 2, issued after it, is op 3/,
    make: after((scene) => {
      const { session, number, floor, checksum, body } = request(2, [upsert('a')]);
      scene.query(0, 1, 1, 1, 1);
      confirmed(scene, 1);
      scene.ask(0, 1, [{ type: 'request', request: { session, number, floor, checksum, body } }]);
      write(scene, 'a');
      scene.answer(0, 1, 1, 3, 3);
    }),
  },
};

test('answers that have been confirmed are accepted, in a group of five by two backups', () => {
  const scene = settled({ nodes: 5 });
  scene.heartbeat(0, { round: 3, commit: 2 });
  scene.query(0, 1, 1, 1, 1);
  scene.query(0, 1, 2, 1, 1);
  scene.heartbeat(0, { round: 4, commit: 2 });
  for (const index of [2, 4]) scene.heartbeatOk(index, { round: 4, commit: 2 });
  write(scene, 'a');
  scene.answer(0, 1, 1, 2, 2);
  // The same op as the request behind it, but the position before it.
  scene.answer(0, 1, 2, 3, 2);
  expect(scene.failures).toEqual([]);
});

/** Writes a value at position 3, op 3, and says so to the caller. */
const calledAndDone = (scene: Scene, marker = 'a', more = {}): void => {
  const call = scene.invoke({ marker, ...more });
  write(scene, marker);
  scene.finish(call, ok(3, 3));
};

const calls: Record<string, Rejected> = {
  'acknowledged, and executed nowhere': {
    kinds: ['nothing-lost'],
    says: /client 0 was told that a has position 3, which was executed nowhere/,
    make: after((scene) => void scene.call({ marker: 'a' }, ok(3, 3))),
  },
  'acknowledged, and something else is there': {
    kinds: ['nothing-lost'],
    says: /there is b/,
    make: after((scene) => {
      write(scene, 'b');
      scene.call({ marker: 'a' }, ok(3, 3));
    }),
  },
  'acknowledged at another op': {
    kinds: ['replies'],
    says: /at op 4; it is op 3/,
    make: after((scene) => {
      const call = scene.invoke({ marker: 'a' });
      write(scene, 'a');
      scene.finish(call, ok(3, 4, { timestamp: 3000 }));
    }),
  },
  'acknowledged with another timestamp': {
    kinds: ['replies'],
    says: /at 4; it was 3000/,
    make: after((scene) => {
      const call = scene.invoke({ marker: 'a' });
      write(scene, 'a');
      scene.finish(call, ok(3, 3, { timestamp: 4 }));
    }),
  },
  'told of a rejection that was none': {
    kinds: ['replies'],
    says: /and was rejected, DuplicateKey; it was applied/,
    make: after((scene) => {
      const call = scene.invoke({ marker: 'a', type: 'insert' });
      write(scene, 'a');
      scene.finish(call, { type: 'rejected', op: 3, position: 3, code: 'DuplicateKey' });
    }),
  },
  'told of success where there was a rejection': {
    kinds: ['replies'],
    says: /and was applied; it was rejected, DuplicateKey/,
    make: after((scene) => {
      write(scene, 'a');
      const call = scene.invoke({ marker: 'b', type: 'insert' });
      replicate(scene, [request(3, [{ type: 'Insert', tenantId: 1, table: 'rows', row: { id: 1, value: 'b' } }])]);
      scene.finish(call, ok(4, 4));
    }),
  },
  'not applied, and it was (pitfall 67)': {
    kinds: ['honest-outcomes'],
    says: /client 0 was told a was not applied, and it was executed at positions 3/,
    make: after((scene) => {
      const call = scene.invoke({ marker: 'a' });
      write(scene, 'a');
      scene.finish(call, { type: 'not-applied' });
      scene.end();
    }),
  },
  'executed more often than called (pitfall 42)': {
    kinds: ['exactly-once'],
    says: /a was called 1 times and executed at positions 3, 4/,
    make: after((scene) => {
      const call = scene.invoke({ marker: 'a' });
      write(scene, 'a');
      write(scene, 'a', 3);
      scene.finish(call, { type: 'unknown' });
      scene.end();
    }),
  },
};

test('unknown may be either', () => {
  const scene = settled();
  for (const marker of ['a', 'never']) scene.call({ marker }, { type: 'unknown' });
  write(scene, 'a');
  scene.call({ marker: 'b' }, { type: 'not-applied' });
  scene.end();
  expect(scene.failures).toEqual([]);
});

const get = { marker: '', type: 'get' } as const;

const order: Record<string, Rejected> = {
  'a read older than what was acknowledged before it was called': {
    kinds: ['stale-read'],
    says: /get of row 1 by client 0 took effect at position 2, after position 3 was acknowledged/,
    make: after((scene) => {
      calledAndDone(scene);
      scene.call(get, ok(2, 2));
    }),
  },
  'a write before what was acknowledged before it was called': {
    kinds: ['log-order', 'issue-order'],
    says: /upsert of row 1 by client 0 took effect at position 3, after position 4 was acknowledged/,
    make: after((scene) => {
      write(scene, 'b');
      write(scene, 'a', 3);
      scene.call({ marker: 'a' }, ok(4, 4));
      scene.call({ marker: 'b' }, ok(3, 3));
      scene.end();
    }),
  },
  'an unknown write that took effect before it was called': {
    kinds: ['log-order'],
    says: /took effect at position 3, after position 4 was acknowledged/,
    make: after((scene) => {
      write(scene, 'b');
      write(scene, 'a', 3);
      scene.call({ marker: 'a' }, ok(4, 4));
      scene.call({ marker: 'b', client: 1 }, { type: 'unknown' });
      scene.end();
    }),
  },
  'a read that finds what the log does not have there': {
    kinds: ['log-order', 'linearizability'],
    says: /read of row rows\/1 by client 0 at position 3: found b; the log has a there/,
    make: after((scene) => {
      calledAndDone(scene);
      scene.call(get, ok(3, 3, { value: 'b' }));
      scene.end();
    }),
  },
  'writes of one client the other way round': {
    kinds: ['issue-order'],
    says: /client 0 issued a before b; they took effect at positions 4 and 3/,
    make: after((scene) => {
      const [a, b] = [scene.invoke({ marker: 'a' }), scene.invoke({ marker: 'b' })];
      write(scene, 'b');
      write(scene, 'a', 3);
      scene.finish(a, ok(4, 4));
      scene.finish(b, ok(3, 3));
      scene.end();
    }),
  },
  'a read of one client before its own earlier write': {
    kinds: ['issue-order'],
    says: /client 0 issued a before a read of row 1; they took effect at positions 3 and 2/,
    make: after((scene) => {
      const [a, read] = [scene.invoke({ marker: 'a' }), scene.invoke(get)];
      write(scene, 'a');
      scene.finish(a, ok(3, 3));
      scene.finish(read, ok(2, 2));
      scene.end();
    }),
  },
  'what no order explains': {
    kinds: ['log-order', 'linearizability'],
    says: /row rows\/1 has no order that explains its 2 calls/,
    make: after((scene) => {
      calledAndDone(scene);
      scene.call(get, ok(3, 3, { value: null }));
      scene.end();
    }),
  },
};

test('reads beside a write may find either, and calls that share an idempotency id are one operation', () => {
  const scene = settled();
  const [old, fresh] = [scene.invoke({ ...get, client: 1 }), scene.invoke({ ...get, client: 2 })];
  const shared = { marker: 'a', idempotencyId: 'a' };
  const [first, second] = [scene.invoke({ ...shared, client: 3 }), scene.invoke({ ...shared, client: 4 })];
  replicate(scene, [request(2, [upsert('a', 'a')])]);
  scene.finish(old, ok(2, 2, { value: null }));
  replicate(scene, [registration(2)]);
  replicate(scene, [request(1, [upsert('a', 'a')], { client: 2, session: 4 })]);
  // The first was never answered; that it took effect is known from the second.
  scene.finish(first, { type: 'unknown' });
  scene.finish(second, ok(3, 3, { isReplay: true }));
  scene.finish(fresh, ok(4, 5, { value: 'a' }));
  scene.call({ ...get, client: 5 }, ok(4, 5, { value: 'a' }));
  scene.end();
  expect(scene.failures).toEqual([]);
});

test('a replay proves that the first has taken effect: a later read cannot miss it', () => {
  const scene = settled();
  const shared = { marker: 'a', idempotencyId: 'a' };
  const [first, second] = [scene.invoke({ ...shared, client: 3 }), scene.invoke({ ...shared, client: 4 })];
  replicate(scene, [request(2, [upsert('a', 'a')])]);
  replicate(scene, [registration(2)]);
  replicate(scene, [request(1, [upsert('a', 'a')], { client: 2, session: 4 })]);
  scene.finish(first, { type: 'unknown' });
  scene.finish(second, ok(3, 3, { isReplay: true }));
  scene.call({ ...get, client: 5 }, ok(4, 5, { value: null }));
  scene.end();
  expect(scene.kinds).toEqual(['log-order', 'linearizability']);
});

describe.each(Object.entries({ replies, reads, calls, order }))('%s', (_, cases) => {
  test.each(Object.entries(cases))('rejected: %s', (_name, one) => expectRejected(one));
});
