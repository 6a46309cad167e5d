import { seal, sealedOutcome } from '../../packages/vsr/src/sessions.ts';
import type { Prepare } from '@kimberlite/base';
import { encodeOutcomes } from '@kimberlite/wire';
import { describe, expect, test } from 'vitest';
import {
  after,
  expectRejected,
  registration,
  type Rejected,
  replicate,
  request,
  Scene,
  settled,
  type Twist,
  upsert,
} from './scene.ts';

// The second half of the checkers of replicas: what is durable when something is said, what is executed, and what is
// made of it.

const suffixOf = (prepares: readonly Prepare[]) =>
  prepares.map(({ header }) => ({ op: header.op, id: header.id, header }));
const held = (prepare: Prepare) => ({ prepare, present: true, nack: false });
const nacked = (prepare: Prepare) => ({ prepare, present: false, nack: true });
/** What view 0 has at op 3, and what view 1 has there. */
function twoForOneOp(scene: Scene): readonly [Prepare, Prepare] {
  const after = scene.tip;
  const first = scene.prepare([request(2, [upsert('a')])], { after });
  return [first, scene.prepare([request(2, [upsert('b')])], { after, view: 1 })];
}
const third = (scene: Scene): Prepare => replicate(scene, [request(2, [upsert('a')])]);

/** On replica 1, at position 3, the state machine gives something else. */
const onReplica1 =
  (change: (applied: Parameters<Twist>[1]) => Parameters<Twist>[1]): Twist =>
  (replica, applied) =>
    replica === 1 && applied.state.position === 3 ? change(applied) : applied;

const persistence: Record<string, Rejected> = {
  'a heartbeat of a view that is not on disk (pitfall 21)': {
    kinds: ['persistence'],
    says: /replica 1 sends heartbeat of view 1 \(log view 1\) with view 0, log view 0 on disk/,
    make: after((scene) => scene.heartbeat(1, { view: 1, commit: 1 })),
  },
  'a superblock written and not synced': {
    kinds: ['persistence'],
    says: /sends do-view-change of view 1/,
    make: after((scene) => {
      const prepare = third(scene);
      scene.superblock(2, { view: 1, logView: 0, commit: 2, suffix: suffixOf([prepare]) }, false);
      scene.send(2, scene.doViewChange(2, { view: 1, commit: 2, marks: [held(prepare)] }));
    }),
  },
  'a start_view with the view on disk and not the log view (pitfall 2)': {
    kinds: ['persistence'],
    says: /sends start-view of view 1 \(log view 1\) with view 1, log view 0/,
    make: after((scene) => {
      scene.superblock(1, { view: 1, logView: 0, commit: 2 });
      scene.startView(1, 1, scene.log.slice(1), 2);
    }),
  },
  'a do_view_change with another suffix than the superblock froze (pitfall 52)': {
    kinds: ['persistence'],
    says: /its superblock has 3:/,
    make: after((scene) => {
      const prepare = third(scene);
      scene.superblock(2, { view: 1, logView: 0, commit: 2, suffix: suffixOf([prepare]) });
      const second = scene.log.slice(1, 2).map(held);
      scene.send(2, scene.doViewChange(2, { view: 1, commit: 2, marks: [...second, held(prepare)] }));
    }),
  },
  'an ack before anything is written': {
    kinds: ['persistence'],
    says: /replica 1 acks op 3 .*on its disk it is: not written/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, prepare);
      scene.ack(1, prepare);
    }),
  },
  'an ack before the prepare is synced (pitfall 20)': {
    kinds: ['persistence'],
    says: /on its disk it is: not synced/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, prepare);
      scene.write(1, prepare, { bodySynced: false, headerWritten: false });
      scene.ack(1, prepare);
    }),
  },
  'a header record before the body is synced (pitfall 63)': {
    kinds: ['persistence'],
    says: /writes the header record of op 3 before its body is synced/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, prepare);
      scene.write(1, prepare, { bodySynced: false });
    }),
  },
  'a header record while another one for that op is under way (pitfall 46)': {
    kinds: ['persistence'],
    says: /writes the header record of op 3 while another write to it is under way/,
    make: after((scene) => {
      const [first, second] = twoForOneOp(scene);
      scene.write(1, first, { headerSynced: false });
      scene.write(1, second);
    }),
  },
  'an ack over damage that the boot could see (pitfall 48)': {
    kinds: ['persistence'],
    says: /on its disk it is: another prepare there/,
    make: after((scene) => {
      const prepare = third(scene);
      scene.node(1).platter.flipBit('segment-00000001.wal', scene.node(1).end - 4096 + 70, 3);
      scene.reboot(1);
      scene.ack(1, prepare);
    }),
  },
  'an ack of a prepare that nobody has seen': {
    kinds: ['persistence'],
    says: /which nobody has seen/,
    make: after((scene) => scene.ack(1, scene.prepare([request(2, [upsert('a')])]))),
  },
  'a client told of a view that is not on disk (pitfall 32)': {
    kinds: ['persistence'],
    says: /tells a client of view 1 with view 0, log view 0 on disk/,
    make: after((scene) => {
      const { replica } = scene.node(1);
      scene.superblock(1, { view: 1, commit: 0 }, false);
      const view = scene.doViewChange(1, { view: 1, marks: [] });
      if (!('view' in view)) throw new Error('it has a view');
      scene.tell(1, 1, [{ type: 'view', view: view.view, primary: replica.self }]);
    }),
  },
  'a client told of a view that was joined, and whose log is not there (pitfall 32)': {
    kinds: ['persistence'],
    says: /tells a client of view 1 with view 1, log view 0 on disk/,
    make: after((scene) => {
      const { replica } = scene.node(1);
      scene.superblock(1, { view: 1, logView: 0, commit: 0 });
      const view = scene.doViewChange(1, { view: 1, marks: [] });
      if (!('view' in view)) throw new Error('it has a view');
      scene.tell(1, 1, [{ type: 'view', view: view.view, primary: replica.self }]);
    }),
  },
  'a refusal that names a view that is not on disk': {
    kinds: ['persistence'],
    says: /tells a client of view 1/,
    make: after((scene) => {
      const view = scene.doViewChange(1, { view: 1, marks: [] });
      if (!('view' in view)) throw new Error('it has a view');
      const refusal = { reason: 'view-change', retryAfterMs: 50, view: view.view, primary: view.from } as const;
      scene.reply(1, 1, { type: 'query-refused', query: 1, refusal });
    }),
  },
};

const leaveView0 = (scene: Scene, prepare: Prepare): void =>
  scene.superblock(2, { view: 1, logView: 0, commit: 2, suffix: suffixOf([prepare]) });

const nacks: Record<string, Rejected> = {
  'a nack of what was acknowledged (pitfall 9)': {
    kinds: ['nacks'],
    says: /replica 2 acknowledged op 3 .* in view 0 and disowns it for view 1/,
    make: after((scene) => {
      const prepare = third(scene);
      leaveView0(scene, prepare);
      scene.send(2, scene.doViewChange(2, { view: 1, commit: 2, marks: [nacked(prepare)] }));
    }),
  },
  'a head below what was acknowledged (pitfalls 47, 52)': {
    kinds: ['nacks'],
    says: /disowns it/,
    make: after((scene) => {
      third(scene);
      const second = scene.log.slice(1, 2);
      scene.superblock(2, { view: 1, logView: 0, commit: 2, suffix: suffixOf(second) });
      scene.send(2, scene.doViewChange(2, { view: 1, commit: 2, marks: second.map(held) }));
    }),
  },
  'a mark that becomes a nack later': {
    kinds: ['nacks'],
    says: /nacks op 3 for view 1, and did not before/,
    make: after((scene) => {
      const prepare = scene.prepare([request(2, [upsert('a')])]);
      scene.sendPrepare(0, prepare);
      scene.write(2, prepare);
      leaveView0(scene, prepare);
      scene.send(2, scene.doViewChange(2, { view: 1, commit: 2, marks: [held(prepare)] }));
      scene.send(2, scene.doViewChange(2, { view: 1, commit: 2, marks: [nacked(prepare)] }));
    }),
  },
};

const neverBack: Record<string, Rejected> = {
  'a commit number that goes back within a boot': {
    kinds: ['never-back'],
    says: /replica 0 sends heartbeat with commit 1 after 2/,
    make: after((scene) => {
      scene.heartbeat(0, { commit: 2 });
      scene.heartbeat(0, { commit: 1 });
    }),
  },
  'a view that goes back within a boot': {
    kinds: ['never-back'],
    says: /with view 0 after 1/,
    make: after((scene) => {
      scene.superblock(1, { view: 1 });
      scene.heartbeat(1, { view: 1, commit: 2 });
      scene.heartbeatOk(1, { commit: 2 });
    }),
  },
  'a view below what the disk had at the boot (pitfall 62)': {
    kinds: ['never-back'],
    says: /with view 0 after 1/,
    make: after((scene) => {
      scene.superblock(1, { view: 1 });
      scene.reboot(1);
      scene.heartbeatOk(1, { commit: 2 });
    }),
  },
  'a superblock that goes back (pitfall 3)': {
    kinds: ['never-back'],
    says: /writes a superblock with logView 0 after 1/,
    make: after((scene) => {
      scene.superblock(2, { view: 1 });
      scene.superblock(1, { view: 1 });
      scene.superblock(1, { view: 2, logView: 0 });
    }),
  },
};

const execution: Record<string, Rejected> = {
  'another request at the same place': {
    kinds: ['agreement'],
    says: /there replica 1 executes op 3/,
    make: after((scene) => {
      const { tip } = scene;
      third(scene);
      scene.reboot(1);
      for (const prepare of scene.log.slice(0, 2)) scene.execute(1, prepare);
      scene.execute(1, scene.prepare([request(2, [upsert('rival')])], { after: tip }));
    }),
  },
  'a request that the committed prepare does not have': {
    kinds: ['agreement', 'timestamps'],
    says: /a request of session 1 that is not in the committed prepare/,
    make: after((scene) => {
      const { tip } = scene;
      replicate(scene, [request(2, [upsert('a')])], []);
      const rival = scene.prepare([request(2, [upsert('rival')])], { after: tip, timestamp: tip.timestamp + 1500 });
      scene.execute(0, rival);
    }),
  },
  'an op twice in one boot': {
    kinds: ['exactly-once'],
    says: /request 2 of session 1, but it was executed at op 3/,
    make: after((scene) => {
      const prepare = third(scene);
      const { replica } = scene.node(0);
      replica.applied = 2;
      replica.appliedId = prepare.header.parent;
      replica.appliedTimestamp = 2000;
      replica.sessions.get(request(2, []).client)?.outcomes.clear();
      scene.execute(0, prepare, false);
    }),
  },
  'another state at the same place': {
    kinds: ['state-hash', 'replay'],
    says: /replica 1 comes to another state at 3/,
    make: after(
      (scene) => {
        third(scene);
        scene.end();
      },
      { twist: onReplica1((applied) => ({ ...applied, state: { ...applied.state, budgetBytes: 1 } })) },
    ),
  },
  'another reply at the same place': {
    kinds: ['state-hash', 'sessions'],
    says: /replica 1 gives another reply/,
    make: after(
      (scene) => {
        third(scene);
        scene.end();
      },
      {
        twist: onReplica1((applied) => {
          const outcome = { ok: true, position: 3, op: 3, timestamp: 3000, isReplay: false } as const;
          return { ...applied, reply: encodeOutcomes([outcome]) };
        }),
      },
    ),
  },
  'a hash in a report that is not the one of the state': {
    kinds: ['state-hash'],
    says: /replica 1 reports the hash beef at op 64; dead was reported before/,
    make: after((scene) => {
      scene.heartbeat(0, { hash: 'dead', commit: 2 });
      scene.superblock(1, { view: 1 });
      scene.heartbeat(1, { view: 1, hash: 'beef', commit: 2 });
    }),
  },
  'a replica that ends behind the others': {
    kinds: ['nothing-lost', 'sessions'],
    says: /replica 2 ends with 1 requests executed, others with 2/,
    make: after((scene) => {
      replicate(scene, [request(2, [upsert('a')])], [0, 1]);
      scene.end();
    }),
  },
  'a committed op that is on too few disks at the end': {
    kinds: ['nothing-lost'],
    says: /op 3 was committed, and at the end 1 disks have it/,
    make: after((scene) => {
      third(scene);
      for (const index of [1, 2]) {
        scene.node(index).platter.flipBit('segment-00000001.wal', scene.node(index).end - 4096 + 70, 3);
        scene.reboot(index);
        for (const prepare of scene.log) scene.execute(index, prepare);
      }
      scene.end();
    }),
  },
};

const requests: Record<string, Rejected> = {
  'a request executed again at a later op (pitfalls 42, 56)': {
    kinds: ['exactly-once'],
    says: /request 2 of session 1, but it was executed at op 3/,
    make: after((scene) => {
      const twice = request(2, [upsert('a')]);
      replicate(scene, [twice]);
      for (const { replica } of scene.nodes) replica.sessions.get(twice.client)?.outcomes.clear();
      replicate(scene, [twice], [0]);
    }),
  },
  'a committed request that nobody executes (pitfall 6)': {
    kinds: ['exactly-once'],
    says: /it is the turn of request 2/,
    make: after((scene) => {
      const entry = scene.node(0).replica.sessions.get(request(2, []).client);
      if (entry === undefined) throw new Error('the client has a session');
      const [first, second] = [request(2, [upsert('a')]), request(3, [upsert('b')])];
      const outcome = { checksum: first.checksum, op: 1, timestamp: 1000, body: new Uint8Array(0) };
      entry.outcomes.set(2, sealedOutcome(outcome));
      seal(entry);
      replicate(scene, [first, second], [0]);
    }),
  },
  'a whole op that nobody executes': {
    kinds: ['exactly-once', 'sessions', 'replay'],
    says: /request 2 of session 1 is committed at op 3 and executed nowhere/,
    make: after((scene) => {
      const twice = request(2, [upsert('a')]);
      for (const { replica } of scene.nodes) {
        const outcome = { checksum: twice.checksum, op: 1, timestamp: 1000, body: new Uint8Array(0) };
        const entry = replica.sessions.get(twice.client);
        entry?.outcomes.set(2, sealedOutcome(outcome));
        if (entry !== undefined) seal(entry);
      }
      replicate(scene, [twice]);
      scene.end();
    }),
  },
  'requests of a session out of their order': {
    kinds: ['issue-order'],
    says: /request 3 of session 1 is executed after request 1, at op 3/,
    make: after((scene) => void replicate(scene, [request(3, [upsert('a')])], [0])),
  },
  'a session of another client': {
    kinds: ['exactly-once'],
    says: /but its session is not there/,
    make: after((scene) => {
      const foreign = request(2, [upsert('a')], { client: 2 });
      const { replica } = scene.node(0);
      const entry = replica.sessions.get(request(1, []).client);
      if (entry === undefined) throw new Error('the client has a session');
      replica.sessions.set(foreign.client, { ...entry, outcomes: new Map() });
      replicate(scene, [foreign], [0]);
    }),
  },
  'a session table that is not what the log makes': {
    kinds: ['sessions'],
    says: /replica 2 ends with session 1 at floor 2/,
    make: after((scene) => {
      third(scene);
      const entry = scene.node(2).replica.sessions.get(request(1, []).client);
      if (entry === undefined) throw new Error('the client has a session');
      entry.floor = 2;
      scene.end();
    }),
  },
  'an outcome that one replica has forgotten (pitfall 58)': {
    kinds: ['sessions'],
    says: /and 1 outcomes, not 2/,
    make: after((scene) => {
      third(scene);
      scene.node(2).replica.sessions.get(request(1, []).client)?.outcomes.delete(2);
      scene.end();
    }),
  },
};

/** Another outcome on every replica: only what the outcome says of itself can tell. */
const outcomes = (change: (own: { position: number; op: number }) => Parameters<typeof encodeOutcomes>[0]): Twist => {
  return (_replica, applied) => {
    const { position, op } = applied.state;
    return position < 3 ? applied : { ...applied, reply: encodeOutcomes(change({ position, op })) };
  };
};
const done = (position: number, op: number, isReplay = false) =>
  ({ ok: true, position, op, timestamp: op * 1000, isReplay, result: { inserted: true } }) as const;
const refused = (position: number, code: 'DuplicateIdempotencyId') =>
  ({
    ok: false,
    position,
    error: { code, message: 'no', retryable: false, idempotencyId: 'id', firstPosition: 3 },
  }) as const;

const twoUnderOneId = (scene: Scene, second = 'a'): void => {
  replicate(scene, [request(2, [upsert('a', 'id')])], [0]);
  replicate(scene, [registration(2)], [0]);
  replicate(scene, [request(1, [upsert(second, 'id')], { client: 2, session: 4 })], [0]);
};

const idempotency: Record<string, Rejected> = {
  'the same id and command executed twice': {
    kinds: ['idempotency'],
    says: /idempotency id id at position 4, op 5, was executed at position 3, and is again/,
    make: after((scene) => twoUnderOneId(scene), { twist: outcomes(({ position, op }) => [done(position, op)]) }),
  },
  'a replay with another outcome than the first': {
    kinds: ['idempotency'],
    says: /and is again/,
    make: after((scene) => twoUnderOneId(scene), {
      twist: outcomes(({ position, op }) => [position === 3 ? done(3, 3) : done(3, op, true)]),
    }),
  },
  'another command under a known id that is not refused': {
    kinds: ['idempotency'],
    says: /is another command than the first, and is not refused/,
    make: after((scene) => twoUnderOneId(scene, 'b'), {
      twist: outcomes(({ position, op }) => [done(position, op)]),
    }),
  },
  'DuplicateIdempotencyId for a new id': {
    kinds: ['idempotency'],
    says: /is new, and refused/,
    make: after((scene) => void replicate(scene, [request(2, [upsert('a', 'id')])], [0]), {
      twist: outcomes(({ position }) => [refused(position, 'DuplicateIdempotencyId')]),
    }),
  },
  'a replay of nothing': {
    kinds: ['idempotency'],
    says: /is new, and gets the outcome of another place/,
    make: after((scene) => void replicate(scene, [request(2, [upsert('a', 'id')])], [0]), {
      twist: outcomes(() => [done(2, 2, true)]),
    }),
  },
  'an outcome that tells of another place': {
    kinds: ['idempotency'],
    says: /the outcome of position 3, op 3, tells of another place/,
    make: after((scene) => void third(scene), { twist: outcomes(({ op }) => [done(9, op)]) }),
  },
};

const effects: Record<string, Rejected> = {
  'effects that are never handed on': {
    kinds: ['effects'],
    says: /replica 1 has executed op 3 and never handed its effects on/,
    make: after((scene) => {
      const prepare = replicate(scene, [request(2, [upsert('a')])], [0, 2]);
      scene.execute(1, prepare, false);
      scene.end();
    }),
  },
  'effects handed on twice (pitfall 40)': {
    kinds: ['effects'],
    says: /hands on op 3 after op 3/,
    make: after((scene) => {
      third(scene);
      for (const effect of scene.node(1).replica.out) {
        if (effect.type === 'apply-effects') scene.observer.handedOn(1, effect);
      }
    }),
  },
  'some of the effects of an op': {
    kinds: ['effects'],
    says: /hands on 1 effects of op 3, not 2 of op 3/,
    make: after((scene) => {
      const prepare = replicate(scene, [request(2, [upsert('a'), upsert('b')])], []);
      scene.execute(0, prepare, false);
      for (const effect of scene.node(0).replica.out) {
        if (effect.type === 'apply-effects') {
          scene.observer.handedOn(0, { ...effect, effects: effect.effects.slice(1) });
        }
      }
    }),
  },
  'a backup that calls itself primary': {
    kinds: ['effects'],
    says: /replica 1 hands on op 3 as primary with view 0 on disk/,
    make: after((scene) => {
      const prepare = replicate(scene, [request(2, [upsert('a')])], [0]);
      scene.execute(1, prepare, false);
      for (const effect of scene.node(1).replica.out) {
        if (effect.type === 'apply-effects') scene.observer.handedOn(1, { ...effect, primary: true });
      }
    }),
  },
  'a new op called replayed': {
    kinds: ['effects'],
    says: /replica 1 calls op 3 replayed; op 0 was the last before its boot/,
    make: after((scene) => {
      scene.node(1).replica.replayUntil = 3;
      third(scene);
    }),
  },
  'an op called new that the superblock knew committed': {
    kinds: ['effects'],
    says: /replica 1 calls op 3 new; its superblock knew it committed/,
    make: after((scene) => {
      third(scene);
      scene.superblock(1, { commit: 3 });
      scene.reboot(1);
      for (const prepare of scene.log) scene.execute(1, prepare);
    }),
  },
  'a primary that hands an op on as a backup and answers it': {
    kinds: ['effects'],
    says: /answers op 3 in the moment in which it handed it on as a backup/,
    make: after((scene) => {
      scene.superblock(0, {});
      scene.node(0).replica.view = 1;
      const sent = request(2, [upsert('a')]);
      replicate(scene, [sent]);
      scene.replyOutcome(0, 1, sent);
    }),
  },
};

const replays: Record<string, Rejected> = {
  'a state that another replica does not have': {
    kinds: ['replay'],
    says: /replica 1 ends at op 3 with state .*; replica 0 has/,
    make: after((scene) => {
      third(scene);
      const { replica } = scene.node(1);
      replica.state = { ...replica.state, budgetBytes: 1 };
      scene.end();
    }),
  },
  'a state that the log does not give': {
    kinds: ['replay'],
    says: /replica 0 ends at op 3 in another state than a replay of the log/,
    make: after((scene) => {
      third(scene);
      for (const { replica } of scene.nodes) replica.state = { ...replica.state, usedBytes: 1, budgetBytes: 1 };
      scene.end();
    }),
  },
  'a hash that is not that of the state': {
    kinds: ['replay'],
    says: /computed from the state it is/,
    make: after((scene) => {
      third(scene);
      const { replica } = scene.node(0);
      replica.state = { ...replica.state, digest: scene.node(0).replica.machine.initial().digest };
      scene.end();
    }),
  },
};

test('an ack leaves before the header record, which is there in the end', () => {
  const scene = settled();
  const prepare = scene.prepare([request(2, [upsert('a')])]);
  scene.sendPrepare(0, prepare);
  for (const index of [0, 1, 2]) {
    scene.write(index, prepare, { headerWritten: false });
    if (index > 0) scene.ack(index, prepare);
  }
  for (const index of [0, 1, 2]) scene.execute(index, prepare);
  expect(scene.failures).toEqual([]);
  scene.end();
  expect(scene.kinds).toEqual(['nothing-lost']);
});

describe.each(Object.entries({ persistence, nacks, neverBack, execution, requests, idempotency, effects, replays }))(
  '%s',
  (_, cases) => {
    test.each(Object.entries(cases))('rejected: %s', (_name, one) => expectRejected(one));
  },
);

test('an op has another header record once the first one is synced, or lost in a crash', () => {
  const scene = settled();
  const [first, second] = twoForOneOp(scene);
  scene.write(1, first);
  scene.write(1, second);
  scene.write(2, first, { headerSynced: false });
  scene.reboot(2);
  scene.write(2, second);
  expect(scene.failures).toEqual([]);
});

test('what was acknowledged in one log view may be gone in a later one', () => {
  const scene = settled();
  const lost = scene.prepare([request(2, [upsert('a')])]);
  scene.sendPrepare(0, lost);
  scene.write(2, lost);
  scene.ack(2, lost);
  // View 1 settles without it; no quorum had it.
  const second = scene.log.slice(1);
  scene.superblock(1, { view: 1, commit: 2, suffix: suffixOf(second) });
  scene.superblock(2, { view: 1, commit: 2, suffix: suffixOf(second) });
  scene.superblock(2, { view: 2, logView: 1, commit: 2, suffix: suffixOf(second) });
  scene.send(2, scene.doViewChange(2, { view: 2, logView: 1, commit: 2, marks: second.map(held) }));
  expect(scene.failures).toEqual([]);
});
