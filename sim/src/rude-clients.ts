import {
  type Checksum,
  type ClientId,
  protocolVersion,
  type RandomState,
  type RequestNumber,
  randomU32,
  type SessionNumber,
  sessionWindowMax,
} from '@kimberlite/base';
import type { ClientReply } from '@kimberlite/vsr';
import { type ClientMessage, encodeCommands } from '@kimberlite/wire';
import type { Cluster } from './cluster.ts';
import { simTenant } from './workload.ts';

// Clients that break the rules or ask for too much. Their commands touch rows that nobody else knows, so that only what
// they do to the others counts.

export interface RudeSetup {
  readonly cluster: Cluster;
  readonly replica: number;
  /** It has had its effect. */
  readonly struck: () => void;
}

/** Apart from the workload's clients, whose links may be cut or left unread by number. */
const firstClientNumber = 1000;
const noRow = 1_000_000_000;
/** A session number that no op of a run has. */
const futureSession = 1_000_000_000;

interface Request {
  readonly session: number;
  readonly number: number;
  readonly floor?: number;
  readonly body?: Uint8Array;
}

/** A delete of a row that is not there: rejected, and nothing changes. */
const harmless = (row: number): Uint8Array =>
  encodeCommands([{ type: 'Delete', tenantId: simTenant, table: 'rows', key: { id: noRow + row } }]);

const randomHex128 = (random: RandomState): string =>
  Array.from({ length: 4 }, () => randomU32(random).toString(16).padStart(8, '0')).join('');

/** One connection of one client: says hello, registers, and then whatever it is told to. */
class RawClient {
  session = 0;
  private readonly cluster: Cluster;
  private readonly connection: number;
  private readonly onReply: (reply: ClientReply) => void;

  constructor(setup: RudeSetup, random: RandomState, onReply: (reply: ClientReply, client: RawClient) => void) {
    const { cluster, replica } = setup;
    this.cluster = cluster;
    this.onReply = (reply) => onReply(reply, this);
    const client = randomHex128(random) as ClientId;
    this.connection = cluster.links.dial(firstClientNumber, replica, {
      opened: () => this.send([{ type: 'hello', protocolVersion, client, cluster: null }]),
      received: (frame) => this.receive(frame),
      closed: () => {},
    });
  }

  private receive(frame: Uint8Array): void {
    const messages = this.cluster.codec.decodeServerFrame(frame);
    if (!messages.ok) return;
    for (const message of messages.value) {
      if (message.type === 'welcome') this.send([this.request({ session: 0, number: 0 })]);
      if (message.type !== 'reply') continue;
      if (message.reply.type === 'registered') this.session = message.reply.session;
      this.onReply(message.reply);
    }
  }

  request({ session, number, floor = Math.min(1, number), body = new Uint8Array(0) }: Request): ClientMessage {
    const checksum: Checksum = this.cluster.hasher(body);
    const numbers = { session: session as SessionNumber, number: number as RequestNumber };
    return { type: 'request', request: { ...numbers, floor: floor as RequestNumber, checksum, body } };
  }

  send(messages: readonly ClientMessage[]): void {
    this.cluster.links.sendToNode(this.connection, this.cluster.codec.encodeClientFrame(messages));
  }

  hangUp(): void {
    this.cluster.links.closeFromClient(this.connection);
  }
}

/** Until a rude client leaves, whatever it was told. */
const staysUs = 1_000_000;

/** Everything that Table G has a row for and a well-behaved client never does. */
export function rudeClient(setup: RudeSetup): void {
  const { cluster, struck } = setup;
  const random = cluster.scheduler.random(`rude client at ${cluster.scheduler.nowUs}`);
  let begun = false;
  let answered = false;
  const client = new RawClient(setup, random, (reply, { session }) => {
    if (reply.type === 'registered' && !begun) {
      begun = true;
      client.send(wrongRequests(client, session));
    }
    if (reply.type !== 'outcome' || reply.number !== 1 || answered) return;
    answered = true;
    struck();
    client.send(lateRequests(client, session));
  });
  cluster.scheduler.after(staysUs, () => client.hangUp());
}

/** Registered already, twice the same, a gap, far beyond the window, a session that is not there yet. */
const wrongRequests = (client: RawClient, session: number): readonly ClientMessage[] => [
  client.request({ session: 0, number: 0 }),
  client.request({ session, number: 1, body: harmless(1) }),
  client.request({ session, number: 1, body: harmless(1) }),
  client.request({ session, number: 3, body: harmless(3) }),
  client.request({ session, number: 1 + sessionWindowMax, body: harmless(1) }),
  client.request({ session: futureSession, number: 1, body: harmless(1) }),
];

/** Answered already, another body under its number, below the floor, a session of somebody else. */
const lateRequests = (client: RawClient, session: number): readonly ClientMessage[] => [
  client.request({ session, number: 1, body: harmless(1) }),
  client.request({ session, number: 1, body: harmless(2) }),
  client.request({ session, number: 2, floor: 2, body: harmless(2) }),
  client.request({ session, number: 1, floor: 2, body: harmless(1) }),
  client.request({ session: 1, number: 1, body: harmless(1) }),
];

/** Requests that each take up a place of the pipeline before the flood fills the queue behind them. */
const firstDrops = 12;
const dropIntervalUs = 1_000;

/** More requests than the queue of a primary takes. Nothing is asked again: who sends so much does not wait. */
export function flood(setup: RudeSetup, what: { readonly sessions: number; readonly leadUs: number }): void {
  const { cluster, struck } = setup;
  const { scheduler } = cluster;
  const random = scheduler.random(`flood at ${scheduler.nowUs}`);
  let refused = false;
  const clients = Array.from(
    { length: what.sessions },
    () =>
      new RawClient(setup, random, (reply) => {
        if (reply.type !== 'refused' || reply.refusal.reason !== 'overloaded' || refused) return;
        refused = true;
        struck();
      }),
  );
  const [first, ...others] = clients;
  const body = harmless(0);
  const window = (client: RawClient, from: number): void => {
    const { session } = client;
    const numbers = Array.from({ length: sessionWindowMax - from + 1 }, (_, i) => from + i);
    if (session > 0) client.send(numbers.map((number) => client.request({ session, number, body })));
  };
  scheduler.after(what.leadUs, () => {
    for (let drop = 1; drop <= firstDrops; drop++) {
      scheduler.after(drop * dropIntervalUs, () => {
        if (first === undefined || first.session === 0) return;
        first.send([first.request({ session: first.session, number: drop, body })]);
      });
    }
    scheduler.after((firstDrops + 1) * dropIntervalUs, () => {
      if (first !== undefined) window(first, firstDrops + 1);
      for (const client of others) window(client, 1);
    });
  });
  scheduler.after(what.leadUs + staysUs, () => {
    for (const client of clients) client.hangUp();
  });
}

/** Registrations until the table must give up sessions of others. */
export function floodSessions(setup: RudeSetup, sessions: number): void {
  const { scheduler } = setup.cluster;
  const random = scheduler.random(`flood of sessions at ${scheduler.nowUs}`);
  let struck = false;
  for (let i = 0; i < sessions; i++) {
    const client: RawClient = new RawClient(setup, random, (reply) => {
      if (reply.type !== 'registered') return;
      client.hangUp();
      if (struck || !setup.cluster.marks.has('evicted-to-make-room')) return;
      struck = true;
      setup.struck();
    });
  }
}
