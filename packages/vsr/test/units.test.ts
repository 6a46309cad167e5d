import {
  assert,
  type CheckpointRef,
  type Checksum,
  type ClientId,
  clusterId,
  makePrepare,
  op,
  pipelineMax,
  replicaId,
  requestNumber,
  rootHeader,
  sessionNumber,
  sha256Hasher,
  view,
} from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import { advanceApply } from '../src/apply.ts';
import { onPrepareRead } from '../src/repair.ts';
import { setEntry } from '../src/replica.ts';
import { marzullo } from '../src/clock.ts';
import {
  type ClientRequest,
  cloneReplica,
  createReplica,
  type DurableState,
  decodeBatch,
  decodeDurableState,
  foundingGroup,
  viewsPerEpoch,
  encodeBatch,
  encodeDurableState,
  encodeReplica,
  initialDurableState,
  step,
} from '../src/index.ts';
import { quorumsOf, sizeOf, withReplica } from '../src/quorum.ts';
import { byteMachine, bytesOf } from './byte-machine.ts';

const cluster = clusterId('ab'.repeat(16));

describe('quorums', () => {
  test('any two that must meet do meet', () => {
    for (let n = 1; n <= 6; n++) {
      const q = quorumsOf(n);
      expect(q.replication + q.viewChange, `n = ${n}`).toBeGreaterThan(n);
      expect(q.nack).toBe(n - q.replication + 1);
      expect(2 * q.viewChange).toBeGreaterThan(n);
      expect(q.majority).toBe(Math.floor(n / 2) + 1);
    }
  });
  test('a set counts each replica once (pitfall 60)', () => {
    expect(sizeOf(withReplica(withReplica(withReplica(0, 2), 2), 5))).toBe(2);
  });
});

describe('clock agreement', () => {
  const around = (middle: number, error: number) => ({ lowUs: middle - error, highUs: middle + error });
  test('the interval most sources share', () => {
    expect(marzullo([around(10, 2), around(12, 1), around(11, 1)])).toEqual({
      shared: { lowUs: 11, highUs: 12 },
      sources: 3,
    });
    expect(marzullo([around(0, 1), around(10, 1), around(11, 1)])).toEqual({
      shared: { lowUs: 10, highUs: 11 },
      sources: 2,
    });
    expect(marzullo([around(0, 1), around(2, 1)])).toEqual({ shared: { lowUs: 1, highUs: 1 }, sources: 2 });
    expect(marzullo([])).toBeNull();
  });
});

const register = (): ClientRequest => ({ ...request(0, '', 0), floor: requestNumber(0) });

const request = (number: number, body: string, session = 3): ClientRequest => ({
  client: '1'.repeat(32) as ClientId,
  session: sessionNumber(session),
  number: requestNumber(number),
  floor: requestNumber(1),
  checksum: sha256Hasher(bytesOf(body)),
  body: bytesOf(body),
});

const emptyReplica = () =>
  createReplica({
    cluster,
    replica: replicaId(0),
    replicaCount: 3,
    hasher: sha256Hasher,
    seed: 1,
    nonce: '0'.repeat(32),
    stateMachine: byteMachine,
    durable: initialDurableState(),
    recovered: { slots: [], head: op(0), headCertain: true },
  });

test('a query that waits for an inherited op sees that op and none behind it, though both are applied at once', () => {
  const r = emptyReplica();
  r.status = 'normal';
  r.serving = true;
  let parent = r.root;
  for (const [at, requests] of [[register()], [request(1, 'before', 1)], [request(2, 'after', 1)]].entries()) {
    const body = encodeBatch(requests);
    const prepare = makePrepare(
      { cluster, op: at + 1, view: 0, parent: parent.id, timestamp: at + 1, body },
      sha256Hasher,
    );
    parent = prepare.header;
    r.log.set(parent.op, { id: parent.id, header: parent });
    r.bodies.set(parent.op, prepare);
    r.slots.set(parent.op, { durable: parent.id, writing: null, faulty: false });
  }
  // A new primary has inherited two ops and is asked before they are committed; then it prepares the third.
  r.head = 3;
  r.inherited = 2;
  r.linkedLow = 1;
  const { client } = register();
  const query = { client, session: sessionNumber(1), query: 1, after: requestNumber(0), body: bytesOf('') };
  step(
    r,
    { type: 'client-queries', queries: [{ ...query, level: { type: 'linearizable' } }] },
    { monotonicUs: 1, realtimeUs: 1 },
  );
  r.commit = 3;
  advanceApply(r);
  expect(r.applied).toBe(3);
  expect([...r.queries.values()].map(({ captured }) => captured?.op)).toEqual([2]);
});

describe('a blank slot', () => {
  const [held, other] = ['held', 'other'].map((body) =>
    makePrepare(
      { cluster, op: 1, view: 0, parent: rootHeader(cluster, sha256Hasher).id, timestamp: 1, body: bytesOf(body) },
      sha256Hasher,
    ),
  );
  assert(held !== undefined && other !== undefined, 'two prepares');
  const holding = () => {
    const r = emptyReplica();
    r.slots.set(1, { durable: null, writing: null, faulty: true, found: held.header });
    return r;
  };

  test('is durable once a link names what it holds', () => {
    const r = holding();
    setEntry(r, 1, held.header.id, null);
    expect(r.slots.get(1)).toEqual({ durable: held.header.id, writing: null, faulty: false });
    expect(r.log.get(1)?.header).toEqual(held.header);
  });

  test('stays marked when a link names something else', () => {
    const r = holding();
    setEntry(r, 1, other.header.id, null);
    expect(r.slots.get(1)).toMatchObject({ durable: null, faulty: true });
    expect(r.log.get(1)?.header).toBeNull();
  });

  test('stays marked when what it held could not be read meanwhile', () => {
    const r = holding();
    onPrepareRead(r, 1, held.header.id, null);
    setEntry(r, 1, held.header.id, null);
    expect(r.slots.get(1)).toEqual({ durable: null, writing: null, faulty: true });
  });
});

describe('batch', () => {
  test('round trip', () => {
    const batch = [request(1, 'a'), request(2, ''), request(3, 'ccc')];
    expect(decodeBatch(encodeBatch(batch))).toEqual({ ok: true, value: batch });
    expect(decodeBatch(encodeBatch([]))).toEqual({ ok: true, value: [] });
  });
  test('total: every cut and some noise give an error', () => {
    const bytes = encodeBatch([request(1, 'abc')]);
    for (let end = 0; end < bytes.length; end++) expect(decodeBatch(bytes.subarray(0, end)).ok).toBe(false);
    expect(decodeBatch(new Uint8Array([...bytes, 0])).ok).toBe(false);
    expect(decodeBatch(new Uint8Array(300).fill(255)).ok).toBe(false);
  });
});

describe('durable state', () => {
  const root = rootHeader(cluster, sha256Hasher);
  const checkpoint = (at: number): CheckpointRef => ({
    header: makePrepare(
      { cluster, op: at, view: 1, parent: root.id, timestamp: 1, body: new Uint8Array(0) },
      sha256Hasher,
    ).header,
    contentBytes: at * 1000,
    checksum: `${at}`.padStart(32, 'c') as Checksum,
  });
  const state: DurableState = {
    view: view(7),
    logView: view(5),
    commit: op(9),
    checkpoint: op(8),
    checkpoints: [checkpoint(8), checkpoint(4)],
    stable: { op: op(4), checksum: checkpoint(4).checksum },
    checkpointInterval: 4,
    incarnation: 3,
    replaced: true,
    membership: null,
    quarantined: op(6),
    foundedIn: 1,
    versionInForce: 1,
    suffix: [
      { op: op(0), id: root.id, header: root },
      { op: op(1), id: 'a'.repeat(32) as Checksum, header: null },
      { op: op(2), id: null, header: null },
    ],
  };
  test('round trip', () => {
    expect(decodeDurableState(encodeDurableState(state))).toEqual({ ok: true, value: state });
    expect(decodeDurableState(encodeDurableState(initialDurableState()))).toEqual({
      ok: true,
      value: initialDurableState(),
    });
  });
  test('with a membership', () => {
    const addresses = ['', 'a:1', '', '[::1]:7014', '', ''];
    const group = { ...foundingGroup(3), epoch: 1, voters: [2, 0, 3], standbys: [1], addresses };
    const joined: DurableState = {
      ...state,
      view: view(viewsPerEpoch + 7),
      logView: view(viewsPerEpoch),
      membership: { group, boundary: checkpoint(9).header },
    };
    const bytes = encodeDurableState(joined);
    expect(decodeDurableState(bytes)).toEqual({ ok: true, value: joined });
    const before = encodeDurableState({ ...joined, membership: null }).length;
    for (let end = before; end < bytes.length; end++) expect(decodeDurableState(bytes.subarray(0, end)).ok).toBe(false);
    expect(decodeDurableState(encodeDurableState({ ...joined, view: view(7), logView: view(7) })).ok).toBe(false);
    const twice = { group: { ...group, standbys: [0] }, boundary: checkpoint(9).header };
    expect(decodeDurableState(encodeDurableState({ ...joined, membership: twice })).ok).toBe(false);
  });
  test('with versions above the first, and a membership or none', () => {
    const group = { ...foundingGroup(3), epoch: 1 };
    const membership = { group, boundary: checkpoint(9).header };
    const views = { view: view(viewsPerEpoch + 7), logView: view(viewsPerEpoch) };
    for (const other of [state, { ...state, ...views, membership }]) {
      const plain = encodeDurableState(other);
      for (const [foundedIn, versionInForce] of [
        [1, 2],
        [3, 3],
        [3, 7],
      ] as const) {
        const risen: DurableState = { ...other, foundedIn, versionInForce };
        const bytes = encodeDurableState(risen);
        expect(decodeDurableState(bytes)).toEqual({ ok: true, value: risen });
        for (let end = plain.length + 1; end < bytes.length; end++) {
          expect(decodeDurableState(bytes.subarray(0, end)).ok).toBe(false);
        }
      }
      expect(decodeDurableState(encodeDurableState({ ...other, foundedIn: 3, versionInForce: 2 })).ok).toBe(false);
    }
  });
  test('total', () => {
    const bytes = encodeDurableState(state);
    // One that ends behind the suffix is from before there were checkpoints, and says that there is none; one that ends
    // behind these is from before there was a quarantine.
    const older = bytes.length - 8;
    for (let end = 0; end < bytes.length; end++) {
      expect(decodeDurableState(bytes.subarray(0, end)).ok).toBe(end === older);
    }
    expect(decodeDurableState(bytes.subarray(0, older))).toEqual({ ok: true, value: { ...state, quarantined: op(0) } });
    const { checkpoints } = state;
    for (const wrong of [[...checkpoints].reverse(), checkpoints.slice(1), []]) {
      expect(decodeDurableState(encodeDurableState({ ...state, checkpoints: wrong })).ok).toBe(false);
    }
    const old = encodeDurableState(initialDurableState()).subarray(0, 40);
    expect(decodeDurableState(old)).toEqual({ ok: true, value: initialDurableState() });
    expect(decodeDurableState(encodeDurableState({ ...state, logView: view(8) })).ok).toBe(false);
    expect(state.suffix.length).toBeLessThanOrEqual(pipelineMax + 1);
  });
});

describe('replica', () => {
  const make = () =>
    createReplica({
      cluster,
      replica: replicaId(0),
      replicaCount: 3,
      hasher: sha256Hasher,
      seed: 1,
      nonce: 'n',
      stateMachine: byteMachine,
      durable: initialDurableState(),
      recovered: { slots: [], head: op(0), headCertain: true },
    });
  const clock = { monotonicUs: 1000, realtimeUs: 5_000_000 };

  test('a clone goes its own way, and equal histories have equal encodings', () => {
    const a = make();
    const b = make();
    step(a, { type: 'start' }, clock);
    const before = encodeReplica(a);
    const copy = cloneReplica(a);
    expect(encodeReplica(copy)).toEqual(before);
    step(copy, { type: 'superblock-written', sequence: 1 }, clock);
    expect(encodeReplica(a)).toEqual(before);
    expect(encodeReplica(copy)).not.toEqual(before);
    step(b, { type: 'start' }, clock);
    expect(encodeReplica(b)).toEqual(before);
  });

  test('a restarted primary does not resume its view, and says nothing before the next is durable (pitfalls 16, 21)', () => {
    const r = make();
    const effects = step(r, { type: 'start' }, clock);
    expect(r.view).toBe(1);
    const messages = effects.flatMap((e) => ('message' in e ? [e.message.type] : []));
    expect(messages).toEqual(['ping']);
    const after = step(r, { type: 'superblock-written', sequence: 1 }, clock);
    expect(after.flatMap((e) => ('message' in e ? [e.message.type] : []))).toEqual(['do-view-change']);
  });
});
