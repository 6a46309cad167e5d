import {
  ownVersions,
  type ClientId,
  type Checksum,
  clusterId,
  type RandomState,
  randomChance,
  randomInt,
  randomPick,
  replicaId,
  replicasMax,
  requestNumber,
  seedRandom,
  sessionNumber,
  sha256Hasher,
  type VersionRange,
} from '@kimberlite/base';
import {
  type ClientReply,
  type ClientRequest,
  createReplica,
  type DurableState,
  type Effect,
  type Event,
  foundingGroup,
  type Group,
  initialDurableState,
  joiningDurableState,
  type MemberChange,
  membersOf,
  type Message,
  type Replica,
  replacedDurableState,
  replicaStatus,
  step,
  type TimerName,
} from '../src/index.ts';
import { type ByteState, bodiesOf, byteMachine, bytesOf, textOf } from './byte-machine.ts';
import { TestDisk } from './test-disk.ts';

// A seeded random walk over a whole cluster: lost, late and doubled messages, cut links, crashes that lose unsynced
// writes and tear others, rot, pauses, skewed schedules; then calm, in which everything has to come right.

const cluster = clusterId('c0'.repeat(16));

export const older: VersionRange = { oldest: 1, newest: 1 };
export const newer: VersionRange = { oldest: 1, newest: 2 };

export interface WalkOptions {
  readonly seed: number;
  readonly replicas: number;
  readonly clients: number;
  readonly requestsPerClient: number;
  /** Simulated seconds of trouble, then of calm. */
  readonly troubleSeconds: number;
  readonly calmSeconds: number;
  /** Probabilities per message. */
  readonly drop: number;
  readonly duplicate: number;
  /** Mean seconds between crashes, cuts and pauses anywhere; 0: none. */
  readonly crashEvery: number;
  readonly cutEvery: number;
  readonly pauseEvery: number;
  /** Probability that a crash of replica 0 also damages one of its slots. */
  readonly rot: number;
  /** Probability that a crash takes all replicas at once. */
  readonly crashAll: number;
  /**
   * Probability that a moment that matters is followed by a crash at once: a reply has left its primary (all go
   * down, the primary for long), or a replica has just spoken for a new view.
   */
  readonly ambush: number;
  /** Mean seconds between two losses of replica 0 with its disk; each time an empty machine takes its place. */
  readonly loseEvery: number;
  /** Mean seconds between two changes of the members; 0: none. */
  readonly changeEvery: number;
  /** Mean seconds between two changes of one replica's state in memory, behind its back. One replica at a time. */
  readonly flipEvery: number;
  /** Ops between two checkpoints. */
  readonly checkpointInterval: number;
  /** Machines run one of two releases, and come back with another now and then; in calm all have the newer one. */
  readonly upgrades: boolean;
  /** A crashed replica comes back only in calm. */
  readonly staysDown?: boolean;
}

export interface WalkResult {
  readonly acknowledged: number;
  readonly answered: number;
  readonly crashes: number;
  readonly views: number;
  readonly simulatedUs: number;
  readonly messages: number;
}

interface Item {
  readonly atUs: number;
  readonly order: number;
  readonly run: () => void;
}

class Agenda {
  private readonly heap: Item[] = [];
  private order = 0;

  private before(a: Item, b: Item): boolean {
    return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
  }
  private at(i: number): Item {
    const item = this.heap[i];
    if (item === undefined) throw new Error('heap');
    return item;
  }
  add(atUs: number, run: () => void): void {
    this.heap.push({ atUs, order: this.order++, run });
    let i = this.heap.length - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!this.before(this.at(i), this.at(up))) break;
      this.swap(i, up);
      i = up;
    }
  }
  private swap(i: number, j: number): void {
    const x = this.at(i);
    this.heap[i] = this.at(j);
    this.heap[j] = x;
  }
  take(): Item | null {
    const first = this.heap[0];
    const last = this.heap.pop();
    if (first === undefined || last === undefined) return null;
    if (this.heap.length > 0) {
      this.heap[0] = last;
      let i = 0;
      for (;;) {
        let least = i;
        for (const child of [2 * i + 1, 2 * i + 2]) {
          if (child < this.heap.length && this.before(this.at(child), this.at(least))) least = child;
        }
        if (least === i) break;
        this.swap(i, least);
        i = least;
      }
    }
    return first;
  }
}

interface Node {
  readonly id: number;
  disk: TestDisk;
  /** Its disk is gone, and nobody has taken its place yet. */
  lost: boolean;
  /** It was removed from the cluster and has stopped for good. */
  gone: boolean;
  /** A value of its state changed by itself, and it is not known to be clean again. */
  isFlipped: boolean;
  replica: Replica<ByteState> | null;
  boot: number;
  timers: Map<TimerName, number>;
  pausedUntilUs: number;
  skewUs: number;
  appliedSeen: number;
  /** What the replica knows to be intact since its boot. */
  intact: Map<number, Checksum>;
  /** What its release speaks. */
  range: VersionRange;
}

interface Client {
  readonly id: ClientId;
  session: number;
  registered: boolean;
  next: number;
  /** Number to body and whether any transmission may still take effect. */
  readonly pending: Map<number, { body: string; sentUs: number; invokedUs: number }>;
  readonly done: Map<number, { op: number; reply: string }>;
  target: number;
  query: { number: number; invokedUs: number; leastPosition: number; after: number } | null;
  queryNumber: number;
}

export class Walk {
  readonly options: WalkOptions;
  readonly random: RandomState;
  readonly nodes: Node[];
  readonly clients: Client[];
  readonly agenda = new Agenda();
  readonly committed = new Map<number, Checksum>();
  readonly hashes = new Map<number, string>();
  /** By op: the version in force behind it. */
  readonly inForce = new Map<number, number>();
  /** Apart from the walk's own, so that a walk without upgrades is what it always was. */
  readonly releases: RandomState;
  readonly cut = new Set<string>();
  readonly marks = new Map<string, number>();
  nowUs = 1_000_000;
  trouble = true;
  acknowledged = 0;
  answered = 0;
  changes = 0;
  crashes = 0;
  messages = 0;
  bytes = 0;
  readonly replyTimes: number[] = [];
  readonly latencies: number[] = [];
  /** Highest position any client has been told of, by a write or a read. */
  toldPosition = 0;
  trace: ((line: string) => void) | null = null;

  constructor(options: WalkOptions) {
    this.options = options;
    this.random = seedRandom(options.seed);
    this.releases = seedRandom(options.seed * 13 + 5);
    this.nodes = Array.from({ length: options.replicas }, (_, id) =>
      this.machine(id, initialDurableState(options.checkpointInterval)),
    );
    this.clients = Array.from({ length: options.clients }, (_, i) => ({
      id: (i + 1).toString(16).padStart(32, '0') as ClientId,
      session: 0,
      registered: false,
      next: 1,
      pending: new Map(),
      done: new Map(),
      target: 0,
      query: null,
      queryNumber: 0,
    }));
  }

  private machine(id: number, superblock: DurableState): Node {
    return {
      id,
      disk: new TestDisk(superblock),
      lost: false,
      gone: false,
      isFlipped: false,
      replica: null,
      boot: 0,
      timers: new Map(),
      pausedUntilUs: 0,
      skewUs: randomInt(this.random, -100_000, 100_000),
      appliedSeen: 0,
      intact: new Map(),
      range: this.options.upgrades ? older : ownVersions,
    };
  }

  run(): WalkResult {
    const { troubleSeconds, calmSeconds } = this.options;
    for (const node of this.nodes) this.boot(node);
    for (const client of this.clients) this.clientTurn(client);
    this.plan(this.options.crashEvery, () => this.crashSomething());
    this.plan(this.options.cutEvery, () => this.cutSomething());
    this.plan(this.options.pauseEvery, () => this.pauseSomething());
    this.plan(this.options.loseEvery, () => this.lose());
    this.plan(this.options.changeEvery, () => this.changeMembers());
    this.plan(this.options.flipEvery, () => this.flip());
    const calmUs = this.nowUs + troubleSeconds * 1e6;
    this.agenda.add(calmUs, () => this.calm());
    const endUs = calmUs + calmSeconds * 1e6;
    for (;;) {
      const item = this.agenda.take();
      if (item === null || item.atUs > endUs) break;
      this.nowUs = Math.max(this.nowUs, item.atUs);
      item.run();
      if (!this.trouble && this.finished()) break;
    }
    this.judge();
    return {
      acknowledged: this.acknowledged,
      answered: this.answered,
      crashes: this.crashes,
      views: Math.max(...this.nodes.map((n) => n.replica?.view ?? 0)),
      simulatedUs: this.nowUs,
      messages: this.messages,
    };
  }

  private plan(everySeconds: number, act: () => void): void {
    if (everySeconds === 0) return;
    const next = (): void => {
      const pauseUs = Math.ceil(everySeconds * 1e6 * (0.2 + 1.6 * (randomInt(this.random, 0, 1000) / 1000)));
      this.agenda.add(this.nowUs + pauseUs, () => {
        if (!this.trouble) return;
        act();
        next();
      });
    };
    next();
  }

  // Faults.

  private crashSomething(): void {
    if (randomChance(this.random, this.options.crashAll)) for (const node of this.nodes) this.crash(node);
    else this.crash(randomPick(this.random, this.nodes));
  }

  crash(node: Node, downForUs?: number): void {
    if (node.replica === null) return;
    this.crashes++;
    this.trace?.(`${this.nowUs} crash ${node.id}`);
    node.replica = null;
    node.boot++;
    node.disk.crash(this.random);
    node.timers.clear();
    if (node.id === 0 && randomChance(this.random, this.options.rot)) this.damage(node);
    if (this.options.staysDown === true) return;
    const boot = node.boot;
    const downUs = downForUs ?? randomInt(this.random, 10_000, randomChance(this.random, 0.3) ? 3_000_000 : 300_000);
    this.agenda.add(this.nowUs + downUs, () => {
      if (node.boot === boot && node.replica === null) this.boot(node);
    });
  }

  private ambush(node: Node, effects: readonly Effect[]): void {
    if (!this.trouble || !randomChance(this.random, this.options.ambush)) return;
    const replied = effects.some((e) => e.type === 'notify-client' && e.reply.type === 'outcome');
    const spoke = effects.some((e) => 'message' in e && /view-change|start-view/.test(e.message.type));
    if (replied) {
      for (const other of this.nodes)
        this.crash(other, other === node ? 2_000_000 : randomInt(this.random, 2000, 20_000));
    } else if (spoke) this.crash(node, randomInt(this.random, 1000, 50_000));
  }

  /** The machine is gone for good. Somebody goes on asking for its replacement until that is done. */
  private lose(): void {
    const [node] = this.nodes;
    if (node === undefined || node.lost || node.gone || this.group().voters.length < 3) return;
    // Of the two that are left, one would say this and the other that.
    if (this.nodes.some((other) => other !== node && other.isFlipped)) return;
    this.crash(node);
    this.trace?.(`${this.nowUs} lost ${node.id}`);
    node.lost = true;
    this.askForReplacement(node);
  }

  private askForReplacement(node: Node): void {
    if (!node.lost) return;
    if (!membersOf(this.group()).includes(node.id)) {
      node.lost = false;
      node.gone = true;
      return;
    }
    for (const other of this.nodes) {
      // One that is paused would hear it when somebody else has long done it.
      if (other.replica !== null && other !== node && other.pausedUntilUs <= this.nowUs) {
        this.event(other, { type: 'replace-member', replica: node.id, ticket: 1 });
      }
    }
    this.agenda.add(this.nowUs + 500_000, () => this.askForReplacement(node));
  }

  private replaced(result: Extract<Effect, { type: 'member-replaced' }>['result']): void {
    const [node] = this.nodes;
    if (!result.ok || node === undefined || !node.lost) return;
    node.lost = false;
    const { view, incarnation, membership } = result;
    this.trace?.(`${this.nowUs} replaced ${node.id}: incarnation ${incarnation}, view ${view}`);
    const { checkpointInterval } = this.options;
    node.disk = new TestDisk(
      replacedDurableState({ replica: node.id, view, incarnation, checkpointInterval, membership }),
    );
    this.boot(node);
  }

  /** The newest group that any machine has on its disk or in memory. */
  group(): Group {
    let newest = foundingGroup(this.options.replicas);
    for (const { replica, disk } of this.nodes) {
      for (const group of [replica?.group, disk.superblock.membership?.group]) {
        if (group !== undefined && group.epoch > newest.epoch) newest = group;
      }
    }
    return newest;
  }

  private changeMembers(): void {
    const { voters, standbys } = this.group();
    const [standby] = standbys;
    const { rot, loseEvery, flipEvery } = this.options;
    const least = rot > 0 || loseEvery > 0 || flipEvery > 0 ? 3 : 2;
    const voter = randomPick(this.random, voters);
    const free = Array.from({ length: replicasMax }, (_, i) => i).filter(
      (i) => (i === this.nodes.length || this.nodes[i]?.gone === true) && !membersOf(this.group()).includes(i),
    );
    const roll = randomInt(this.random, 0, 9);
    let change: MemberChange | null = null;
    if (standby !== undefined && roll < 5) change = { type: 'promote', replica: standby };
    else if (standby !== undefined && roll < 8) change = { type: 'replace', replica: voter, by: standby };
    else if (standby !== undefined && roll === 8) change = { type: 'remove', replica: standby };
    else if (voters.length > least && roll % 2 === 0) change = { type: 'remove', replica: voter };
    else if (free[0] !== undefined) change = { type: 'add', replica: free[0], address: `machine:${free[0]}` };
    if (change === null) return;
    this.change(change);
    if (randomChance(this.random, 0.2)) for (const node of this.nodes) this.event(node, { type: 'transfer' });
  }

  change(change: MemberChange): void {
    this.trace?.(`${this.nowUs} change ${JSON.stringify(change)}`);
    for (const node of this.nodes) this.event(node, { type: 'change-members', change, ticket: 2, dryRun: false });
  }

  /** A standby is asked for by its absence: whoever was added and has no machine gets one. */
  private changed(result: Extract<Effect, { type: 'members-changed' }>['result']): void {
    if (!result.ok) return this.trace?.(`    refused: ${result.reason}`);
    this.changes++;
    const { membership } = result;
    const { checkpointInterval } = this.options;
    for (const replica of membership.group.standbys) {
      const known = this.nodes[replica];
      if (known !== undefined && !known.gone) continue;
      const node = this.machine(replica, joiningDurableState({ membership, replica, checkpointInterval }));
      node.boot = (known?.boot ?? 0) + 1;
      this.nodes[replica] = node;
      this.boot(node);
    }
  }

  /** The next one only when nothing is left of the last: a majority has to know better. */
  private flip(): void {
    const node = randomPick(this.random, this.nodes);
    const { replica } = node;
    if (replica === null || !replica.stateLoaded || replica.applied === 0) return;
    // While the group changes it may come down to two that say this and that.
    if (this.options.changeEvery > 0 || this.group().voters.length < 3) return;
    if (this.nodes.some((other) => other.isFlipped || other.lost) || replicaStatus(replica).status === 'quarantined')
      return;
    this.trace?.(`${this.nowUs} flip ${node.id}`);
    node.isFlipped = true;
    replica.state = { ...replica.state, hash: replica.state.hash ^ 1 };
  }

  private damage(node: Node): void {
    const ops = [...node.disk.slots.keys()];
    if (randomChance(this.random, 0.3)) node.disk.checkpoints.damage();
    if (ops.length === 0) return;
    ops.sort((a, b) => a - b);
    const slot = node.disk.slot(randomPick(this.random, ops.slice(-4)));
    if (randomChance(this.random, 0.7)) slot.body = 'bad';
    else slot.header = 'bad';
  }

  private cutSomething(): void {
    const kind = randomInt(this.random, 0, 4);
    if (kind === 0) this.cut.clear();
    const a = randomPick(this.random, this.nodes).id;
    if (kind === 4) {
      // One pair that cannot talk, while a third hears both.
      const b = randomPick(this.random, this.nodes).id;
      this.cut.add(`${a}-${b}`);
      this.cut.add(`${b}-${a}`);
      return;
    }
    for (const { id: b } of this.nodes) {
      if (a === b) continue;
      if (kind === 1 || kind === 3) this.cut.add(`${a}-${b}`);
      if (kind === 2 || kind === 3) this.cut.add(`${b}-${a}`);
    }
  }

  private pauseSomething(): void {
    const node = randomPick(this.random, this.nodes);
    node.pausedUntilUs = this.nowUs + randomInt(this.random, 100_000, 3_000_000);
  }

  private calm(): void {
    this.trouble = false;
    this.cut.clear();
    for (const node of this.nodes) {
      node.pausedUntilUs = 0;
      if (this.options.upgrades && node.range !== newer) this.crash(node);
      if (node.replica === null) this.boot(node);
    }
  }

  // Nodes.

  boot(node: Node): void {
    if (node.lost || node.gone) return;
    node.boot++;
    this.trace?.(`${this.nowUs} boot ${node.id}`);
    const recovered = node.disk.recover();
    node.pausedUntilUs = 0;
    node.appliedSeen = 0;
    node.intact = new Map();
    for (const { op, id, state } of recovered.slots) if (state === 'durable' && id !== null) node.intact.set(op, id);
    node.range = this.rangeFor(node);
    node.replica = createReplica<ByteState>({
      versions: node.range,
      cluster,
      replica: replicaId(node.id),
      replicaCount: this.options.replicas,
      hasher: sha256Hasher,
      seed: randomInt(this.random, 0, 2 ** 31),
      nonce: `${node.id}.${node.boot}`,
      stateMachine: byteMachine,
      durable: node.disk.superblock,
      mark: (name) => void this.marks.set(name, (this.marks.get(name) ?? 0) + 1),
      recovered,
    });
    this.event(node, { type: 'start' });
  }

  /** Nobody installs an older release once the newer version is in force, as far as anybody can see. */
  rangeFor(node: Node): VersionRange {
    if (!this.options.upgrades) return ownVersions;
    if (!this.trouble || this.isRisen()) return newer;
    return randomPick(this.releases, [newer, newer, node.range, older]);
  }

  isRisen(): boolean {
    return this.nodes.some(
      ({ replica, disk }) =>
        (replica?.versions.inForce ?? 1) > older.newest || disk.superblock.versionInForce > older.newest,
    );
  }

  /** The operator of a machine that went back too late: it has stopped, and says what to install. */
  private stoppedForGood(node: Node, error: unknown): void {
    if (node.range !== older || !(error instanceof Error) || !/install a newer release/.test(error.message))
      throw error;
    this.marks.set('walk:too-old', (this.marks.get('walk:too-old') ?? 0) + 1);
    node.range = newer;
    this.crash(node);
  }

  /** Runs an event now, or when the node's pause ends. */
  private event(node: Node, event: Event): void {
    const { boot } = node;
    if (node.replica === null) return;
    if (node.pausedUntilUs > this.nowUs) {
      this.agenda.add(node.pausedUntilUs + 1, () => {
        if (node.boot === boot) this.event(node, event);
      });
      return;
    }
    const clock = { monotonicUs: this.nowUs, realtimeUs: this.nowUs + node.skewUs + 1_700_000_000_000_000 };
    if (this.trace !== null && !(event.type === 'timer' && event.timer === 'ping')) {
      const text =
        event.type === 'message'
          ? `${event.message.type} from ${event.message.from}`
          : event.type === 'timer'
            ? event.timer
            : event.type;
      if (!/ping|pong|heartbeat/.test(text)) this.trace(`${this.nowUs} r${node.id} ${text}`);
    }
    let effects: readonly Effect[];
    try {
      effects = step(node.replica, event, clock);
    } catch (error) {
      return this.stoppedForGood(node, error);
    }
    for (const effect of effects) this.effect(node, effect);
    if (this.options.ambush > 0) this.ambush(node, effects);
    if (node.replica === null) return;
    this.observe(node);
    if (this.trace !== null && node.replica !== null) {
      const s = node.replica;
      const line = `${s.status} ${s.phase} v${s.view}/${s.logView} head ${s.head} commit ${s.commit} applied ${s.applied}`;
      if (this.lastLine.get(node.id) !== line) this.trace(`    r${node.id}: ${line}`);
      this.lastLine.set(node.id, line);
    }
  }
  private readonly lastLine = new Map<number, string>();

  private effect(node: Node, effect: Effect): void {
    const { boot } = node;
    const later = (lowUs: number, highUs: number, run: () => void): void =>
      this.agenda.add(this.nowUs + randomInt(this.random, lowUs, highUs), () => {
        if (node.boot === boot) run();
      });
    switch (effect.type) {
      case 'send-message':
        return this.transmit(node, effect.to, effect.message);
      case 'broadcast':
        for (const to of effect.to) this.transmit(node, to, effect.message);
        return;
      case 'set-timer': {
        const dueUs = this.nowUs + effect.delayMs * 1000;
        node.timers.set(effect.timer, dueUs);
        return this.agenda.add(dueUs, () => {
          if (node.boot !== boot || node.timers.get(effect.timer) !== dueUs) return;
          node.timers.delete(effect.timer);
          this.event(node, { type: 'timer', timer: effect.timer });
        });
      }
      case 'cancel-timer':
        node.timers.delete(effect.timer);
        return;
      case 'write-to-log': {
        const work = { kind: 'log' as const, prepare: effect.prepare };
        const { op, id } = effect.prepare.header;
        if (node.disk.pending.some((p) => p.kind === 'log' && p.prepare.header.op === op)) {
          throw new Error(`two writes to op ${op} in flight`);
        }
        if (node.intact.get(op) === id) throw new Error(`intact op ${op} rewritten`);
        node.intact.delete(op);
        node.disk.pending.push(work);
        return later(200, 8000, () => {
          node.disk.pending = node.disk.pending.filter((p) => p !== work);
          node.disk.finish(work);
          node.intact.set(op, id);
          this.event(node, { type: 'log-written', op, id });
        });
      }
      case 'flush-to-disk': {
        const work = { kind: 'superblock' as const, sequence: effect.sequence, state: effect.state };
        node.disk.pending.push(work);
        return later(500, 12_000, () => {
          node.disk.pending = node.disk.pending.filter((p) => p !== work);
          node.disk.finish(work);
          this.event(node, { type: 'superblock-written', sequence: effect.sequence });
        });
      }
      case 'read-from-log':
        return later(50, 1000, () => {
          const { op, id } = effect;
          this.event(node, { type: 'prepare-read', op, id, prepare: node.disk.read(op, id) });
        });
      case 'write-checkpoint': {
        const { header, content } = effect;
        // Drawn only at its end: what was captured must not have changed meanwhile.
        return later(1000, 100_000, () => {
          const ref = node.disk.checkpoints.write(header, content);
          this.event(node, { type: 'checkpoint-written', op: header.op, ref });
        });
      }
      case 'read-checkpoint-part': {
        const { ref, part, to } = effect;
        return later(50, 5000, () => {
          const bytes = node.disk.checkpoints.read(ref, part);
          this.event(node, { type: 'checkpoint-part-read', ref, part, to, bytes });
        });
      }
      case 'receive-checkpoint': {
        const { ref, manifest } = effect;
        return later(50, 5000, () => {
          const missing = node.disk.checkpoints.receive(ref, manifest);
          this.event(node, { type: 'checkpoint-receiving', checksum: ref.checksum, missing });
        });
      }
      case 'store-checkpoint-part': {
        const { ref, part, bytes } = effect;
        return later(50, 5000, () => {
          const stored = node.disk.checkpoints.store(ref, part, bytes);
          this.event(node, { type: 'checkpoint-part-stored', checksum: ref.checksum, part, stored });
        });
      }
      case 'trim-log':
        node.disk.trim(effect.op);
        for (const op of node.intact.keys()) if (op < effect.op) node.intact.delete(op);
        return node.disk.checkpoints.trim(effect.keep);
      case 'notify-client':
        // It has left: a crash of the sender does not take it back.
        this.agenda.add(this.nowUs + randomInt(this.random, 50, 2000), () => this.reply(effect.client, effect.reply));
        return;
      case 'apply-effects':
      case 'group-changed':
      case 'stopped':
        return;
      case 'removed':
        this.trace?.(`${this.nowUs} r${node.id} is gone`);
        node.gone = true;
        node.replica = null;
        node.boot++;
        return;
      case 'members-changed':
        return this.changed(effect.result);
      case 'member-replaced':
        return this.replaced(effect.result);
    }
  }

  private transmit({ id: from, replica }: Node, to: number, message: Message): void {
    const incarnation = replica?.members.incarnation ?? 0;
    this.messages++;
    this.bytes +=
      message.type === 'prepare' || message.type === 'repair-prepare' ? message.prepare.bytes.length + 64 : 128;
    if (this.cut.has(`${from}-${to}`)) return;
    if (this.trouble && randomChance(this.random, this.options.drop)) return;
    const copies = this.trouble && randomChance(this.random, this.options.duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const slow = this.trouble && randomChance(this.random, 0.02);
      const delayUs = slow ? randomInt(this.random, 10_000, 2_000_000) : randomInt(this.random, 100, 3000);
      this.agenda.add(this.nowUs + delayUs, () => {
        const node = this.nodes[to];
        if (node !== undefined) this.event(node, { type: 'message', message, incarnation });
      });
    }
  }

  // Checks.

  private observe(node: Node): void {
    const r = node.replica;
    if (r === null || !r.stateLoaded) return;
    for (let op = Math.max(1, node.appliedSeen + 1, r.logLow); op <= r.applied; op++) {
      const id = r.log.get(op)?.id;
      if (id === undefined) continue;
      const known = this.committed.get(op);
      if (known === undefined) this.committed.set(op, id);
      else if (known !== id) throw new Error(`replica ${node.id} forked at op ${op}`);
    }
    node.appliedSeen = Math.max(node.appliedSeen, r.applied);
    const hash = byteMachine.stateHash(r.state);
    const known = this.hashes.get(r.applied);
    if (node.isFlipped) {
      // Clean again once it is where the others were, by a state that was made anew.
      if (r.divergence.quarantine === null && known === hash) node.isFlipped = false;
    } else if (known === undefined) this.hashes.set(r.applied, hash);
    else if (known !== hash) throw new Error(`replica ${node.id} diverged at op ${r.applied}`);
    const version = this.inForce.get(r.applied) ?? r.versions.inForce;
    this.inForce.set(r.applied, version);
    if (version !== r.versions.inForce) throw new Error(`two versions in force at op ${r.applied}`);
  }

  private finished(): boolean {
    const total = this.options.requestsPerClient;
    if (!this.clients.every((c) => c.done.size === total && c.query === null)) return false;
    const members = membersOf(this.group());
    if (this.nodes.some((n) => !members.includes(n.id) && !n.gone)) return false;
    const present = this.nodes.filter((n) => !n.gone);
    const statuses = present.map((n) => (n.replica === null ? null : replicaStatus(n.replica)));
    const first = statuses[0] ?? null;
    // Somebody who was added and never started (the answer was lost) is a member that nobody hears.
    const rises = this.options.upgrades && members.every((id) => this.nodes[id]?.gone === false);
    return statuses.every(
      (s) =>
        s !== null &&
        s.status === 'normal' &&
        s.applied === s.op &&
        first !== null &&
        s.op === first.op &&
        (!rises || s.versionInForce === newer.newest) &&
        s.stateHash === first.stateHash,
    );
  }

  private judge(): void {
    const { seed } = this.options;
    if (!this.finished()) {
      const states = this.nodes.map((n) => (n.replica === null ? 'down' : JSON.stringify(describe(n.replica))));
      const clients = this.clients.map(
        (c) =>
          `${c.done.size} done, pending ${[...c.pending.keys()].join()} session ${c.session} query ${JSON.stringify(c.query)}`,
      );
      throw new Error(`seed ${seed}: no calm\n${states.join('\n')}\n${clients.join('\n')}`);
    }
    const replica = this.nodes.find((n) => !n.gone)?.replica;
    if (replica === null || replica === undefined) throw new Error('no replica');
    const bodies = bodiesOf(replica.state);
    if (new Set(bodies).size !== bodies.length) throw new Error(`seed ${seed}: a request was applied twice`);
    for (const client of this.clients) {
      let last = -1;
      for (let number = 1; number <= this.options.requestsPerClient; number++) {
        const body = bodyFor(client.id, number);
        const at = bodies.indexOf(body);
        if (body.startsWith('bad')) {
          if (at >= 0) throw new Error(`seed ${seed}: a rejected request was applied`);
          continue;
        }
        if (at < 0) throw new Error(`seed ${seed}: acknowledged ${body} is lost`);
        if (at < last) throw new Error(`seed ${seed}: ${body} took effect out of order`);
        if (client.done.get(number)?.reply !== `${at + 1} ${body}`)
          throw new Error(`seed ${seed}: wrong reply for ${body}`);
        last = at;
      }
    }
  }

  // Clients.

  private clientTurn(client: Client): void {
    this.agenda.add(this.nowUs + randomInt(this.random, 1000, 30_000), () => {
      this.act(client);
      this.clientTurn(client);
    });
  }

  private act(client: Client): void {
    const total = this.options.requestsPerClient;
    if (!client.registered) {
      if (randomChance(this.random, 0.3)) client.target = randomInt(this.random, 0, this.nodes.length - 1);
      return this.request(client, { session: 0, number: 0, body: '' });
    }
    const resendUs = 150_000;
    let resent = false;
    for (const [number, pending] of client.pending) {
      if (this.nowUs - pending.sentUs < resendUs) continue;
      pending.sentUs = this.nowUs;
      if (!resent && randomChance(this.random, 0.5)) client.target = randomInt(this.random, 0, this.nodes.length - 1);
      resent = true;
      this.request(client, { session: client.session, number, body: pending.body });
    }
    const burst = randomInt(this.random, 0, 3);
    for (let i = 0; i < burst && client.next <= total && client.pending.size < 16; i++) {
      const number = client.next++;
      const body = bodyFor(client.id, number);
      client.pending.set(number, { body, sentUs: this.nowUs, invokedUs: this.nowUs });
      this.request(client, { session: client.session, number, body });
    }
    this.maybeQuery(client);
  }

  private maybeQuery(client: Client): void {
    if (client.query !== null) {
      if (this.nowUs - client.query.invokedUs < 400_000) return;
      client.query = null;
    }
    const wants = this.trouble ? randomChance(this.random, 0.3) : client.done.size < this.options.requestsPerClient;
    if (!wants) return;
    const number = ++client.queryNumber;
    const after = randomChance(this.random, 0.7) ? client.next - 1 : 0;
    client.query = { number, invokedUs: this.nowUs, leastPosition: this.toldPosition, after };
    const query = {
      client: client.id,
      session: sessionNumber(client.session),
      query: number,
      after: requestNumber(after),
      level: { type: 'linearizable' as const },
      body: bytesOf(''),
    };
    const target = client.target;
    this.agenda.add(this.nowUs + randomInt(this.random, 100, 2000), () => {
      const node = this.nodes[target];
      if (node !== undefined) this.event(node, { type: 'client-queries', queries: [query] });
    });
  }

  private request(client: Client, what: { session: number; number: number; body: string }): void {
    const body = bytesOf(what.body);
    let floor = 1;
    while (client.done.has(floor)) floor++;
    const request: ClientRequest = {
      client: client.id,
      session: sessionNumber(what.session),
      number: requestNumber(what.number),
      floor: requestNumber(what.session === 0 ? 0 : floor),
      checksum: sha256Hasher(body),
      body,
    };
    const target = client.target;
    if (this.trouble && randomChance(this.random, this.options.drop)) return;
    this.agenda.add(this.nowUs + randomInt(this.random, 100, 2000), () => {
      const node = this.nodes[target];
      if (node !== undefined) this.event(node, { type: 'client-requests', requests: [request] });
    });
  }

  private reply(id: ClientId, reply: ClientReply): void {
    const client = this.clients.find((c) => c.id === id);
    if (client === undefined) return;
    switch (reply.type) {
      case 'registered':
        client.registered = true;
        if (client.session !== 0 && client.session !== reply.session) throw new Error('registered twice');
        client.session = reply.session;
        return;
      case 'outcome': {
        const known = client.done.get(reply.number);
        const text = textOf(reply.body);
        if (known !== undefined && (known.op !== reply.op || known.reply !== text)) {
          throw new Error(`two outcomes for request ${reply.number}`);
        }
        if (known !== undefined) return;
        client.done.set(reply.number, { op: reply.op, reply: text });
        this.latencies.push(this.nowUs - (client.pending.get(reply.number)?.invokedUs ?? this.nowUs));
        client.pending.delete(reply.number);
        this.acknowledged++;
        this.replyTimes.push(this.nowUs);
        this.told(text);
        return;
      }
      case 'answer': {
        const q = client.query;
        if (q === null || q.number !== reply.query) return;
        client.query = null;
        this.answered++;
        const text = textOf(reply.body);
        const position = Number(text.split(' ')[0]);
        if (position < q.leastPosition) {
          throw new Error(`seed ${this.options.seed}: stale read: ${position} after ${q.leastPosition} was told`);
        }
        this.told(text);
        return;
      }
      case 'refused':
      case 'query-refused': {
        client.target = reply.refusal.primary;
        if (reply.type === 'query-refused' && client.query?.number === reply.query) client.query = null;
        return;
      }
      case 'evicted':
      case 'mismatch':
        throw new Error(`seed ${this.options.seed}: a client was told ${reply.type}`);
    }
  }

  private told(text: string): void {
    if (text.startsWith('no')) return;
    this.toldPosition = Math.max(this.toldPosition, Number(text.split(' ')[0]));
  }
}

const bodyFor = (client: string, number: number): string =>
  `${number % 7 === 3 ? 'bad' : 'put'}-${Number.parseInt(client, 16)}-${number}`;

const describe = (r: Replica<ByteState>): unknown => ({
  ...replicaStatus(r),
  phase: r.phase,
  logView: r.logView,
  linkedLow: r.linkedLow,
  durable: { view: r.durable.view, logView: r.durable.logView },
  silent: r.silent,
  serving: r.serving,
  voted: r.voted,
  dvcs: [...r.dvcs.values()],
  fetches: [...r.fetches],
  faults: [...r.slots].filter(([, s]) => s.faulty),
});

/** A mix of options that depends on the seed alone. */
export function optionsFor(seed: number): WalkOptions {
  const random = seedRandom(seed * 7 + 1);
  const replicas = randomPick(random, [1, 2, 3, 3, 3, 3, 4, 5, 5, 6]);
  return {
    seed,
    replicas,
    clients: randomInt(random, 1, 4),
    requestsPerClient: randomInt(random, 20, 60),
    troubleSeconds: randomInt(random, 2, 8),
    calmSeconds: 40,
    drop: randomPick(random, [0, 0.01, 0.05, 0.2]),
    duplicate: randomPick(random, [0, 0.05, 0.3]),
    crashEvery: randomPick(random, [0, 0.3, 1, 3]),
    cutEvery: randomPick(random, [0, 0, 0.5, 2]),
    pauseEvery: randomPick(random, [0, 0, 1, 3]),
    loseEvery: replicas < 3 ? 0 : randomPick(random, [0, 0, 1, 3]),
    checkpointInterval: randomPick(random, [4, 8, 8, 16, 10_000]),
    rot: replicas < 3 ? 0 : randomPick(random, [0, 0, 0.5]),
    crashAll: randomPick(random, [0, 0.1, 0.5]),
    ambush: randomPick(random, [0, 0, 0.02, 0.2]),
    changeEvery: randomPick(random, [0, 0.3, 1]),
    flipEvery: replicas < 3 ? 0 : randomPick(random, [0, 0, 0.5, 2]),
    upgrades: seed % 3 === 0,
  };
}

export const walk = (seed: number, change: Partial<WalkOptions> = {}): WalkResult =>
  new Walk({ ...optionsFor(seed), ...change }).run();
