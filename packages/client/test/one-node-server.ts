import { createServer } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import type { ClientId, ClusterId, Op, ReplicaId, SessionNumber, Timestamp, View } from '@kimberlite/base';
import { type ClientMessage, createCodec, createKernelStateMachine, type ServerMessage } from '@kimberlite/wire';
import { type WebSocket, WebSocketServer } from 'ws';

const codec = createCodec();
const machine = createKernelStateMachine();

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/**
 * A server that speaks the client protocol over real sockets, with the real kernel behind it and no replication:
 * what the shell of the SDK needs to be tried on. Sessions outlive connections, as in a cluster.
 */
export class OneNodeServer {
  state = machine.initial();
  op = 0;
  /** Set: frames are read and not answered. */
  mute = false;
  requests = 0;
  connections = 0;
  private readonly sessions = new Map<string, { session: number; replies: Map<number, ServerMessage> }>();
  private readonly server: WebSocketServer;
  readonly port: number;

  private constructor(server: WebSocketServer, port: number) {
    this.server = server;
    this.port = port;
    server.on('connection', (socket) => this.serve(socket));
  }

  static async start(port: number): Promise<OneNodeServer> {
    const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false });
    await new Promise((resolve) => server.once('listening', resolve));
    return new OneNodeServer(server, port);
  }

  get endpoint(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.server.clients) socket.terminate();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
    await after(0);
  }

  private serve(socket: WebSocket): void {
    this.connections++;
    let client = '' as ClientId;
    socket.on('message', (data) => {
      const messages = codec.decodeClientFrame(data as Buffer);
      if (!messages.ok || this.mute) return;
      const replies: ServerMessage[] = [];
      for (const message of messages.value) {
        if (message.type === 'hello') client = message.client;
        const reply = this.answer(client, message);
        if (reply !== null) replies.push(reply);
      }
      for (const frame of codec.encodeServerFrames(replies)) socket.send(frame);
    });
  }

  private answer(client: ClientId, message: ClientMessage): ServerMessage | null {
    const replica = 0 as ReplicaId;
    const cluster = 'c'.repeat(32) as ClusterId;
    const members = [{ replica, endpoint: this.endpoint, adminUrl: null }];
    if (message.type === 'hello') {
      return { type: 'welcome', protocolVersion: 1, cluster, replica, view: 0 as View, primary: replica, members };
    }
    if (message.type === 'status') return this.status(cluster, replica, members);
    const op = this.op as Op;
    if (message.type === 'query') {
      const body = machine.query(this.state, message.query.body);
      const { query } = message.query;
      return {
        type: 'reply',
        reply: { type: 'answer', query, op, timestamp: this.op as Timestamp, body, staleForUs: 0 },
      };
    }
    return this.onRequest(client, message.request);
  }

  private onRequest(client: ClientId, request: Extract<ClientMessage, { type: 'request' }>['request']): ServerMessage {
    const { number, body } = request;
    if (number === 0) {
      const known = this.sessions.get(client) ?? { session: ++this.op, replies: new Map() };
      this.sessions.set(client, known);
      return { type: 'reply', reply: { type: 'registered', session: known.session as SessionNumber } };
    }
    this.requests++;
    const entry = this.sessions.get(client);
    const before = entry?.replies.get(number);
    if (before !== undefined) return before;
    const { session } = request;
    const op = ++this.op as Op;
    const timestamp = (op * 1000) as Timestamp;
    const { state, reply } = machine.apply(this.state, {
      op,
      timestamp,
      client,
      session,
      checksum: request.checksum,
      body,
    });
    this.state = state;
    const message = { type: 'reply', reply: { type: 'outcome', session, number, op, timestamp, body: reply } } as const;
    entry?.replies.set(number, message);
    return message;
  }

  private status(
    cluster: ClusterId,
    replica: ReplicaId,
    members: Extract<ServerMessage, { type: 'welcome' }>['members'],
  ): ServerMessage {
    const row = {
      cluster,
      replica,
      endpoint: this.endpoint,
      adminUrl: null,
      dataDir: '',
      pid: 1,
      reachable: true,
      role: 'primary',
      status: 'normal',
      view: 0,
      primary: replica,
      epoch: 0,
      voters: [0, 1, 2],
      standbys: [],
      op: this.op,
      commit: this.op,
      checkpoint: 0,
      position: 0,
      stateHash: '',
      stateHashOp: 0,
      version: '0',
      versionInForce: 1,
      versionNewest: 1,
      clockOffsetUs: null,
      diskUsedBytes: 0,
      divergence: null,
      diskRoom: 'enough',
      damageFound: 0,
      damageRepaired: 0,
      members: [...members, { replica: 1 as ReplicaId, endpoint: 'ws://127.0.0.1:1', adminUrl: null }],
    } as const;
    return { type: 'status', row };
  }
}
