import {
  assert,
  checksum,
  clientId,
  clusterId,
  crc32,
  makePrepare,
  op as toOp,
  type Prepare,
  type PrepareHeader,
  replicaId,
  requestNumber,
  rootHeader,
  seedRandom,
  sessionNumber,
  sha256Hasher,
  timestamp as toTimestamp,
  view as toView,
} from '@kimberlite/base';
import type { CommandInput, KernelState } from '@kimberlite/kernel';
import {
  type ClientReply,
  type ClientRequest,
  createReplica,
  type DurableState,
  encodeBatch,
  encodeDurableState,
  initialDurableState,
  type Message,
  type Replica,
  type StateMachine,
} from '@kimberlite/vsr';
import {
  type ClientMessage,
  createCodec,
  createKernelStateMachine,
  encodeCommands,
  encodeQuery,
  encodeQueryAnswer,
  type ServerMessage,
} from '@kimberlite/wire';
import { encodeHeaderRecord } from '../../packages/log/src/header-record.ts';
import { alignToBlock, blockBytes, frameBytes, headerPlace } from '../../packages/log/src/layout.ts';
import { encodeRecordInto } from '../../packages/log/src/record.ts';
import { applyOp } from '../../packages/vsr/src/apply.ts';
import { expect } from 'vitest';
import type { FailureKind } from '../src/checkers/checker.ts';
import { createCheckers } from '../src/checkers/index.ts';
import { Flips } from '../src/flips.ts';
import { Observer } from '../src/checkers/observer.ts';
import { simHeaderSlots } from '../src/checkers/platters.ts';
import { SimDisk } from '../src/disk.ts';
import { type Call, type CallEnd, History } from '../src/history.ts';
import type { CrashableDisk } from '../src/machine.ts';

const cluster = clusterId('c0'.repeat(16));
/** Of a checkpoint that only its op matters of. */
const noChecksum = checksum('0'.repeat(32));
const headerAt = (op: number): PrepareHeader =>
  makePrepare({ cluster, op, view: 0, parent: noChecksum, timestamp: op, body: new Uint8Array(0) }, sha256Hasher)
    .header;
const geometry = { segmentBytes: 1_228_800, headerSlots: simHeaderSlots };
const segment = 'segment-00000001.wal';
const headers = 'headers-00000001.wal';

export const client = (number: number): ReturnType<typeof clientId> => clientId(`${number}`.padStart(32, '0'));

/** What a planted state machine makes of what the real one gave. */
export type Twist = (replica: number, applied: ReturnType<StateMachine<KernelState>['apply']>) => typeof applied;

export interface Write {
  readonly bodySynced?: boolean;
  readonly headerWritten?: boolean;
  readonly headerSynced?: boolean;
}

interface Node {
  readonly platter: SimDisk;
  readonly disk: CrashableDisk;
  replica: Replica<KernelState>;
  /** End of what the segment holds. */
  end: number;
  round: number;
}

/**
 * A stream of events made by hand: the real checkers behind the real observer, real prepares, disks and state machines,
 * and nobody between them who would do the right thing by itself. What the checkers say is in `failures`.
 */
export class Scene {
  readonly failures: { readonly kind: FailureKind; readonly message: string }[] = [];
  readonly nodes: readonly Node[];
  readonly history = new History();
  /** What `replicate` has made, in order. */
  readonly log: Prepare[] = [];
  nowUs = 1_000_000;
  readonly observer: Observer;
  private readonly codec = createCodec({ hasher: sha256Hasher });
  private readonly codecs: readonly ReturnType<typeof createCodec>[];
  private readonly twist: Twist;
  /** The latest prepare made: the next one follows it. */
  tip: PrepareHeader = rootHeader(cluster, sha256Hasher);

  readonly flips: Flips = new Flips();

  constructor(options: { readonly nodes?: number; readonly twist?: Twist } = {}) {
    const { nodes = 3, twist = (_, applied) => applied } = options;
    this.twist = twist;
    const world = {
      nodes,
      cluster,
      hasher: sha256Hasher,
      nowUs: () => this.nowUs,
      platter: (replica: number): SimDisk => this.node(replica).platter,
      flips: this.flips,
    };
    this.observer = new Observer((superblock) =>
      createCheckers({ ...world, superblock }, (kind, message) => void this.failures.push({ kind, message })),
    );
    this.nodes = Array.from({ length: nodes }, (_, index) => {
      const platter = new SimDisk({ schedule: (_delayUs, run) => run(), random: seedRandom(index) });
      const disk = this.observer.watchDisk(platter, index);
      const replica = this.createReplica(index, nodes);
      return { platter, disk, replica, end: blockBytes, round: 0 };
    });
    this.codecs = this.nodes.map((_, index) => this.observer.watchCodec(this.codec, index, () => true));
    this.nodes.forEach(({ disk }, index) => {
      for (const file of [segment, headers, 'superblock']) disk.create(file, 1_228_800, () => {});
      disk.syncDirectory(() => {});
      for (const file of [segment, headers]) disk.sync(file, () => {});
      this.boot(index);
      this.superblock(index, {});
    });
  }

  node(index: number): Node {
    const node = this.nodes[index];
    assert(node !== undefined, 'a replica of the scene');
    return node;
  }

  private createReplica(index: number, nodes: number): Replica<KernelState> {
    const real = createKernelStateMachine();
    const twisted: StateMachine<KernelState> = {
      ...real,
      apply: (state, request) => this.twist(index, real.apply(state, request)),
    };
    const replica = createReplica({
      cluster,
      replica: replicaId(index),
      replicaCount: nodes,
      hasher: sha256Hasher,
      seed: index,
      nonce: '0'.repeat(32),
      stateMachine: this.observer.watchMachine(twisted, index, () => true),
      durable: initialDurableState(),
      recovered: { slots: [], head: toOp(0), headCertain: true },
    });
    replica.status = 'normal';
    return replica;
  }

  /** Kinds of the failures so far, each once. */
  get kinds(): readonly FailureKind[] {
    return [...new Set(this.failures.map(({ kind }) => kind))];
  }

  /** The process ends and starts anew: its memory is gone. */
  reboot(index: number): void {
    this.observer.down(index);
    const node = this.node(index);
    node.replica = this.createReplica(index, this.nodes.length);
    node.platter.forgetDamage();
    this.boot(index);
  }

  private boot(index: number): void {
    this.observer.booted(index);
  }

  /** Writes a superblock, all copies, and syncs it unless told not to. */
  superblock(
    index: number,
    state: Partial<Record<'view' | 'logView' | 'commit' | 'checkpoint', number>> &
      Pick<Partial<DurableState>, 'suffix' | 'membership'>,
    synced = true,
  ): void {
    const { view = 0, logView = view, commit = 0, checkpoint = 0, suffix = [], membership = null } = state;
    const durable = {
      view: toView(view),
      logView: toView(logView),
      commit: toOp(commit),
      checkpoint: toOp(checkpoint),
      suffix,
      checkpoints: checkpoint === 0 ? [] : [{ header: headerAt(checkpoint), contentBytes: 0, checksum: noChecksum }],
      stable: null,
      checkpointInterval: 16_384,
      incarnation: 0,
      replaced: false,
      membership,
      quarantined: toOp(0),
      foundedIn: 1,
      versionInForce: 1,
    };
    const copy = new Uint8Array(16_384);
    copy.set(encodeDurableState(durable), 128);
    const { disk, replica } = this.node(index);
    disk.write('superblock', 0, copy, () => {});
    if (!synced) return;
    disk.sync('superblock', () => {});
    replica.view = view;
    replica.logView = logView;
  }

  /** A prepare behind the latest one, or wherever the options say. */
  prepare(
    requests: readonly ClientRequest[],
    options: { readonly view?: number; readonly after?: PrepareHeader; readonly timestamp?: number } = {},
  ): Prepare {
    const { view = 0, after = this.tip, timestamp = after.timestamp + 1000 } = options;
    const body = encodeBatch(requests);
    const made = makePrepare({ cluster, op: after.op + 1, view, parent: after.id, timestamp, body }, sha256Hasher);
    this.tip = made.header;
    return made;
  }

  /** Body, sync, header record, sync: as the log does it, or as the options say. */
  write(index: number, { header, bytes }: Prepare, options: Write = {}): void {
    const { bodySynced = true, headerWritten = true, headerSynced = true } = options;
    const node = this.node(index);
    const place = { segment: 1, offset: node.end, lengthBytes: bytes.length };
    const identity = { cluster, replica: replicaId(index), hasher: sha256Hasher, crc32 };
    const record = new Uint8Array(alignToBlock(frameBytes + bytes.length));
    encodeRecordInto(record, 0, { header, bytes }, place, identity);
    node.end += record.length;
    node.disk.write(segment, place.offset, record, () => {});
    if (bodySynced) node.disk.sync(segment, () => {});
    if (!headerWritten) return;
    const { offset } = headerPlace(geometry, header.op);
    node.disk.write(headers, offset, encodeHeaderRecord(header.op, bytes, place, identity), () => {});
    if (headerSynced) node.disk.sync(headers, () => {});
  }

  send(index: number, message: Message): void {
    this.codecs[index]?.encodePeerMessage(message);
  }

  hear(index: number, message: Message): void {
    this.codecs[index]?.decodePeerMessage(this.codec.encodePeerMessage(message));
  }

  sendPrepare(index: number, prepare: Prepare, view = 0, commit = prepare.header.op - 1): void {
    const { round } = this.node(index);
    this.send(index, {
      type: 'prepare',
      from: replicaId(index),
      view: toView(view),
      commit: toOp(commit),
      round,
      prepare,
    });
  }

  ack(index: number, { header }: Prepare, view = 0): void {
    const ack = { op: header.op, id: header.id, round: 0, checkpoint: toOp(0), report: null };
    this.send(index, { type: 'prepare-ok', from: replicaId(index), view: toView(view), ...ack });
  }

  heartbeat(
    index: number,
    options: { readonly view?: number; readonly commit?: number; readonly round?: number; readonly hash?: string } = {},
  ): void {
    const { view = 0, commit = 0, round = 0, hash } = options;
    const report = hash === undefined ? null : { op: toOp(64), hash, sessions: noChecksum };
    this.send(index, {
      type: 'heartbeat',
      from: replicaId(index),
      view: toView(view),
      number: 1,
      commit: toOp(commit),
      round,
      report,
      stable: null,
      trimmed: toOp(0),
    });
  }

  heartbeatOk(
    index: number,
    options: { readonly view?: number; readonly commit?: number; readonly round?: number } = {},
  ): void {
    const { view = 0, commit = 0, round = 0 } = options;
    const rest = { number: 1, commit: toOp(commit), round, applied: toOp(commit), checkpoint: null, report: null };
    const from = replicaId(index);
    this.send(index, { type: 'heartbeat-ok', from, view: toView(view), ...rest, newest: 1 });
  }

  doViewChange(
    index: number,
    options: {
      readonly view: number;
      readonly logView?: number;
      readonly commit?: number;
      readonly timestamp?: number;
      readonly marks: readonly { readonly prepare: Prepare; readonly present: boolean; readonly nack: boolean }[];
    },
  ): Message {
    const { view, logView = 0, commit = 0, timestamp = 0, marks } = options;
    return {
      type: 'do-view-change',
      from: replicaId(index),
      view: toView(view),
      logView: toView(logView),
      commit: toOp(commit),
      checkpoint: toOp(0),
      head: marks.at(-1)?.prepare.header.op ?? toOp(0),
      timestamp: toTimestamp(timestamp),
      suffix: marks.map(({ prepare: { header }, present, nack }) => ({
        op: header.op,
        id: header.id,
        header,
        present,
        nack,
      })),
    };
  }

  startView(index: number, view: number, prepares: readonly Prepare[], commit = 0): void {
    const suffix = prepares.map(({ header }) => header);
    const rest = { commit: toOp(commit), checkpoint: toOp(0), nonce: '' };
    this.send(index, { type: 'start-view', from: replicaId(index), view: toView(view), suffix, ...rest });
  }

  /** Applies an op and hands its effects on. */
  execute(index: number, prepare: Prepare, handOn = true): void {
    const { replica } = this.node(index);
    replica.out = [];
    applyOp(replica, prepare);
    if (!handOn) return;
    for (const effect of replica.out) if (effect.type === 'apply-effects') this.observer.handedOn(index, effect);
  }

  ask(index: number, connection: number, messages: readonly ClientMessage[]): void {
    this.observer.clientAsks(connection);
    this.codecs[index]?.decodeClientFrame(this.codec.encodeClientFrame(messages));
  }

  tell(index: number, connection: number, messages: readonly ServerMessage[]): void {
    this.codecs[index]?.encodeServerFrames(messages);
    this.observer.clientTold(index, connection);
  }

  reply(index: number, connection: number, reply: ClientReply): void {
    this.tell(index, connection, [{ type: 'reply', reply }]);
  }

  /** The outcome that the replica keeps for a request, told to its client. */
  replyOutcome(index: number, connection: number, request: ClientRequest): void {
    const outcome = this.node(index).replica.sessions.get(request.client)?.outcomes.get(request.number);
    assert(outcome !== undefined, 'the request was executed here');
    const { op, timestamp, body } = outcome;
    const { session, number } = request;
    this.reply(index, connection, {
      type: 'outcome',
      session,
      number,
      op: toOp(op),
      timestamp: toTimestamp(timestamp),
      body,
    });
  }

  query(index: number, connection: number, query: number, session = 1, after = 0): void {
    const body = encodeQuery({ tenantId: 1, table: 'rows' });
    const rest = {
      session: sessionNumber(session),
      after: requestNumber(after),
      level: { type: 'linearizable' },
      body,
    } as const;
    this.ask(index, connection, [{ type: 'query', query: { query, ...rest } }]);
  }

  answer(index: number, connection: number, query: number, op: number, position = 0): void {
    const body = encodeQueryAnswer({ ok: true, value: { rows: [], position, timestamp: 0 } });
    this.reply(index, connection, { type: 'answer', query, op: toOp(op), timestamp: toTimestamp(0), body });
  }

  /** A call of a client, with its end. */
  call(call: Partial<Omit<Call, 'id' | 'invokedAt'>> & { readonly marker: string }, end: End | null = null): Call {
    const made = this.invoke(call);
    if (end !== null) this.finish(made, end);
    return made;
  }

  invoke(call: Partial<Omit<Call, 'id' | 'invokedAt'>> & { readonly marker: string }): Call {
    const defaults = {
      client: 0,
      table: 'rows',
      key: 1,
      type: 'upsert',
      idempotencyId: null,
      invokedUs: this.nowUs,
    } as const;
    return this.history.invoke({ ...defaults, ...call });
  }

  finish(call: Call, end: End): void {
    const at = { returnedAt: this.history.next(), returnedUs: this.nowUs };
    this.history.finish(call, { ...end, ...at } as CallEnd);
    this.observer.returned(call);
  }

  end(): void {
    this.observer.ended({ history: this.history, replicas: this.nodes.map(({ replica }) => replica) });
  }
}

type Without<T> = T extends CallEnd ? Omit<T, 'returnedAt' | 'returnedUs'> : never;
export type End = Without<CallEnd>;

export const ok = (position: number, op: number, more: Partial<Extract<CallEnd, { type: 'ok' }>> = {}): End => ({
  type: 'ok',
  op,
  position,
  timestamp: op * 1000,
  isReplay: false,
  value: null,
  ...more,
});

export const registration = (number = 1): ClientRequest => ({
  client: client(number),
  session: sessionNumber(0),
  number: requestNumber(0),
  floor: requestNumber(0),
  checksum: sha256Hasher(new Uint8Array(0)),
  body: new Uint8Array(0),
});

/** A request with those commands. `session` is the op that registered it; the first client's is 1. */
export function request(
  number: number,
  commands: readonly CommandInput[],
  options: { readonly client?: number; readonly session?: number; readonly floor?: number } = {},
): ClientRequest {
  const body = encodeCommands(commands);
  return {
    client: client(options.client ?? 1),
    session: sessionNumber(options.session ?? 1),
    number: requestNumber(number),
    floor: requestNumber(options.floor ?? 1),
    checksum: checksum(sha256Hasher(body)),
    body,
  };
}

export const tables: readonly CommandInput[] = [
  { type: 'CreateTenant', tenantId: 1, name: 'sim' },
  { type: 'CreateTable', tenantId: 1, table: 'rows', columns: { id: 'int', value: 'text' }, primaryKey: ['id'] },
];

export const upsert = (value: string, idempotencyId?: string): CommandInput => ({
  type: 'Upsert',
  tenantId: 1,
  table: 'rows',
  row: { id: 1, value },
  ...(idempotencyId === undefined ? {} : { idempotencyId }),
});

/** Prepares the requests as the next op of view 0 and replicates it as it should be: on all disks, acked, executed. */
export function replicate(scene: Scene, requests: readonly ClientRequest[], executedBy?: readonly number[]): Prepare {
  const prepare = scene.prepare(requests);
  const { op } = prepare.header;
  scene.log.push(prepare);
  scene.sendPrepare(0, prepare, 0, op - 1);
  scene.nodes.forEach((_, index) => {
    scene.write(index, prepare);
    if (index > 0) scene.ack(index, prepare);
  });
  for (const index of executedBy ?? scene.nodes.keys()) scene.execute(index, prepare);
  return prepare;
}

/** A scene with one client's session (1) and a table: ops 1 and 2, positions 1 and 2. */
export function settled(options: ConstructorParameters<typeof Scene>[0] = {}): Scene {
  const scene = new Scene(options);
  scene.ask(0, 1, [{ type: 'hello', protocolVersion: 1, client: client(1), cluster: null }]);
  replicate(scene, [registration()]);
  replicate(scene, [request(1, tables)]);
  return scene;
}

/** A stream that breaks a rule. */
export interface Rejected {
  /** All that find fault with it, in the order in which they do. */
  readonly kinds: readonly FailureKind[];
  readonly says: RegExp;
  readonly make: () => Scene;
}

/** A settled cluster, and what goes wrong in it. */
export const after =
  (act: (scene: Scene) => void, options: Parameters<typeof settled>[0] = {}) =>
  (): Scene => {
    const scene = settled(options);
    expect(scene.failures).toEqual([]);
    act(scene);
    return scene;
  };

export function expectRejected({ kinds, says, make }: Rejected): void {
  const { failures, kinds: found } = make();
  expect(found, failures.map(({ kind, message }) => `${kind}: ${message}`).join('\n')).toEqual(kinds);
  expect(failures.map(({ message }) => message).join('\n')).toMatch(says);
}
