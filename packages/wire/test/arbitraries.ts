import {
  checkpointPartsMax,
  type Checksum,
  type ClientId,
  type ClusterId,
  makePrepare,
  type Op,
  type Prepare,
  type ReplicaId,
  type RequestNumber,
  type SessionNumber,
  sha256Hasher,
  type Timestamp,
  type View,
} from '@kimberlite/base';
import { type ClientReply, type Message, reportsMax } from '@kimberlite/vsr';
import fc from 'fast-check';
import type { ClientMessage, ServerMessage } from '../src/index.ts';

const natural = fc.oneof(fc.nat(1000), fc.maxSafeNat());
const hex = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const as = <T>(arbitrary: fc.Arbitrary<unknown>): fc.Arbitrary<T> => arbitrary as fc.Arbitrary<T>;

const from = as<ReplicaId>(fc.nat(5));
const view = as<View>(natural);
const op = as<Op>(natural);
const id = as<Checksum>(hex);
const timestamp = as<Timestamp>(natural);
const stateReport = fc.record({ op, hash: hex, sessions: id });
const report = fc.option(stateReport);
const nonce = fc.string({ maxLength: 60, unit: 'grapheme' }).filter((text) => Buffer.byteLength(text) <= 255);
const bytes = fc.uint8Array({ maxLength: 300 });

export const prepare: fc.Arbitrary<Prepare> = fc
  .record({ cluster: hex, op: natural, view: natural, parent: hex, timestamp: natural, body: bytes })
  .map((fields) => makePrepare(fields, sha256Hasher));
const header = prepare.map((p) => p.header);
const mark = fc
  .record({ header: fc.option(header), op, id: fc.option(id), present: fc.boolean(), nack: fc.boolean() })
  .map((m) => (m.header === null ? m : { ...m, op: m.header.op, id: m.header.id }));

const checkpointMark = fc.option(fc.record({ op, checksum: id }));
const checkpointRef = fc.record({ header, contentBytes: fc.nat(1_000_000), checksum: id });

const membership = fc
  .record({
    epoch: fc.nat({ max: 1000 }),
    order: fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 1 }),
    voting: fc.integer({ min: 1, max: 6 }),
    incarnations: fc.array(fc.nat(9), { minLength: 6, maxLength: 6 }),
    addresses: fc.array(fc.string({ maxLength: 20 }), { minLength: 6, maxLength: 6 }),
    boundary: header.filter((h) => h.op > 0),
  })
  .map(({ epoch, order, voting, boundary, ...rest }) => ({
    group: { epoch, voters: order.slice(0, voting), standbys: order.slice(voting), ...rest },
    boundary: epoch === 0 ? null : boundary,
  }));

const of = <T extends Message['type']>(type: T) => fc.constant(type);
export const peerMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: of('prepare'), from, view, commit: op, round: natural, prepare }),
  fc.record({ type: of('prepare-ok'), from, view, op, id, round: natural, checkpoint: op, report }),
  fc.record({
    type: of('heartbeat'),
    from,
    view,
    number: natural,
    commit: op,
    round: natural,
    report,
    stable: checkpointMark,
    trimmed: op,
  }),
  fc.record({
    type: of('heartbeat-ok'),
    from,
    view,
    number: natural,
    round: natural,
    commit: op,
    applied: op,
    checkpoint: checkpointMark,
    report,
    newest: fc.nat(65_535),
  }),
  fc.record({
    type: of('ping'),
    from,
    sentAtUs: natural,
    reports: fc.array(stateReport, { maxLength: reportsMax }),
    checkpoint: checkpointMark,
  }),
  fc.record({ type: of('pong'), from, sentAtUs: natural, realtimeUs: natural }),
  fc.record({ type: of('start-view-change'), from, view }),
  fc.record({
    type: of('do-view-change'),
    from,
    view,
    logView: view,
    commit: op,
    checkpoint: op,
    head: op,
    timestamp,
    suffix: fc.array(mark, { maxLength: 9 }),
  }),
  fc.record({
    type: of('start-view'),
    from,
    view,
    suffix: fc.array(header, { maxLength: 9 }),
    commit: op,
    checkpoint: op,
    nonce,
  }),
  fc.record({ type: of('request-start-view'), from, view, nonce }),
  fc.record({ type: of('request-headers'), from, low: op, high: op, highId: id }),
  fc.record({ type: of('headers'), from, headers: fc.array(header, { maxLength: 9 }) }),
  fc.record({ type: of('request-prepare'), from, op, id }),
  fc.record({ type: of('repair-prepare'), from, prepare }),
  fc.record({ type: of('request-checkpoint'), from }),
  fc.record({
    type: of('checkpoint-offer'),
    from,
    offers: fc.array(fc.record({ ref: checkpointRef, stable: fc.boolean() }), { maxLength: 2 }),
  }),
  fc.record({ type: of('request-checkpoint-part'), from, checksum: id, part: fc.nat(checkpointPartsMax) }),
  fc.record({
    type: of('checkpoint-part'),
    from,
    checksum: id,
    part: fc.nat(checkpointPartsMax),
    bytes: fc.option(bytes),
  }),
  fc.record({ type: of('new-epoch'), from, membership }),
);

const session = as<SessionNumber>(natural);
const number = as<RequestNumber>(natural);
const client = as<ClientId>(hex);
const cluster = as<ClusterId>(hex);
const level = fc.oneof(
  fc.constant({ type: 'linearizable' as const }),
  fc.constant({ type: 'local' as const }),
  fc.record({ type: fc.constant('at-least' as const), position: natural }),
);

export const clientMessage: fc.Arbitrary<ClientMessage> = fc.oneof(
  fc.record({
    type: fc.constant('hello' as const),
    protocolVersion: fc.nat(9),
    client,
    cluster: fc.option(cluster),
  }),
  fc.record({
    type: fc.constant('request' as const),
    request: fc.record({ session, number, floor: number, checksum: id, body: bytes }),
  }),
  fc.record({
    type: fc.constant('query' as const),
    query: fc.record({ session, query: natural, after: number, level, body: bytes }),
  }),
  fc.constant({ type: 'status' as const }),
);

const text = fc.string({ maxLength: 40, unit: 'grapheme' });
const refusal = fc
  .record({
    reason: fc.constantFrom('not-primary' as const, 'overloaded' as const, 'view-change' as const, 'invalid' as const),
    retryAfterMs: fc.nat(5000),
    view,
    primary: from,
    message: fc.option(text),
  })
  .map(({ message, ...rest }) => (message === null ? rest : { ...rest, message }));
const reply: fc.Arbitrary<ClientReply> = fc.oneof(
  fc.record({ type: fc.constant('registered' as const), session }),
  fc.record({ type: fc.constant('outcome' as const), session, number, op, timestamp, body: bytes }),
  fc.record({ type: fc.constant('refused' as const), session, number, refusal }),
  fc.record({ type: fc.constant('evicted' as const), session }),
  fc.record({ type: fc.constant('mismatch' as const), session, number }),
  fc.record({ type: fc.constant('answer' as const), query: natural, op, timestamp, body: bytes }),
  fc.record({
    type: fc.constant('answer' as const),
    query: natural,
    op,
    timestamp,
    body: bytes,
    staleForUs: fc.option(natural),
  }),
  fc.record({ type: fc.constant('query-refused' as const), query: natural, refusal }),
);
const members = fc.array(fc.record({ replica: from, endpoint: fc.option(text), adminUrl: fc.option(text) }), {
  maxLength: 6,
});

export const serverMessage: fc.Arbitrary<ServerMessage> = fc.oneof(
  fc.record({
    type: fc.constant('welcome' as const),
    protocolVersion: fc.nat(9),
    cluster,
    replica: from,
    view,
    primary: from,
    members,
  }),
  fc.record({ type: fc.constant('view' as const), view, primary: from }),
  fc.record({ type: fc.constant('reply' as const), reply }),
  fc.record({
    type: fc.constant('status' as const),
    row: fc.record({
      cluster,
      replica: from,
      endpoint: fc.option(text),
      adminUrl: fc.option(text),
      dataDir: text,
      pid: natural,
      reachable: fc.boolean(),
      role: fc.constantFrom('primary' as const, 'backup' as const, 'standby' as const, null),
      status: fc.constantFrom('normal' as const, 'view-change' as const, 'recovering-head' as const),
      view: natural,
      primary: from,
      epoch: fc.nat(),
      voters: fc.array(fc.nat(5), { maxLength: 6 }),
      standbys: fc.array(fc.nat(5), { maxLength: 6 }),
      op: natural,
      commit: natural,
      checkpoint: natural,
      position: natural,
      stateHash: hex,
      stateHashOp: natural,
      version: text,
      versionInForce: natural,
      versionNewest: natural,
      clockOffsetUs: fc.option(fc.integer()),
      diskUsedBytes: natural,
      divergence: fc.option(
        fc.record({
          cause: fc.constantFrom('state' as const, 'memory' as const, 'no-majority' as const),
          op: natural,
          own: text,
          majority: hex,
          progress: fc.constantFrom('standing-still' as const, 'replaying' as const),
          untilOp: natural,
        }),
      ),
      diskRoom: fc.constantFrom('enough', 'little', 'none'),
      damageFound: natural,
      damageRepaired: natural,
      members,
    }),
  }),
  fc.record({
    type: fc.constant('error' as const),
    code: fc.constantFrom('wrong-version' as const, 'bad-frame' as const, 'stopping' as const),
    message: text,
  }),
);

export const peerHello = fc.record({
  cluster,
  replica: from,
  incarnation: fc.nat(),
  view: fc.nat(),
  epoch: fc.nat(),
  voters: fc.array(fc.nat(5), { minLength: 1, maxLength: 6 }),
  protocolVersion: fc.nat(99),
  protocolVersionOldest: fc.nat(99),
  versionInForce: fc.nat(99),
  pipelineMax: natural,
  slots: natural,
  checkpointInterval: natural,
  endpoint: fc.option(text),
  adminUrl: fc.option(text),
});
