import { randomBytes } from 'node:crypto';
import { clientId, protocolVersion, requestNumber, sessionNumber } from '@kimberlite/base';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { type Codec, createCodec, decodeQueryAnswer, encodeQuery } from '@kimberlite/wire';
import { WebSocket } from 'ws';
import { drillTenant, type Recorded } from './load.ts';

/** Pause between two queries of a probe. */
const everyMs = 10;

/**
 * Asks one node, and only that one, for registers at the default consistency, whatever the node thinks of itself:
 * a client that has not heard of any other primary. A node that answers although it is no primary any more gives
 * itself away here (pitfall 41); an SDK client would long be somewhere else.
 */
export class Probe {
  readonly history: Recorded[] = [];
  private readonly endpoint: string;
  private readonly registers: number;
  private readonly codec: Codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });
  private readonly open = new Map<number, { key: string; invokedAt: number }>();
  private socket: WebSocket | null = null;
  private timer: NodeJS.Timeout | null = null;
  private asked = 0;
  private closed = false;

  constructor(endpoint: string, registers: number) {
    this.endpoint = endpoint;
    this.registers = registers;
  }

  start(): void {
    this.dial();
    this.timer = setInterval(() => this.ask(), everyMs);
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
    this.open.clear();
    socket.binaryType = 'nodebuffer';
    socket.on('open', () => {
      const client = clientId(randomBytes(16).toString('hex'));
      socket.send(this.codec.encodeClientFrame([{ type: 'hello', protocolVersion, client, cluster: null }]));
    });
    socket.on('message', (frame: Buffer) => this.onFrame(frame));
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      if (this.socket === socket && !this.closed) setTimeout(() => this.dial(), 50);
    });
  }

  private ask(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const query = ++this.asked;
    const key = `r${query % this.registers}`;
    this.open.set(query, { key, invokedAt: performance.now() });
    const body = encodeQuery({ tenantId: drillTenant, table: 'registers', where: { name: key } });
    const session = sessionNumber(0);
    const after = requestNumber(0);
    const level = { type: 'linearizable' } as const;
    this.socket.send(this.codec.encodeClientFrame([{ type: 'query', query: { session, query, after, level, body } }]));
  }

  private onFrame(frame: Uint8Array): void {
    const returnedAt = performance.now();
    const messages = this.codec.decodeServerFrame(frame);
    if (!messages.ok) throw new Error(`a node sent a bad frame: ${messages.error.message}`);
    for (const message of messages.value) {
      if (message.type !== 'reply') continue;
      const { reply } = message;
      if (reply.type !== 'answer' && reply.type !== 'query-refused') continue;
      const asked = this.open.get(reply.query);
      this.open.delete(reply.query);
      if (reply.type !== 'answer' || asked === undefined) continue;
      const answer = decodeQueryAnswer(reply.body);
      if (!answer.ok || !answer.value.ok) continue;
      const [row] = answer.value.value.rows;
      const value = row === undefined ? null : Number(row['value']);
      this.history.push({ client: -1, kind: 'read', ...asked, value, returnedAt, outcome: 'ok' });
    }
  }
}
