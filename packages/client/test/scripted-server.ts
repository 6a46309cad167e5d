import { createHash } from 'node:crypto';
import { type Checksum, type ClientId, type ClusterId, type ReplicaId, seedRandom, type View } from '@kimberlite/base';
import type { Outcome } from '@kimberlite/kernel';
import {
  type ClientMessage,
  createCodec,
  decodeCommands,
  encodeCommand,
  encodeOutcomes,
  encodeQuery,
  encodeQueryAnswer,
  type ServerMessage,
} from '@kimberlite/wire';
import type { CallResult, ClientTiming, SessionInput } from '../src/index.ts';
import { createClientSession } from '../src/index.ts';

export type Reply = Extract<ServerMessage, { type: 'reply' }>['reply'];
export type Request = Extract<ClientMessage, { type: 'request' }>['request'];
export type Query = Extract<ClientMessage, { type: 'query' }>['query'];
type Reason = Extract<Reply, { type: 'refused' }>['refusal']['reason'];

const hasher = (bytes: Uint8Array): Checksum =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 32) as Checksum;
export const codec = createCodec({ hasher });
const cluster = 'c'.repeat(32) as ClusterId;
const encodeText = (text: string): Uint8Array => encodeCommand({ type: 'CreateTenant', tenantId: 1, name: text });

/**
 * A session and the other side of its connections, both driven by hand: nothing happens unless the test says so,
 * and time is a number. Replicas are endpoints `ws://0`, `ws://1`, `ws://2`.
 */
export class Bench {
  now = 1_000;
  view = 0;
  readonly session;
  readonly settled = new Map<number, CallResult>();
  /** Open or dialled connections, by number. */
  readonly links = new Map<number, { endpoint: string; open: boolean }>();
  /** Everything sent and not yet looked at. */
  requests: (Request & { connection: number })[] = [];
  queries: (Query & { connection: number })[] = [];
  registrations: number[] = [];
  dials: string[] = [];
  private calls = 0;
  private readonly endpoints: readonly string[];

  constructor(timing: Partial<ClientTiming> = {}, endpoints = ['ws://0', 'ws://1', 'ws://2']) {
    this.endpoints = endpoints;
    const client = 'a'.repeat(32) as ClientId;
    this.session = createClientSession({ endpoints, client, codec, hasher, random: seedRandom(7), timing });
  }

  input(input: SessionInput): void {
    for (const output of this.session.step(input, this.now)) {
      if (output.type === 'settled') {
        if (this.settled.has(output.call)) throw new Error(`call ${output.call} was settled twice`);
        this.settled.set(output.call, output.result);
      } else if (output.type === 'connect') {
        this.links.set(output.connection, { endpoint: output.endpoint, open: false });
        this.dials.push(output.endpoint);
      } else if (output.type === 'disconnect') this.links.delete(output.connection);
      else if (output.type === 'send') this.onSend(output.connection, output.frame);
    }
  }

  private onSend(connection: number, frame: Uint8Array): void {
    const messages = codec.decodeClientFrame(frame);
    if (!messages.ok) throw new Error(messages.error.message);
    for (const message of messages.value) {
      if (message.type === 'query') this.queries.push({ ...message.query, connection });
      else if (message.type === 'request') {
        if (message.request.session === 0) this.registrations.push(connection);
        else this.requests.push({ ...message.request, connection });
      }
    }
  }

  tick(ms: number): void {
    for (let passed = 0; passed < ms; passed += 10) {
      this.now += 10;
      this.input({ type: 'tick' });
    }
  }

  /** Issues a command; the calls are numbered from 1. */
  command(name: string, timeoutMs?: number): number {
    const call = ++this.calls;
    this.input({ type: 'command', call, packed: encodeText(name), ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    return call;
  }
  ask(timeoutMs?: number): number {
    const call = ++this.calls;
    const packed = encodeQuery({ tenantId: 0, table: '$tenants' });
    const level = { type: 'linearizable' } as const;
    this.input({ type: 'query', call, packed, level, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    return call;
  }
  flush(): void {
    this.input({ type: 'flush' });
  }

  /** The connection to an endpoint, dialled or open. */
  link(endpoint: string): number {
    for (const [number, link] of this.links) if (link.endpoint === endpoint) return number;
    throw new Error(`no connection to ${endpoint}; there are ${JSON.stringify([...this.links.values()])}`);
  }
  isLinked(endpoint: string): boolean {
    return [...this.links.values()].some((link) => link.endpoint === endpoint);
  }

  /** Lets the dial to an endpoint succeed and its replica greet. */
  greet(endpoint: string, view = this.view, connection = this.link(endpoint)): void {
    this.view = Math.max(this.view, view);
    const link = this.links.get(connection);
    if (link !== undefined) link.open = true;
    this.input({ type: 'connected', connection });
    const replica = Number(endpoint.slice(5)) as ReplicaId;
    const primary = (view % 3) as ReplicaId;
    const members = this.endpoints.map((name, r) => ({ replica: r as ReplicaId, endpoint: name, adminUrl: null }));
    this.tell(connection, [
      { type: 'welcome', protocolVersion: 1, cluster, replica, view: view as View, primary, members },
    ]);
  }
  tell(connection: number, messages: readonly ServerMessage[]): void {
    this.input({ type: 'frame', connection, frame: codec.encodeServerFrame(messages) });
  }
  reply(connection: number, reply: unknown): void {
    this.tell(connection, [{ type: 'reply', reply: reply as Reply }]);
  }
  cut(endpoint: string): void {
    const connection = this.link(endpoint);
    this.links.delete(connection);
    this.input({ type: 'disconnected', connection, reason: 'reset' });
  }

  /** Connects to the primary and registers, with the given session number. */
  open(session = 10): number {
    this.flush();
    this.greet('ws://0');
    const connection = this.link('ws://0');
    const opener = this.command('opener');
    this.flush();
    this.reply(connection, { type: 'registered', session });
    const request = this.take();
    this.accept(request);
    if (this.settled.get(opener)?.type !== 'outcome') throw new Error('the session does not work');
    return connection;
  }
  /** After the primary's connection was cut: a backup is met on the way back to the same primary. */
  comeBack(): void {
    this.greet('ws://1');
    this.tick(300);
    this.greet('ws://0');
    this.tick(10);
  }
  /** The one request that was sent. */
  take(): Request & { connection: number } {
    const [request, ...more] = this.requests;
    if (request === undefined || more.length > 0) throw new Error(`${this.requests.length} requests instead of one`);
    this.requests = [];
    return request;
  }
  names(request: Request): string[] {
    const commands = decodeCommands(request.body);
    if (!commands.ok) throw new Error(commands.error.message);
    return commands.value.map((command) => (command as { name: string }).name);
  }
  /** Replies that all commands of the request were applied. */
  accept(request: Request & { connection: number }, position = 1): void {
    const outcomes: Outcome[] = this.names(request).map((_, i) => ({
      ok: true,
      position: position + i,
      op: 1,
      timestamp: 1,
      isReplay: false,
    }));
    const { session, number } = request;
    this.reply(request.connection, {
      type: 'outcome',
      session,
      number,
      op: 1,
      timestamp: 1,
      body: encodeOutcomes(outcomes),
    });
  }
  refuse(request: Request & { connection: number }, reason: Reason, view = this.view, retryAfterMs = 20): void {
    const { session, number } = request;
    const refusal = { reason, retryAfterMs, view, primary: view % 3 };
    this.reply(request.connection, { type: 'refused', session, number, refusal });
  }
  answer(query: Query & { connection: number }): void {
    const body = encodeQueryAnswer({ ok: true, value: { rows: [{ n: query.query }], position: 1, timestamp: 1 } });
    this.reply(query.connection, { type: 'answer', query: query.query, op: 1, timestamp: 1, body });
  }
  /** `ok`, or the code and outcome of the failure, or undefined while it is pending. */
  fate(call: number): string | undefined {
    const result = this.settled.get(call);
    if (result === undefined) return undefined;
    return result.type === 'failure' ? `${result.failure.code}/${result.failure.outcome}` : 'ok';
  }
}
