import type { AddressInfo } from 'node:net';
import { clusterId, op, replicaId, timestamp, view } from '@kimberlite/base';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { type ClientMessage, createCodec, encodeQueryAnswer, type ServerMessage } from '@kimberlite/wire';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { Probe, waitFor } from '../src/index.ts';

const codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });
const registers = 5;

type Query = Extract<ClientMessage, { type: 'query' }>['query'];

/** The other side: greets, keeps what it is asked, and answers when the test says so. */
class SilentNode {
  readonly server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  readonly queries: Query[] = [];
  socket: WebSocket | null = null;

  constructor() {
    this.server.on('connection', (socket) => {
      this.socket = socket;
      socket.on('message', (frame: Buffer) => {
        const messages = codec.decodeClientFrame(frame);
        if (!messages.ok) throw new Error(messages.error.message);
        for (const message of messages.value) this.onMessage(message);
      });
    });
  }

  get endpoint(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  say(message: ServerMessage): void {
    this.socket?.send(codec.encodeServerFrame([message]));
  }

  answer({ query }: Query, value: number): void {
    const body = encodeQueryAnswer({ ok: true, value: { rows: [{ value }], position: 1, timestamp: 1 } });
    this.say({ type: 'reply', reply: { type: 'answer', query, op: op(1), timestamp: timestamp(1), body } });
  }

  refuse({ query }: Query): void {
    const refusal = { reason: 'view-change', retryAfterMs: 0, view: view(1), primary: replicaId(1) } as const;
    this.say({ type: 'reply', reply: { type: 'query-refused', query, refusal } });
  }

  private onMessage(message: ClientMessage): void {
    if (message.type === 'query') this.queries.push(message.query);
    if (message.type !== 'hello') return;
    this.say({
      type: 'welcome',
      protocolVersion: message.protocolVersion,
      cluster: clusterId('c'.repeat(32)),
      replica: replicaId(0),
      view: view(0),
      primary: replicaId(0),
      members: [],
    });
  }
}

let node: SilentNode;
let probe: Probe;

const until = (what: string, condition: () => boolean): Promise<true> =>
  waitFor(what, async () => condition() || undefined, { timeoutMs: 5000, everyMs: 5 });

beforeEach(async () => {
  node = new SilentNode();
  await until('the server listens', () => node.server.address() !== null);
  probe = new Probe(node.endpoint, registers);
  probe.start();
  await until('the probe is greeted', () => probe.connected);
});
afterEach(() => {
  probe.close();
  for (const socket of node.server.clients) socket.terminate();
  node.server.close();
});

describe('a probe', () => {
  it('remembers what was answered, however late, and not what was refused', async () => {
    await until('two queries', () => node.queries.length >= 2);
    const [first, second] = node.queries;
    if (first === undefined || second === undefined) throw new Error('there are two');
    node.refuse(first);
    node.answer(second, 42);
    await until('an answer', () => probe.history.length > 0);
    expect(probe.history).toMatchObject([{ kind: 'read', key: `r${second.query % registers}`, value: 42, client: -1 }]);
    const [read] = probe.history;
    expect(read?.returnedAt).toBeGreaterThan(read?.invokedAt ?? Number.POSITIVE_INFINITY);
  });

  it('stops asking a node that stands still, but for what it is told to ask', async () => {
    await until('64 queries', () => node.queries.length >= 64);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(node.queries).toHaveLength(64);
    const last = probe.askAll();
    await until('one more for every register', () => node.queries.length >= 64 + registers);
    expect(node.queries.at(-1)?.query).toBe(last);
    expect(new Set(node.queries.slice(-registers).map(({ query }) => query % registers)).size).toBe(registers);
  });

  it('knows whether an answer may still come', async () => {
    const last = probe.askAll();
    expect(probe.waits(last)).toBe(true);
    await until('all are there', () => node.queries.some(({ query }) => query === last));
    const upToLast = node.queries.filter(({ query }) => query <= last);
    for (const query of upToLast.slice(1)) node.refuse(query);
    await until('some are gone', () => node.queries.length > upToLast.length);
    expect(probe.waits(last)).toBe(true);
    for (const query of upToLast.slice(0, 1)) node.answer(query, 1);
    await until('none is waited for', () => !probe.waits(last));
  });

  it('waits for nothing any more when the connection is gone, and comes back', async () => {
    const last = probe.askAll();
    const asked = probe.status(5000);
    const gone = expect(asked).rejects.toThrow(/has gone/);
    node.socket?.terminate();
    await gone;
    expect(probe.waits(last)).toBe(false);
    await until('it is greeted again', () => probe.connected);
  });

  it('gives up on a status that does not come', async () => {
    await expect(probe.status(20)).rejects.toThrow(/no status in 20 ms/);
  });

  it('makes a bad frame a problem of the node', async () => {
    node.socket?.send(Buffer.from('nonsense'));
    await until('it is told', () => probe.problems.length > 0);
    expect(probe.problems[0]).toMatch(/sent a bad frame/);
  });
});
