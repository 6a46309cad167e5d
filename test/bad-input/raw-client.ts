import { randomBytes } from 'node:crypto';
import { clientId, protocolVersion, requestNumber, sessionNumber } from '@kimberlite/base';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { type ClientMessage, createCodec, encodeQuery, type ServerMessage } from '@kimberlite/wire';
import { WebSocket } from 'ws';

export const codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });
type Query = Parameters<typeof encodeQuery>[0];

/** A connection without the SDK's manners: sends what it is told, and reads only when it is asked to. */
export class RawClient {
  readonly received: ServerMessage[] = [];
  readonly closed: Promise<number>;
  private readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => {
      const messages = codec.decodeServerFrame(data);
      if (!messages.ok) throw new Error(`the node sent a bad frame: ${messages.error.message}`);
      this.received.push(...messages.value);
    });
  }

  /** Resolves once connected. `headers` as a browser would send them. */
  static open(endpoint: string, headers: Record<string, string> = {}): Promise<RawClient> {
    const socket = new WebSocket(endpoint, { perMessageDeflate: false, headers });
    return new Promise((resolve, reject) => {
      socket.once('open', () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  /** Connected and greeted. */
  static async greet(endpoint: string): Promise<RawClient> {
    const client = await RawClient.open(endpoint);
    client.send([{ type: 'hello', protocolVersion, client: clientId(randomBytes(16).toString('hex')), cluster: null }]);
    await client.next('welcome');
    return client;
  }

  send(messages: readonly ClientMessage[]): void {
    this.socket.send(codec.encodeClientFrame(messages));
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.send(bytes);
  }

  /** Registers a session and gives its number. */
  async register(): Promise<number> {
    this.send([request(0, 0, new Uint8Array(0))]);
    const { reply } = await this.next('reply');
    if (reply.type !== 'registered') throw new Error(`registered was expected, not ${JSON.stringify(reply)}`);
    return reply.session;
  }

  stopReading(): void {
    this.socket.pause();
  }

  close(): void {
    this.socket.terminate();
  }

  /** The first message of that type that came or comes; taken out of `received`. */
  async next<T extends ServerMessage['type']>(
    type: T,
    timeoutMs = 20_000,
  ): Promise<Extract<ServerMessage, { type: T }>> {
    const deadline = performance.now() + timeoutMs;
    const isWanted = (message: ServerMessage): message is Extract<ServerMessage, { type: T }> => message.type === type;
    for (;;) {
      const found = this.received.find(isWanted);
      if (found !== undefined) {
        this.received.splice(this.received.indexOf(found), 1);
        return found;
      }
      if (performance.now() > deadline)
        throw new Error(`no ${type} came; got ${JSON.stringify(this.received).slice(0, 500)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

export function request(session: number, number: number, body: Uint8Array): ClientMessage {
  return {
    type: 'request',
    request: {
      session: sessionNumber(session),
      number: requestNumber(number),
      floor: requestNumber(Math.min(1, number)),
      checksum: nodeHasher(body),
      body,
    },
  };
}

export function question(query: number, of: Query): ClientMessage {
  const session = sessionNumber(0);
  const after = requestNumber(0);
  return { type: 'query', query: { session, query, after, level: { type: 'linearizable' }, body: encodeQuery(of) } };
}
