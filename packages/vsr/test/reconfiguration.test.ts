import {
  makePrepare,
  op as toOp,
  type Prepare,
  replicaId,
  rootHeader,
  sha256Hasher,
  view as toView,
} from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import {
  type Effect,
  encodeBatch,
  foundingGroup,
  type Group,
  type MemberChange,
  type Message,
  viewsPerEpoch,
} from '../src/index.ts';
import { systemRequest } from '../src/system-op.ts';
import { chain, cluster, doViewChange, messages, ofType, replicaOfThree, startView, vote } from './replica-of-three.ts';

// The group of three becomes another, seen from one replica whose peers are played by hand.

type Node = ReturnType<typeof replicaOfThree>;

const heartbeatOk = (node: Node, from: number, fields: { commit?: number; applied?: number } = {}): Message => ({
  type: 'heartbeat-ok',
  from: replicaId(from),
  view: toView(node.replica.view),
  number: 1,
  round: 0,
  commit: toOp(fields.commit ?? 0),
  applied: toOp(fields.applied ?? 0),
  checkpoint: null,
  newest: 1,
  report: null,
});

/** Replica 1 serves view 1, and has heard both others. */
function primary(): Node {
  const node = replicaOfThree({ self: 1 });
  node.start();
  node.hear(doViewChange(0, 1, 0, [], 0));
  node.flushed();
  node.hear(doViewChange(0, 1, 0, [], 0));
  node.flushed();
  expect(node.replica.status).toBe('normal');
  for (const from of [0, 2]) node.hear(heartbeatOk(node, from));
  // Clocks agree once the others have answered a ping.
  for (const from of [0, 2]) {
    const at = 1_000_000;
    node.hear({ type: 'pong', from: replicaId(from), sentAtUs: at, realtimeUs: 1_700_000_000_000_000 + at });
  }
  return node;
}

const change = (node: Node, what: MemberChange, dryRun = false): readonly Effect[] =>
  node.send({ type: 'change-members', change: what, ticket: 1, dryRun });

const resultOf = (effects: readonly Effect[]) => effects.find((effect) => effect.type === 'members-changed')?.result;

const preparedIn = (effects: readonly Effect[]): Prepare => {
  const [message] = ofType(effects, 'prepare');
  if (message === undefined) throw new Error('nothing was prepared');
  return message.prepare;
};

/** It is durable here and on replica 0. */
const commit = (node: Node, prepare: Prepare): readonly Effect[] => {
  const own = node.send({ type: 'log-written', op: prepare.header.op, id: prepare.header.id });
  const { op, id } = prepare.header;
  const rest = { round: 0, checkpoint: toOp(0), report: null };
  const acked = node.hear({ type: 'prepare-ok', from: replicaId(0), view: toView(node.replica.view), op, id, ...rest });
  return [...own, ...acked];
};

const add: MemberChange = { type: 'add', replica: 3, address: 'd:1' };

describe('at the primary', () => {
  test('an added replica is a standby of the next epoch, which begins in a view change of its own', () => {
    const node = primary();
    const asked = change(node, add);
    expect(resultOf(asked)).toBe(undefined);
    const done = commit(node, preparedIn(asked));
    expect(resultOf(done)).toMatchObject({
      ok: true,
      membership: { group: { epoch: 1, voters: [1, 2, 0], standbys: [3] } },
    });
    const { status, view, logView, head, group } = node.replica;
    expect([status, view, logView, head]).toEqual(['view-change', viewsPerEpoch + 1, viewsPerEpoch, 1]);
    expect(group.addresses[3]).toBe('d:1');
    const told = done.flatMap((effect) =>
      effect.type === 'broadcast' && effect.message.type === 'new-epoch' ? effect.to : [],
    );
    expect([...told].sort()).toEqual([0, 2, 3]);
    // One superblock write has view, log view and group; before it is done nothing speaks for the new view.
    expect(done.find((effect) => effect.type === 'flush-to-disk')?.state).toMatchObject({
      view: viewsPerEpoch + 1,
      logView: viewsPerEpoch,
      membership: { group: { epoch: 1 }, boundary: { op: 1 } },
    });
    expect(messages(done).filter((m) => 'view' in m && m.view >= viewsPerEpoch)).toEqual([]);
  });

  test('behind the last op of an epoch nothing is prepared', () => {
    const node = primary();
    const asked = change(node, add);
    const again = change(node, { type: 'remove', replica: 0 });
    expect(resultOf(again)).toMatchObject({ ok: false, again: true });
    const client = '5'.repeat(32) as never;
    const register = {
      client,
      session: 0,
      number: 0,
      floor: 0,
      checksum: sha256Hasher(new Uint8Array(0)),
      body: new Uint8Array(0),
    };
    expect(ofType(node.send({ type: 'client-requests', requests: [register as never] }), 'prepare')).toEqual([]);
    expect(node.replica.head).toBe(preparedIn(asked).header.op);
  });

  test('a dry run changes nothing', () => {
    const node = primary();
    const asked = change(node, add, true);
    expect(resultOf(asked)).toMatchObject({ ok: true, membership: { group: { epoch: 1, standbys: [3] } } });
    expect([ofType(asked, 'prepare'), node.replica.head, node.replica.group.epoch]).toEqual([[], 0, 0]);
  });

  test.each<[string, MemberChange, boolean, RegExp]>([
    ['a member is not added', { type: 'add', replica: 2, address: 'x:1' }, false, /member already/],
    ['a seventh has no number', { type: 'add', replica: 6, address: 'x:1' }, false, /0 to 5/],
    ['an address is needed', { type: 'add', replica: 3, address: '' }, false, /address/],
    ['only a standby is promoted', { type: 'promote', replica: 3 }, false, /no standby/],
    ['a voter is not promoted', { type: 'promote', replica: 2 }, false, /vote already/],
    ['the primary does not remove itself', { type: 'remove', replica: 1 }, false, /transfer/],
    ['nobody is removed twice', { type: 'remove', replica: 4 }, false, /no member/],
    ['a voter is not replaced by a voter', { type: 'replace', replica: 0, by: 2 }, false, /no standby/],
  ])('%s', (_, what, again, reason) => {
    const result = resultOf(change(primary(), what));
    expect(result).toMatchObject({ ok: false, again });
    expect(result?.ok === false ? result.reason : '').toMatch(reason);
  });

  test('what would cost the quorum is refused until those who would vote are heard', () => {
    const node = primary();
    node.later(5000);
    node.hear(heartbeatOk(node, 2));
    // Of replicas 0, 1 and 2 the first is silent: without replica 2 nobody could vote but the primary.
    const refused = resultOf(change(node, { type: 'remove', replica: 2 }));
    expect(refused).toMatchObject({ ok: false, again: true });
    expect(refused?.ok === false ? refused.reason : '').toMatch(/replica 0 is not heard/);
    expect(resultOf(change(node, { type: 'remove', replica: 0 }, true))).toMatchObject({ ok: true });
  });
});

/** The reconfiguration as the op that the others know. */
function boundaryTo(group: Partial<Group>, before: readonly Prepare[] = []) {
  const whole: Group = { ...foundingGroup(3), epoch: 1, ...group };
  const parent = before.at(-1)?.header ?? rootHeader(cluster, sha256Hasher);
  const body = encodeBatch([systemRequest(sha256Hasher, { type: 'reconfigure', group: whole })]);
  const fields = { cluster, op: parent.op + 1, view: 1, parent: parent.id, timestamp: parent.timestamp + 10, body };
  const prepare = makePrepare(fields, sha256Hasher);
  const membership = { group: whole, boundary: prepare.header };
  return { prepare, membership, told: { type: 'new-epoch' as const, from: replicaId(1), membership } };
}

describe('at the others', () => {
  test('whoever is told of an epoch is where those are who applied its first op, and asks for what it lacks', () => {
    const node = replicaOfThree({ self: 0, durable: { view: 1 } });
    node.start();
    const { prepare, told } = boundaryTo({ voters: [1, 2, 0], standbys: [3] });
    node.hear(told);
    const { view, logView, head, commit: committed } = node.replica;
    expect([view, logView, head, committed]).toEqual([viewsPerEpoch + 1, viewsPerEpoch, 1, 1]);
    const [sent] = ofType(node.flushed(), 'do-view-change');
    expect(sent).toMatchObject({ logView: viewsPerEpoch, head: 1, commit: 1, suffix: [{ id: prepare.header.id }] });
  });

  test('an old epoch is answered, and moves nobody', () => {
    const node = replicaOfThree({ self: 0, durable: { view: 1 } });
    node.start();
    node.hear(boundaryTo({ voters: [1, 2, 0], standbys: [3] }).told);
    node.flushed();
    const before = node.replica.view;
    for (const message of [vote(1, 7), vote(2, 7), doViewChange(2, 9, 1, [], 0), startView(10, [], 0)]) {
      expect(ofType(node.hear(message), 'new-epoch')).toHaveLength(1);
    }
    expect([node.replica.view, node.replica.votes.size, node.replica.dvcs.size]).toEqual([before, 0, 0]);
  });

  test('a message of an epoch that is not known here is a question for it', () => {
    const node = replicaOfThree({ self: 0, durable: { view: 1 } });
    node.start();
    const effects = node.hear(vote(2, viewsPerEpoch * 4 + 2));
    expect(messages(effects).map(({ type }) => type)).toEqual(['request-start-view']);
    expect(node.replica.view).toBe(1);
  });

  test('nothing is acknowledged before everything up to the beginning of the epoch is durable here', () => {
    const before = chain(1, 1);
    const node = replicaOfThree({ self: 0, durable: { view: 1 } });
    node.start();
    const { prepare, told, membership } = boundaryTo({ voters: [1, 2, 0], standbys: [] }, before);
    node.hear(told);
    node.flushed();
    const view = viewsPerEpoch + 1;
    const next = makePrepare(
      {
        cluster,
        op: 3,
        view,
        parent: prepare.header.id,
        timestamp: prepare.header.timestamp + 10,
        body: encodeBatch([]),
      },
      sha256Hasher,
    );
    node.hear({ ...startView(1, [prepare, next], 2), from: replicaId(1), view: toView(view) } as Message);
    node.flushed();
    node.hear({ type: 'repair-prepare', from: replicaId(1), prepare: next });
    expect(ofType(node.written(next), 'prepare-ok')).toEqual([]);
    node.hear({ type: 'repair-prepare', from: replicaId(1), prepare });
    expect(ofType(node.written(prepare), 'prepare-ok')).toEqual([]);
    const [first] = before;
    if (first === undefined) throw new Error('a prepare');
    node.hear({ type: 'repair-prepare', from: replicaId(1), prepare: first });
    const acks = ofType(node.written(first), 'prepare-ok');
    expect(acks.map(({ op }) => op)).toContain(3);
    expect(membership.group.voters).toContain(0);
  });

  test('a standby acknowledges nothing, votes for nothing and gives no do_view_change', () => {
    const node = replicaOfThree({ self: 0, durable: { view: 1 } });
    node.start();
    const { prepare, told } = boundaryTo({ voters: [1, 2], standbys: [0] });
    node.hear(told);
    expect(ofType(node.flushed(), 'do-view-change')).toEqual([]);
    node.hear({ ...startView(1, [prepare], 1), view: toView(viewsPerEpoch + 1) } as Message);
    node.flushed();
    node.hear({ type: 'repair-prepare', from: replicaId(1), prepare });
    expect(node.replica.status).toBe('normal');
    expect(ofType(node.written(prepare), 'prepare-ok')).toEqual([]);
    node.later(10_000);
    const silence = [
      ...node.send({ type: 'timer', timer: 'heartbeat-timeout' }),
      ...node.send({ type: 'timer', timer: 'heartbeat-timeout' }),
    ];
    expect(ofType(silence, 'start-view-change')).toEqual([]);
    expect(ofType(silence, 'request-start-view').length).toBeGreaterThan(0);
  });

  test('a removed replica stops when the others have committed something, and not before', () => {
    const node = replicaOfThree({ self: 0, durable: { view: 1 } });
    node.start();
    const { prepare, told } = boundaryTo({ voters: [1, 2] });
    node.hear(told);
    node.flushed();
    const view = toView(viewsPerEpoch + 1);
    const stillThere = node.hear({ ...startView(1, [prepare], 1), view } as Message);
    expect([stillThere.map(({ type }) => type), node.replica.status]).toEqual([[], 'view-change']);
    // It has what the others may lack.
    node.hear({ type: 'request-headers', from: replicaId(2), low: toOp(1), high: toOp(1), highId: prepare.header.id });
    const gone = node.hear({ ...startView(1, [prepare], 1), view, commit: toOp(2) } as Message);
    expect(gone.map(({ type }) => type)).toEqual(['removed', 'stopped']);
  });

  test('a machine whose identity was given to another stops', () => {
    const node = replicaOfThree({ self: 0, durable: { view: 1 } });
    node.start();
    const { told } = boundaryTo({ voters: [1, 2], standbys: [0], incarnations: [1, 0, 0, 0, 0, 0] });
    expect(() => node.hear(told)).toThrow(/another machine/);
  });
});
