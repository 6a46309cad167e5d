import { randomBytes } from 'node:crypto';
import { clientId, protocolVersion, protocolVersionOldest, requestNumber, sessionNumber } from '@kimberlite/base';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import {
  type ClientMessage,
  type Codec,
  createCodec,
  decodeQueryAnswer,
  encodeQuery,
  type ServerMessage,
  type StatusRow,
} from '@kimberlite/wire';
import { WebSocket } from 'ws';
import { drillTenant, type Recorded, registerName } from './load.ts';

/** Pause between two queries of a probe. */
export const probeEveryMs = 10;

/** Pause before a lost connection is dialled again. */
const redialMs = 50;

/**
 * Queries that may wait for an answer before the probe stops asking by itself. A stopped node answers nothing, and what
 * waits for it has to fit into its socket: what is sent last must be there to be read when it wakes.
 */
const openQueriesMax = 64;

interface StatusWaiter {
  readonly resolve: (row: StatusRow) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Asks one node, and only that one, for registers at the default consistency, whatever the node thinks of itself:
 * a client that has not heard of any other primary. A node that answers although it is no primary any more gives
 * itself away here (pitfall 41); an SDK client would long be somewhere else.
 */
export class Probe {
  readonly history: Recorded[] = [];
  /** What the node said that no node may say. */
  readonly problems: string[] = [];
  private readonly endpoint: string;
  private readonly registers: number;
  private readonly codec: Codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });
  private readonly open = new Map<number, { key: string; invokedAt: number }>();
  private waiters: StatusWaiter[] = [];
  private socket: WebSocket | null = null;
  private welcomed = false;
  /** What the node has agreed on. */
  private version: number = protocolVersion;
  private timer: NodeJS.Timeout | null = null;
  private asked = 0;
  private closed = false;

  constructor(endpoint: string, registers: number) {
    this.endpoint = endpoint;
    this.registers = registers;
  }

  start(): void {
    this.dial();
    this.timer = setInterval(() => {
      if (this.open.size < openQueriesMax) this.ask();
    }, probeEveryMs);
  }

  /** True while the node can be asked. */
  get connected(): boolean {
    return this.welcomed && this.socket?.readyState === WebSocket.OPEN;
  }

  /** One query for every register, sent before this returns. Gives the number of the last. */
  askAll(): number {
    for (let i = 0; i < this.registers; i++) this.ask();
    return this.asked;
  }

  /** True while a query up to that number may still be answered. */
  waits(query: number): boolean {
    // In the order of asking: the first is the oldest.
    const [oldest] = this.open.keys();
    return oldest !== undefined && oldest <= query;
  }

  /** The node's own status row, asked on this connection. Rejects when there is no answer in time. */
  async status(timeoutMs: number): Promise<StatusRow> {
    let timer: NodeJS.Timeout | undefined;
    const answered = new Promise<StatusRow>((resolve, reject) => {
      if (!this.connected) return reject(new Error(`${this.endpoint} is not connected`));
      this.waiters.push({ resolve, reject });
      timer = setTimeout(() => reject(new Error(`${this.endpoint} gave no status in ${timeoutMs} ms`)), timeoutMs);
    });
    try {
      this.send({ type: 'status' });
      return await answered;
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.closed = true;
    if (this.timer !== null) clearInterval(this.timer);
    this.socket?.terminate();
  }

  private dial(): void {
    if (this.closed) return;
    const socket = new WebSocket(this.endpoint, { perMessageDeflate: false });
    this.socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('open', () => {
      this.send({
        type: 'hello',
        protocolVersion,
        protocolVersionOldest,
        client: clientId(randomBytes(16).toString('hex')),
        cluster: null,
      });
    });
    socket.on('message', (frame: Buffer) => this.onFrame(frame));
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      this.forget();
      if (!this.closed) setTimeout(() => this.dial(), redialMs);
    });
  }

  /** What was asked on a connection that is gone is never answered. */
  private forget(): void {
    this.welcomed = false;
    this.open.clear();
    for (const { reject } of this.waiters) reject(new Error(`${this.endpoint} has gone`));
    this.waiters = [];
  }

  private send(message: ClientMessage): void {
    this.socket?.send(this.codec.encodeClientFrame([message], this.version));
  }

  private ask(): void {
    if (!this.connected) return;
    const query = ++this.asked;
    const key = registerName(query % this.registers);
    this.open.set(query, { key, invokedAt: performance.now() });
    const body = encodeQuery({ tenantId: drillTenant, table: 'registers', where: { name: key } });
    const level = { type: 'linearizable' } as const;
    this.send({
      type: 'query',
      query: { session: sessionNumber(0), query, after: requestNumber(0), level, body },
    });
  }

  private onFrame(frame: Uint8Array): void {
    const returnedAt = performance.now();
    const messages = this.codec.decodeServerFrame(frame);
    if (!messages.ok) {
      this.problems.push(`${this.endpoint} sent a bad frame: ${messages.error.message}`);
      return this.close();
    }
    for (const message of messages.value) this.onMessage(message, returnedAt);
  }

  private onMessage(message: ServerMessage, returnedAt: number): void {
    if (message.type === 'welcome') {
      this.welcomed = true;
      this.version = message.protocolVersion;
    }
    if (message.type === 'status') this.waiters.shift()?.resolve(message.row);
    if (message.type !== 'reply') return;
    const { reply } = message;
    if (reply.type !== 'answer' && reply.type !== 'query-refused') return;
    const asked = this.open.get(reply.query);
    this.open.delete(reply.query);
    if (reply.type !== 'answer' || asked === undefined) return;
    const answer = decodeQueryAnswer(reply.body);
    if (!answer.ok || !answer.value.ok) return;
    const [row] = answer.value.value.rows;
    const value = row === undefined ? null : Number(row['value']);
    this.history.push({ client: -1, kind: 'read', ...asked, value, returnedAt, outcome: 'ok' });
  }
}
