import {
  assert,
  checkpointParts,
  type Checksum,
  type ClientId,
  type ClusterId,
  commonVersion,
  type Crc32,
  describeVersions,
  type Hasher,
  type RecoveredLog,
  type ReplicaId,
  type Result,
  unreachable,
  type View,
  view,
} from '@kimberlite/base';
import { type Log, type OpenedLog, openLog } from '@kimberlite/log';
import {
  type ClientQuery,
  type ClientReply,
  type ClientRequest,
  createReplica,
  decodeDurableState,
  type DurableState,
  type Effect,
  encodeDurableState,
  type Event,
  foundingGroup,
  type Group,
  type MemberChange,
  type Message,
  type Replica,
  type ReplicaStatus,
  replicaStatus,
  settledView,
  type StateMachine,
  step,
  type Timing,
} from '@kimberlite/vsr';
import type {
  ClientMessage,
  Codec,
  ConnectionErrorCode,
  Hello,
  MemberAddress,
  StatusRow,
  WireErrorCode,
} from '@kimberlite/wire';
import { Connections } from './connections.ts';
import { DivergenceTeller } from './divergence-teller.ts';
import type { ConnectionId, HostTimer, Ports } from './ports.ts';
import { RoomWatch } from './room-watch.ts';
import { type DamageStatus, scrubSecondsDefault, ScrubWatch } from './scrub-watch.ts';
import { statusRow } from './status-row.ts';

export interface HostOptions<State> {
  readonly cluster: ClusterId;
  readonly replica: ReplicaId;
  /** With how many the cluster was founded; what the directory knows of later changes goes before it. */
  readonly replicaCount: number;
  readonly hasher: Hasher;
  readonly crc32: Crc32;
  readonly codec: Codec;
  readonly stateMachine: StateMachine<State> & Admission;
  /** Seeds the replica's jitter. Must differ between replicas (pitfall 30). */
  readonly seed: number;
  /** 128 bits drawn anew at every boot, as hex. */
  readonly nonce: string;
  readonly timing?: Partial<Timing>;
  /** The disk is read through once in that time, to find damage. Left out: a day. */
  readonly scrubSeconds?: number;
  readonly ports: Ports;
  /** Where the members can be reached, as far as the shell has learnt. */
  readonly members: () => readonly MemberAddress[];
  /** The parts of the status row that only the shell knows. */
  readonly describe: () => ShellStatus;
}

/** Says whether a request's body may enter the log; `checksum` is the body's, verified. */
export interface Admission {
  readonly admit: (body: Uint8Array, checksum: Checksum) => Result<void, { readonly message: string }>;
}

/** What the shell adds to a replica's status. */
export interface ShellStatus {
  readonly endpoint: string | null;
  readonly adminUrl: string | null;
  readonly dataDir: string;
  readonly pid: number;
  readonly version: string;
}

/** What the log says of its disk. */
export interface DiskStatus extends DamageStatus {
  readonly diskUsedBytes: number;
  /** little: the next file of the log cannot be made. none: writes wait for it. */
  readonly diskRoom: 'enough' | 'little' | 'none';
}

export type Replaced = Extract<Effect, { readonly type: 'member-replaced' }>['result'];

export type MembersChanged = Extract<Effect, { readonly type: 'members-changed' }>['result'];

export type HostPhase = 'new' | 'opening' | 'running' | 'stopping' | 'stopped' | 'failed';

/** What the log must know of: the suffix, and the op of the newest checkpoint where that lies above it. */
function wantedIds({ suffix, checkpoints }: DurableState): DurableState['suffix'] {
  const [newest] = checkpoints;
  if (newest === undefined || suffix.some(({ op }) => op >= newest.header.op)) return suffix;
  const { header } = newest;
  return [...suffix, { op: header.op, id: header.id, header }];
}

/** Bad frames from peers for which one line is written. */
const badFramesPerLine = 1000;

/** What a client is told when its frame cannot be taken. */
function errorCodeOf(code: WireErrorCode): ConnectionErrorCode {
  if (code === 'too-large') return 'too-large';
  return code === 'version' ? 'wrong-version' : 'bad-frame';
}

/**
 * One replica put together: its state, its log, its clients. Inputs come from the shell (or the simulator) one at
 * a time; each is handled to completion before the next. Owns the event queue; the replica owns the protocol's
 * state, the log owns the disk, `Connections` owns who is connected.
 */
export class Host<State> {
  phase: HostPhase = 'new';
  private readonly options: HostOptions<State>;
  private readonly ports: Ports;
  private readonly connections = new Connections();
  private readonly room: RoomWatch;
  private readonly scrub: ScrubWatch;
  private replica: Replica<State> | undefined;
  private log: Log | undefined;
  private readonly queue: Event[] = [];
  private draining = false;
  private turnPending = false;
  private arrived: ClientRequest[] = [];
  private asked: ClientQuery[] = [];
  /** Phase of the state sync that was told of last; null: none is under way. */
  private syncingTold: string | null = null;
  /** Tenths of the checkpoint that is being read that were told of; null: none is. */
  private loadingTold: number | null = null;
  private readonly divergence: DivergenceTeller;
  private told: { view: number; status: string } = { view: -1, status: '' };
  private whenStopped: (() => void)[] = [];
  private badPeerFrames = 0;
  private readonly replacing = new Map<number, (result: Replaced) => void>();
  private readonly changing = new Map<number, (result: MembersChanged) => void>();
  private nextTicket = 1;
  /** Set when the others go on without this replica for good. */
  removed = false;

  constructor(options: HostOptions<State>) {
    this.options = options;
    this.ports = options.ports;
    this.divergence = new DivergenceTeller(options.ports);
    const log = (): Log | undefined => this.log;
    this.room = new RoomWatch(options.ports, log);
    this.scrub = new ScrubWatch({
      ports: options.ports,
      seconds: options.scrubSeconds ?? scrubSecondsDefault,
      log,
      checkpoints: () => this.replica?.durable.checkpoints ?? [],
      post: (event) => this.post(event),
    });
  }

  /** Opens the log and boots the replica. `opened` is called once the replica runs; a failure goes to `ports.fatal`. */
  start(opened: () => void): void {
    assert(this.phase === 'new', 'a host starts once');
    this.phase = 'opening';
    const { cluster, replica, hasher, crc32 } = this.options;
    const { disk, mark } = this.ports;
    const listener = mark === undefined ? {} : { mark };
    const onFatal = (error: Error): void => this.fail(error);
    const onFull = (full: boolean): void => {
      this.room.changed(full);
      this.post({ type: 'disk-full', full });
    };
    openLog({ disk, hasher, crc32, cluster, replica, onFatal, onFull, ...listener }, (result) => {
      if (this.phase !== 'opening') return;
      if (!result.ok) return this.fail(new Error(result.error.message));
      this.boot(result.value);
      if (this.phase === 'opening') {
        this.phase = 'running';
        opened();
      }
    });
  }

  /** A frame from another replica; the shell has checked that the connection is `from`'s. */
  receivePeer(from: ReplicaId, frame: Uint8Array): void {
    if (this.replica === undefined) return;
    const message = this.options.codec.decodePeerMessage(frame);
    if (!message.ok || message.value.from !== from) {
      this.ports.metrics.count('peer_frames_bad_total', 1);
      const why = message.ok ? `names replica ${message.value.from}` : message.error.message;
      // A link that keeps damaging frames must not fill the journal with them.
      if (this.badPeerFrames % badFramesPerLine === 0) {
        this.ports.journal.write('warn', 'dropped a frame from a peer', { from, why, before: this.badPeerFrames });
      }
      this.badPeerFrames += 1;
      return;
    }
    const incarnation = this.options.codec.peerIncarnation(frame);
    if ('view' in message.value) this.ports.network.heard?.(from, incarnation, message.value.view);
    if (!this.room.takes(message.value.type)) return;
    this.post({ type: 'message', message: message.value, incarnation });
  }

  clientOpened(connection: ConnectionId): void {
    this.connections.open(connection);
  }

  clientClosed(connection: ConnectionId): void {
    this.connections.close(connection);
  }

  receiveClient(connection: ConnectionId, frame: Uint8Array): void {
    const messages = this.options.codec.decodeClientFrame(frame);
    if (!messages.ok) {
      this.ports.metrics.count('client_frames_bad_total', 1);
      this.hangUp(connection, errorCodeOf(messages.error.code), messages.error.message);
      return;
    }
    for (const message of messages.value) {
      if (!this.connections.isOpen(connection)) return;
      this.onClientMessage(connection, message);
    }
  }

  timerFired(timer: HostTimer): void {
    if (timer === 'space') this.room.look();
    else if (timer === 'scrub') this.scrub.due();
    else this.post({ type: 'timer', timer });
  }

  /**
   * Asks the cluster to fence off the machine that was that replica (Table H): whoever asks vouches that it never runs
   * again. Answered by the primary alone, once the fence and what has to follow it are committed.
   */
  replaceMember(replica: number, done: (result: Replaced) => void): void {
    if (this.replica === undefined || this.phase !== 'running') {
      return done({ ok: false, reason: 'this node is not up yet, or is stopping' });
    }
    const ticket = this.nextTicket++;
    this.replacing.set(ticket, done);
    this.post({ type: 'replace-member', replica, ticket });
  }

  /** Asks for another group (see `MemberChange`). Answered by the primary alone, once the change is committed. */
  changeMembers(change: MemberChange, dryRun: boolean, done: (result: MembersChanged) => void): void {
    if (this.replica === undefined || this.phase !== 'running') {
      return done({ ok: false, reason: 'this node is not up yet, or is stopping', again: true });
    }
    const ticket = this.nextTicket++;
    this.changing.set(ticket, done);
    this.post({ type: 'change-members', change, ticket, dryRun });
  }

  /** Asks the other replicas to take over from this one, which goes on as a backup. */
  transfer(): { readonly ok: true } | { readonly ok: false; readonly reason: string } {
    if (this.replica === undefined || this.phase !== 'running') {
      return { ok: false, reason: 'this node is not up yet, or is stopping' };
    }
    if (replicaStatus(this.replica).role !== 'primary') return { ok: false, reason: 'this node is not the primary' };
    if (this.group().voters.length === 1) return { ok: false, reason: 'there is no other replica with a vote' };
    this.post({ type: 'transfer' });
    return { ok: true };
  }

  private get incarnation(): number {
    return this.replica?.members.incarnation ?? 0;
  }

  /** Undefined until the replica has booted. */
  status(): (ReplicaStatus & DiskStatus) | undefined {
    if (this.replica === undefined) return undefined;
    return { ...replicaStatus(this.replica), ...this.diskStatus() };
  }

  private diskStatus(): DiskStatus {
    const { log } = this;
    return {
      ...this.scrub.status(),
      diskUsedBytes: log?.usedBytes() ?? 0,
      diskRoom: log === undefined || !log.isLowOnSpace() ? 'enough' : log.isFull() ? 'none' : 'little',
    };
  }

  /** The replica's state, to be looked at and never touched: the simulator's checkers judge by it. */
  inspect(): Readonly<Replica<State>> | undefined {
    return this.replica;
  }

  /** Who the cluster is, as this replica knows; before it has booted, as it was founded. */
  group(): Group {
    return this.replica?.group ?? foundingGroup(this.options.replicaCount);
  }

  /** What `status` prints for this replica; complete also before it has booted. */
  statusRow(): StatusRow {
    const status = this.replica === undefined ? undefined : replicaStatus(this.replica);
    return statusRow(status, this.diskStatus(), this.group(), this.options);
  }

  /** Hands over, refuses new work, syncs and closes the log. Safe to call more than once. */
  stop(done: () => void): void {
    if (this.phase === 'stopped' || this.phase === 'failed') return done();
    this.whenStopped.push(done);
    if (this.phase === 'stopping') return;
    const wasRunning = this.phase === 'running';
    this.phase = 'stopping';
    this.scrub.stop();
    if (wasRunning) this.post({ type: 'stop' });
    else this.finishStop();
  }

  private boot(opened: OpenedLog): void {
    const durable = decodeDurableState(opened.superblock);
    if (!durable.ok) return this.fail(new Error(`the superblock's payload cannot be read: ${durable.error}`));
    const { cluster, replica, replicaCount, hasher, codec, seed, nonce, stateMachine, timing } = this.options;
    this.log = opened.log;
    let recovered: RecoveredLog;
    try {
      const oldest = durable.value.checkpoints.at(-1)?.header;
      const base = oldest === undefined ? {} : { base: { op: oldest.op, id: oldest.id } };
      recovered = opened.recover({ ...durable.value, ...base, suffix: wantedIds(durable.value) });
      this.replica = createReplica({
        cluster,
        replica,
        replicaCount,
        hasher,
        seed,
        nonce,
        stateMachine,
        durable: durable.value,
        recovered,
        versions: codec.versions,
        ...(timing === undefined ? {} : { timing }),
        ...(this.ports.mark === undefined ? {} : { mark: this.ports.mark }),
      });
      this.ports.journal.write('info', 'log recovered', {
        head: recovered.head,
        headCertain: recovered.headCertain,
        faulty: recovered.slots.filter((slot) => slot.state === 'faulty').length,
        missing: recovered.slots.filter((slot) => slot.state === 'missing').length,
        view: durable.value.view,
        commit: durable.value.commit,
      });
    } catch (error) {
      return this.fail(error instanceof Error ? error : new Error(String(error)));
    }
    this.ports.network.meet?.(this.replica.group.addresses);
    this.post({ type: 'start' });
    if (this.phase === 'opening') this.scrub.opened(opened.mended, recovered);
  }

  private onClientMessage(connection: ConnectionId, message: ClientMessage): void {
    if (message.type === 'hello') return this.onHello(connection, message);
    const client = this.connections.clientOf(connection);
    if (client === null) {
      return this.hangUp(connection, 'not-greeted', 'the first message of a connection must be a hello');
    }
    switch (message.type) {
      case 'request':
        return this.onRequest(connection, { ...message.request, client });
      case 'query':
        if (this.replica === undefined) return this.refuseEarly(connection, { query: message.query.query });
        this.asked.push({ ...message.query, client });
        return this.scheduleTurn();
      case 'status':
        return this.tell(connection, { type: 'status', row: this.statusRow() });
      default:
        unreachable(message);
    }
  }

  private onHello(connection: ConnectionId, hello: Hello): void {
    const { cluster, replica, members } = this.options;
    const { versions } = this.options.codec;
    const their = { oldest: hello.protocolVersionOldest ?? hello.protocolVersion, newest: hello.protocolVersion };
    const version = commonVersion(versions, their);
    if (version === null) {
      const found = `this node speaks protocol ${describeVersions(versions)}, the client ${describeVersions(their)}`;
      const isOld = their.newest < versions.oldest;
      const fix = isOld ? 'use a newer release of the client' : 'use an older client, or upgrade the cluster first';
      return this.hangUp(connection, 'wrong-version', `${found}: ${fix}`);
    }
    if (hello.cluster !== null && hello.cluster !== cluster) {
      const message = `this node belongs to cluster ${cluster}, not ${hello.cluster}; check the endpoints`;
      return this.hangUp(connection, 'wrong-cluster', message);
    }
    this.connections.greet(connection, hello.client, version);
    this.tell(connection, {
      type: 'welcome',
      protocolVersion: version,
      cluster,
      replica,
      ...this.whereTo(),
      members: members(),
    });
  }

  /** The only validation of a command: what passes here is taken as it is by every replica. */
  private onRequest(connection: ConnectionId, request: ClientRequest): void {
    const { session, number } = request;
    if (this.replica === undefined) return this.refuseEarly(connection, { session, number });
    if (number > 0) {
      const problem = this.checkRequest(request);
      if (problem !== null) {
        const refusal = { reason: 'invalid', retryAfterMs: 0, ...this.whereTo(), message: problem } as const;
        return this.tell(connection, { type: 'reply', reply: { type: 'refused', session, number, refusal } });
      }
    }
    this.arrived.push(request);
    this.scheduleTurn();
  }

  private checkRequest(request: ClientRequest): string | null {
    if (this.options.hasher(request.body) !== request.checksum) return 'the checksum is not that of the body';
    const checked = this.options.stateMachine.admit(request.body, request.checksum);
    return checked.ok ? null : checked.error.message;
  }

  private refuseEarly(
    connection: ConnectionId,
    what: { query: number } | { session: ClientRequest['session']; number: ClientRequest['number'] },
  ): void {
    const refusal = { reason: 'recovering', retryAfterMs: 50, ...this.whereTo() } as const;
    const reply =
      'query' in what
        ? ({ type: 'query-refused', query: what.query, refusal } as const)
        : ({ type: 'refused', ...what, refusal } as const);
    this.tell(connection, { type: 'reply', reply });
  }

  /** Where a client should go, as far as this replica knows: itself, before it has booted. */
  private whereTo(): { readonly view: View; readonly primary: ReplicaId } {
    if (this.replica === undefined) return { view: view(0), primary: this.options.replica };
    return settledView(this.replica);
  }

  private tell(connection: ConnectionId, message: Parameters<Connections['tell']>[1]): void {
    this.connections.tell(connection, message);
    this.scheduleTurn();
  }

  private hangUp(connection: ConnectionId, code: ConnectionErrorCode, message: string): void {
    this.ports.clients.send(connection, this.options.codec.encodeServerFrame([{ type: 'error', code, message }]));
    this.connections.close(connection);
    this.ports.clients.close(connection, message);
  }

  /** Requests and replies of one turn travel together: one prepare, one frame a connection. */
  private scheduleTurn(): void {
    if (this.turnPending) return;
    this.turnPending = true;
    this.ports.timers.defer(() => this.endTurn());
  }

  private endTurn(): void {
    this.turnPending = false;
    if (this.arrived.length > 0) {
      const requests = this.arrived;
      this.arrived = [];
      this.post({ type: 'client-requests', requests });
    }
    if (this.asked.length > 0) {
      const queries = this.asked;
      this.asked = [];
      this.post({ type: 'client-queries', queries });
    }
    this.connections.flush((connection, messages, version) => {
      const frames = this.options.codec.encodeServerFrames(messages, version);
      for (const frame of frames) this.ports.clients.send(connection, frame);
    });
  }

  private post(event: Event): void {
    if (this.replica === undefined || this.phase === 'failed' || this.phase === 'stopped') return;
    this.queue.push(event);
    if (this.draining) return;
    this.draining = true;
    try {
      this.drain(this.replica);
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.draining = false;
    }
  }

  private drain(replica: Replica<State>): void {
    for (let event = this.queue.shift(); event !== undefined; event = this.queue.shift()) {
      const effects = step(replica, event, this.ports.clock.read());
      // Before what it says on sound ground again, and behind what it said when it did not know yet.
      if (this.divergence.isTold) this.divergence.look(replica);
      for (const effect of effects) this.execute(effect);
      this.divergence.look(replica);
      if (this.phase === 'failed' || this.phase === 'stopped') this.queue.length = 0;
    }
    this.announceView(replica);
    this.announceSync(replica);
    this.announceLoading();
    this.scrub.sawCheckpoints(replica.checkpointing.damaged);
  }

  /** A checkpoint of this replica that is being read; null: none is. Of `parts` so many are decoded. */
  loading(): { readonly op: number; readonly done: number; readonly parts: number } | null {
    const loading = this.replica?.loading ?? null;
    if (loading === null) return null;
    const { header, contentBytes } = loading.ref;
    return { op: header.op, done: loading.next, parts: checkpointParts(contentBytes) };
  }

  /** A large state takes seconds to read: a line at its beginning, at each tenth, and at its end. */
  private announceLoading(): void {
    const loading = this.loading();
    const tenth = loading === null ? null : Math.floor((loading.done * 10) / Math.max(1, loading.parts));
    if (tenth === this.loadingTold) return;
    this.loadingTold = tenth;
    if (loading === null) return this.ports.journal.write('info', 'the state is read', {});
    const { op, done, parts } = loading;
    this.ports.journal.write('info', 'reading the state from a checkpoint', { checkpoint: op, done, parts });
  }

  private announceGroup({ epoch, voters, standbys, addresses }: Group): void {
    this.ports.journal.write('info', `the cluster's members are others now`, { epoch, voters, standbys });
    this.ports.network.meet?.(addresses);
  }

  private announceSync({ syncing, applied }: Replica<State>): void {
    const now = syncing === null ? null : syncing.phase;
    if (now === this.syncingTold) return;
    const began = this.syncingTold === null;
    this.syncingTold = now;
    const { journal } = this.ports;
    if (now === null) return journal.write('info', 'state sync is over', { applied });
    if (began) journal.write('info', 'state sync: the log of the others begins above the own one', { applied });
    if (now !== 'fetching') return;
    const { header, contentBytes } = syncing?.target ?? {};
    journal.write('info', 'state sync: fetching a checkpoint', { op: header?.op, contentBytes });
  }

  /** Clients learn of a view once its primary serves it: everything before that is no place to send anything. */
  private announceView(replica: Replica<State>): void {
    const { status, durable } = replica;
    if (durable.view === this.told.view && status === this.told.status) return;
    this.told = { view: durable.view, status };
    const { view, primary, op, commit } = replicaStatus(replica);
    this.ports.journal.write('info', `replica is ${status}`, { view, primary, op, commit });
    if (status !== 'normal') return;
    this.connections.tellEveryone({ type: 'view', ...this.whereTo() });
    this.scheduleTurn();
  }

  private execute(effect: Effect): void {
    const { timers, applied, journal } = this.ports;
    const log = this.log;
    assert(log !== undefined, 'a replica that steps has a log');
    switch (effect.type) {
      case 'send-message':
        return this.sendToPeers([effect.to], effect.message);
      case 'broadcast':
        return this.sendToPeers(effect.to, effect.message);
      case 'set-timer':
        return timers.set(effect.timer, effect.delayMs);
      case 'cancel-timer':
        return timers.cancel(effect.timer);
      case 'write-to-log': {
        const { op, id } = effect.prepare.header;
        return log.append(effect.prepare, () => {
          this.scrub.appended(op, id);
          this.post({ type: 'log-written', op, id });
        });
      }
      case 'flush-to-disk': {
        const { sequence, state } = effect;
        const written = (): void => this.post({ type: 'superblock-written', sequence });
        return log.writeSuperblock(sequence, encodeDurableState(state), written);
      }
      case 'read-from-log': {
        const { op, id } = effect;
        return log.read(op, id, (prepare) => this.post({ type: 'prepare-read', op, id, prepare }));
      }
      case 'write-checkpoint': {
        const { op } = effect.header;
        return log.writeCheckpoint(effect.header, effect.content, (ref) =>
          this.post({ type: 'checkpoint-written', op, ref }),
        );
      }
      case 'read-checkpoint-part': {
        const { ref, part, to } = effect;
        const answer = (bytes: Uint8Array | null): void =>
          this.post({ type: 'checkpoint-part-read', ref, part, to, bytes });
        if (part === checkpointParts(ref.contentBytes)) return log.readManifest(ref, answer);
        return log.readCheckpointPart(ref, part, answer);
      }
      case 'receive-checkpoint': {
        const { checksum } = effect.ref;
        return log.receiveCheckpoint(effect.ref, effect.manifest, (missing) =>
          this.post({ type: 'checkpoint-receiving', checksum, missing }),
        );
      }
      case 'store-checkpoint-part': {
        const { ref, part, bytes } = effect;
        return log.storeCheckpointPart(ref, part, bytes, (stored) =>
          this.post({ type: 'checkpoint-part-stored', checksum: ref.checksum, part, stored }),
        );
      }
      case 'trim-log':
        return log.trim(effect.op, effect.keep);
      case 'notify-client':
        return this.reply(effect.client, effect.reply);
      case 'apply-effects':
        return applied.execute(effect);
      case 'member-replaced': {
        const answer = this.replacing.get(effect.ticket);
        this.replacing.delete(effect.ticket);
        return answer?.(effect.result);
      }
      case 'members-changed': {
        const answer = this.changing.get(effect.ticket);
        this.changing.delete(effect.ticket);
        return answer?.(effect.result);
      }
      case 'group-changed':
        return this.announceGroup(effect.membership.group);
      case 'removed':
        this.removed = true;
        journal.write('warn', 'this replica was removed from the cluster; it is not needed any more', {});
        return this.ports.removed?.();
      case 'stopped':
        return this.finishStop();
      default:
        unreachable(effect);
    }
  }

  /** One frame for all that speak the same version. */
  private sendToPeers(peers: readonly ReplicaId[], message: Message): void {
    const { network } = this.ports;
    const { codec } = this.options;
    const frames = new Map<number, Uint8Array>();
    for (const to of peers) {
      const version = network.versionTo?.(to) ?? codec.versions.newest;
      const frame = frames.get(version) ?? codec.encodePeerMessage(message, this.incarnation, version);
      frames.set(version, frame);
      network.send(to, frame);
    }
  }

  /** A client that asks for more than it reads is told to come back, before its answers fill the memory. */
  private reply(client: ClientId, reply: ClientReply): void {
    const connection = this.connections.connectionOf(client);
    if (connection === undefined) return;
    const tooMuch =
      reply.type === 'answer' &&
      !this.connections.admitAnswer(connection, reply.body.length, this.ports.clients.waitingBytes(connection));
    if (!tooMuch) return this.tell(connection, { type: 'reply', reply });
    const refusal = { reason: 'overloaded', retryAfterMs: 100, ...this.whereTo() } as const;
    this.tell(connection, { type: 'reply', reply: { type: 'query-refused', query: reply.query, refusal } });
  }

  private finishStop(): void {
    const finish = (): void => {
      if (this.phase === 'failed') return;
      this.endTurn();
      this.phase = 'stopped';
      for (const done of this.whenStopped) done();
      this.whenStopped = [];
    };
    if (this.log === undefined) finish();
    else this.log.close(finish);
  }

  private fail(error: Error): void {
    if (this.phase === 'failed') return;
    this.phase = 'failed';
    this.queue.length = 0;
    this.ports.fatal(error);
  }
}
