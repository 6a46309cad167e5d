import {
  type ClientId,
  clusterId,
  op as toOp,
  replicaId,
  requestNumber,
  sessionNumber,
  sha256Hasher,
} from '@kimberlite/base';
import {
  type ClientReply,
  createReplica,
  type Effect,
  type Event,
  initialDurableState,
  type Message,
  type Replica,
  replicaStatus,
  step,
  type TimerName,
} from '../src/index.ts';
import { type ByteState, byteMachine, bytesOf, textOf } from './byte-machine.ts';
import { type PendingWork, TestDisk } from './test-disk.ts';

// Runs the little language of test/transcripts: one command a block, its output below `----`.
//
//   cluster N                        N replicas with empty disks, started
//   register C to R                  client C registers a session at replica R
//   request C BODY to R              the client's next request
//   resend C NUMBER BODY to R        a request again
//   query C [after NUMBER] to R      a linearizable query
//   deliver|drop [TYPE] [from R] [to R] [first]   messages in the bag that match, in order
//   disk R [log|superblock|read]     finishes what is pending on R's disk
//   crash R [lost|torn-body|body-only|torn-header|done]   what becomes of pending writes; default: lost
//   restart R
//   rot R OP body|header             damages a slot of a crashed replica
//   stop R                           asks it to stop
//   tick MS                          time passes, timers fire; nothing is delivered
//   run MS                           time passes, and all that happens is delivered and finished at once
//   stabilize [without R]            delivers and finishes until all is quiet; no time passes
//   status
//
// Pings and heartbeats are delivered like the rest but not printed.

const cluster = clusterId('7a'.repeat(16));
const clockStartUs = 1_700_000_000_000_000;
const quietTypes = new Set(['ping', 'pong', 'heartbeat', 'heartbeat-ok']);
const stabilizeRoundsMax = 200;

interface Envelope {
  readonly from: number;
  readonly to: number;
  readonly message: Message;
}

interface Node {
  readonly id: number;
  readonly disk: TestDisk;
  replica: Replica<ByteState> | null;
  boots: number;
  readonly timers: Map<TimerName, number>;
}

interface Client {
  readonly name: string;
  session: number;
  number: number;
  query: number;
}

const clientIdOf = (name: string): ClientId => name.charCodeAt(0).toString(16).padStart(32, '0') as ClientId;

export class Transcript {
  private nodes: Node[] = [];
  private bag: Envelope[] = [];
  private readonly clients = new Map<string, Client>();
  private nowUs = 1_000_000;
  private out: string[] = [];

  /** Runs one command line and returns its output lines. */
  run(line: string): readonly string[] {
    this.out = [];
    const [command = '', ...words] = line.split(/\s+/);
    this.dispatch(command, words);
    return this.out.length === 0 ? ['ok'] : this.out;
  }

  private dispatch(command: string, words: readonly string[]): void {
    const named = (key: string): string | undefined => {
      const at = words.indexOf(key);
      return at < 0 ? undefined : words[at + 1];
    };
    const to = Number(named('to'));
    switch (command) {
      case 'cluster':
        return this.form(Number(words[0]));
      case 'register':
        return this.send(words[0] ?? '', 0, '', to);
      case 'request': {
        const client = this.client(words[0] ?? '');
        return this.send(client.name, ++client.number, words[1] ?? '', to);
      }
      case 'resend':
        return this.send(words[0] ?? '', Number(words[1]), words[2] ?? '', to);
      case 'query':
        return this.ask(words[0] ?? '', Number(named('after') ?? 0), to);
      case 'deliver':
      case 'drop':
        return this.pass(command === 'deliver', words, named('from'), named('to'));
      case 'disk':
        return this.finishDisk(this.node(words[0]), words[1]);
      case 'crash':
        return this.crash(this.node(words[0]), words[1] ?? 'lost');
      case 'restart':
        return this.boot(this.node(words[0]));
      case 'rot': {
        const slot = this.node(words[0]).disk.slot(Number(words[1]));
        if (words[2] === 'header') slot.header = 'bad';
        else slot.body = 'bad';
        return;
      }
      case 'stop':
        return this.event(this.node(words[0]), { type: 'stop' });
      case 'tick':
        return this.tick(Number(words[0]));
      case 'run':
        return this.tick(Number(words[0]), true);
      case 'stabilize':
        return this.stabilize(named('without'));
      case 'status':
        return this.status();
      default:
        throw new Error(`unknown command: ${command}`);
    }
  }

  private node(word: string | undefined): Node {
    const node = this.nodes[Number(word)];
    if (node === undefined) throw new Error(`no replica ${word}`);
    return node;
  }

  private client(name: string): Client {
    const known = this.clients.get(name) ?? { name, session: 0, number: 0, query: 0 };
    this.clients.set(name, known);
    return known;
  }

  private form(count: number): void {
    this.nodes = Array.from({ length: count }, (_, id) => ({
      id,
      disk: new TestDisk(initialDurableState()),
      replica: null,
      boots: 0,
      timers: new Map(),
    }));
    for (const node of this.nodes) this.boot(node);
  }

  private boot(node: Node): void {
    node.boots++;
    node.replica = createReplica<ByteState>({
      cluster,
      replica: replicaId(node.id),
      replicaCount: this.nodes.length,
      hasher: sha256Hasher,
      seed: node.id * 100 + node.boots,
      nonce: `${node.id}.${node.boots}`,
      stateMachine: byteMachine,
      durable: node.disk.superblock,
      recovered: node.disk.recover(),
    });
    this.event(node, { type: 'start' });
  }

  private crash(node: Node, how: string): void {
    const landed = ['lost', 'torn-body', 'body-only', 'torn-header', 'done'].indexOf(how);
    if (landed < 0) throw new Error(`unknown crash: ${how}`);
    for (const work of node.disk.pending) {
      if (work.kind === 'log') node.disk.tear(work.prepare, landed);
      else if (how === 'done') node.disk.finish(work);
    }
    node.disk.pending = [];
    node.replica = null;
    node.timers.clear();
  }

  private event(node: Node, event: Event): void {
    if (node.replica === null) return;
    const clock = { monotonicUs: this.nowUs, realtimeUs: clockStartUs + this.nowUs };
    for (const effect of step(node.replica, event, clock)) this.effect(node, effect);
  }

  private effect(node: Node, effect: Effect): void {
    const say = (text: string): void => void this.out.push(`${node.id} ${text}`);
    switch (effect.type) {
      case 'send-message':
        return this.post(node.id, effect.to, effect.message);
      case 'broadcast':
        for (const to of effect.to) if (to < this.nodes.length) this.post(node.id, to, effect.message);
        return;
      case 'set-timer':
        node.timers.set(effect.timer, this.nowUs + effect.delayMs * 1000);
        return;
      case 'cancel-timer':
        node.timers.delete(effect.timer);
        return;
      case 'write-to-log':
        node.disk.pending.push({ kind: 'log', prepare: effect.prepare });
        return say(`writes op ${effect.prepare.header.op}`);
      case 'flush-to-disk': {
        const { sequence, state } = effect;
        node.disk.pending.push({ kind: 'superblock', sequence, state });
        const suffix = state.suffix.map((e) => (e.id === null ? `${e.op}?` : `${e.op}`)).join(',');
        return say(`flushes view ${state.view} log view ${state.logView} commit ${state.commit} suffix [${suffix}]`);
      }
      case 'read-from-log':
        node.disk.pending.push({ kind: 'read', op: effect.op, id: effect.id });
        return say(`reads op ${effect.op}`);
      case 'notify-client':
        return this.reply(node.id, effect.client, effect.reply);
      case 'apply-effects':
        return say(`applies op ${effect.op}${effect.primary ? '' : ' as backup'}${effect.replay ? ' again' : ''}`);
      case 'stopped':
        return say('has stopped');
    }
  }

  private post(from: number, to: number, message: Message): void {
    this.bag.push({ from, to, message });
    if (!quietTypes.has(message.type)) this.out.push(`${from} -> ${to} ${describe(message)}`);
  }

  private reply(from: number, id: ClientId, reply: ClientReply): void {
    const client = [...this.clients.values()].find((c) => clientIdOf(c.name) === id);
    const name = client?.name ?? id;
    if (reply.type === 'registered' && client !== undefined) client.session = reply.session;
    this.out.push(`${from} => ${name} ${describeReply(reply)}`);
  }

  private send(name: string, number: number, body: string, to: number): void {
    const client = this.client(name);
    const bytes = bytesOf(body);
    const request = {
      client: clientIdOf(name),
      session: sessionNumber(number === 0 ? 0 : client.session),
      number: requestNumber(number),
      floor: requestNumber(number === 0 ? 0 : 1),
      checksum: sha256Hasher(bytes),
      body: bytes,
    };
    this.event(this.node(String(to)), { type: 'client-requests', requests: [request] });
  }

  private ask(name: string, after: number, to: number): void {
    const client = this.client(name);
    const query = {
      client: clientIdOf(name),
      session: sessionNumber(client.session),
      query: ++client.query,
      after: requestNumber(after),
      level: { type: 'linearizable' as const },
      body: bytesOf(''),
    };
    this.event(this.node(String(to)), { type: 'client-queries', queries: [query] });
  }

  private pass(deliver: boolean, words: readonly string[], from: string | undefined, to: string | undefined): void {
    const keyword = new Set(['from', 'to', 'first', from, to]);
    const type = words.find((word) => !keyword.has(word));
    const matches = (e: Envelope): boolean =>
      (type === undefined || e.message.type === type) &&
      (from === undefined || e.from === Number(from)) &&
      (to === undefined || e.to === Number(to));
    const chosen = this.bag.filter(matches).slice(0, words.includes('first') ? 1 : undefined);
    this.bag = this.bag.filter((e) => !chosen.includes(e));
    if (deliver)
      for (const { to: target, message } of chosen) this.event(this.node(String(target)), { type: 'message', message });
  }

  private finishDisk(node: Node, kind?: string): void {
    const chosen = node.disk.pending.filter((work) => kind === undefined || work.kind === kind);
    node.disk.pending = node.disk.pending.filter((work) => !chosen.includes(work));
    for (const work of chosen) this.finishWork(node, work);
  }

  private finishWork(node: Node, work: PendingWork): void {
    node.disk.finish(work);
    switch (work.kind) {
      case 'log':
        return this.event(node, { type: 'log-written', op: work.prepare.header.op, id: work.prepare.header.id });
      case 'superblock':
        return this.event(node, { type: 'superblock-written', sequence: work.sequence });
      case 'read': {
        const prepare = node.disk.read(work.op, work.id);
        return this.event(node, { type: 'prepare-read', op: toOp(work.op), id: work.id, prepare });
      }
    }
  }

  private tick(ms: number, settle = false): void {
    const endUs = this.nowUs + ms * 1000;
    for (;;) {
      let due: { node: Node; timer: TimerName; atUs: number } | null = null;
      for (const node of this.nodes) {
        for (const [timer, atUs] of node.timers) {
          if (atUs <= endUs && (due === null || atUs < due.atUs)) due = { node, timer, atUs };
        }
      }
      if (due === null) break;
      this.nowUs = Math.max(this.nowUs, due.atUs);
      due.node.timers.delete(due.timer);
      this.event(due.node, { type: 'timer', timer: due.timer });
      if (settle) this.stabilize(undefined);
    }
    this.nowUs = endUs;
  }

  private stabilize(without: string | undefined): void {
    const apart = (e: Envelope): boolean => e.from === Number(without) || e.to === Number(without);
    for (let round = 0; round < stabilizeRoundsMax; round++) {
      const messages = this.bag.filter((e) => without === undefined || !apart(e));
      const disks = this.nodes.filter((n) => n.id !== Number(without) && n.disk.pending.length > 0);
      if (messages.length === 0 && disks.length === 0) return;
      this.bag = this.bag.filter((e) => !messages.includes(e));
      for (const { to, message } of messages) this.event(this.node(String(to)), { type: 'message', message });
      for (const node of disks) this.finishDisk(node);
    }
    throw new Error('stabilize: never quiet');
  }

  private status(): void {
    for (const node of this.nodes) {
      if (node.replica === null) {
        this.out.push(`${node.id} down`);
        continue;
      }
      const r = node.replica;
      const s = replicaStatus(r);
      const role = s.role === null ? '' : ` ${s.role}`;
      const state = textOf(byteMachine.query(r.state, new Uint8Array(0)));
      this.out.push(
        `${node.id} ${s.status}${role} view ${r.view} log view ${r.logView} head ${s.op} commit ${s.commit} applied ${s.applied} state "${state}"`,
      );
    }
  }
}

function describe(m: Message): string {
  switch (m.type) {
    case 'prepare':
      return `prepare view ${m.view} op ${m.prepare.header.op} commit ${m.commit}`;
    case 'prepare-ok':
      return `prepare-ok view ${m.view} op ${m.op}`;
    case 'start-view-change':
      return `start-view-change view ${m.view}`;
    case 'do-view-change': {
      const marks = m.suffix.map(
        (s) => `${s.op}${s.id === null ? '?' : ''}${s.present ? '+' : ''}${s.nack ? '-' : ''}`,
      );
      return `do-view-change view ${m.view} log view ${m.logView} commit ${m.commit} head ${m.head} [${marks.join(' ')}]`;
    }
    case 'start-view':
      return `start-view view ${m.view} commit ${m.commit} head ${m.suffix.at(-1)?.op ?? 0}`;
    case 'request-start-view':
      return `request-start-view view ${m.view}`;
    case 'request-headers':
      return `request-headers ${m.low}..${m.high}`;
    case 'headers':
      return `headers ${m.headers.map((h) => h.op).join(' ')}`;
    case 'request-prepare':
      return `request-prepare op ${m.op}`;
    case 'repair-prepare':
      return `repair-prepare op ${m.prepare.header.op}`;
    default:
      return m.type;
  }
}

function describeReply(reply: ClientReply): string {
  switch (reply.type) {
    case 'registered':
      return `registered session ${reply.session}`;
    case 'outcome':
      return `outcome ${reply.number}: op ${reply.op} "${textOf(reply.body)}"`;
    case 'refused':
      return `refused ${reply.number}: ${reply.refusal.reason}, primary ${reply.refusal.primary}`;
    case 'query-refused':
      return `query ${reply.query} refused: ${reply.refusal.reason}`;
    case 'answer':
      return `answer ${reply.query}: op ${reply.op} "${textOf(reply.body)}"`;
    default:
      return reply.type;
  }
}

/** A file is a list of blocks: comment lines with `#`, a command, `----`, the expected output, an empty line. */
export function runFile(text: string): string {
  const transcript = new Transcript();
  const blocks = text.split(/\n{2,}/).map((block) => block.split('\n').filter((line) => line !== ''));
  const written = blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => {
      const end = lines.indexOf('----');
      const head = end < 0 ? lines : lines.slice(0, end);
      const commands = head.filter((line) => !line.startsWith('#'));
      if (commands.length === 0) return head.join('\n');
      const output = commands.flatMap((command) => transcript.run(command));
      return [...head, '----', ...output].join('\n');
    });
  return `${written.join('\n\n')}\n`;
}
