import {
  type Checksum,
  type ClientId,
  clusterId,
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
import { marzullo } from '../src/clock.ts';
import {
  type ClientRequest,
  cloneReplica,
  createReplica,
  decodeBatch,
  decodeDurableState,
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

const request = (number: number, body: string): ClientRequest => ({
  client: '1'.repeat(32) as ClientId,
  session: sessionNumber(3),
  number: requestNumber(number),
  floor: requestNumber(1),
  checksum: sha256Hasher(bytesOf(body)),
  body: bytesOf(body),
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
  const state = {
    view: view(7),
    logView: view(5),
    commit: op(0),
    checkpoint: op(0),
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
  test('total', () => {
    const bytes = encodeDurableState(state);
    for (let end = 0; end < bytes.length; end++) expect(decodeDurableState(bytes.subarray(0, end)).ok).toBe(false);
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
