import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clients, ConnectionId, Journal } from '@kimberlite/host';
import type { Codec, ConnectionErrorCode } from '@kimberlite/wire';
import { WebSocketServer } from 'ws';
import type { Access } from './access.ts';
import type { Address } from './address.ts';
import { ClientLink } from './client-link.ts';
import { listenOn } from './listen.ts';
import type { NodeMetrics } from './metrics.ts';
import { handshakeTimeoutMs, headerBytesMax, livenessTickMs, serverSocketOptions } from './socket-limits.ts';
import { refuseUpgrade } from './upgrade.ts';

export interface ClientNetworkOptions {
  readonly access: Access;
  readonly codec: Pick<Codec, 'encodeServerFrame'>;
  readonly connectionsMax: number;
  /** For one connection. */
  readonly queueBytesMax: number;
  /** Over all connections. */
  readonly queueBytesTotalMax: number;
  readonly opened: (connection: ConnectionId) => void;
  readonly receive: (connection: ConnectionId, frame: Uint8Array) => void;
  readonly closed: (connection: ConnectionId) => void;
  readonly journal: Journal;
  readonly metrics: NodeMetrics;
}

/** Waiting bytes of one connection from which the total is looked at. */
const worthCountingBytes = 262_144;

/** Client connections, and the port they come in by. Numbers are never used twice. */
export class ClientNetwork implements Clients {
  private readonly options: ClientNetworkOptions;
  private readonly server: Server;
  private readonly sockets = new WebSocketServer(serverSocketOptions);
  private readonly links = new Map<ConnectionId, ClientLink>();
  private lastId = 0;
  private liveness: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(options: ClientNetworkOptions) {
    this.options = options;
    const server = createServer({
      maxHeaderSize: headerBytesMax,
      requestTimeout: handshakeTimeoutMs,
      headersTimeout: handshakeTimeoutMs,
    });
    server.on('request', (_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain', connection: 'close' });
      response.end('This is the client port: connect with the SDK or `kimberlite --endpoints ws://…`.\n');
    });
    server.on('upgrade', (request, socket, head) => this.onUpgrade(request, socket, head));
    this.server = server;
  }

  /** Rejects with a `ListenError`. */
  async listen(address: Address): Promise<Address> {
    const bound = await listenOn(this.server, address, 'client');
    this.liveness = setInterval(() => this.tick(), livenessTickMs);
    return bound;
  }

  get count(): number {
    return this.links.size;
  }

  readonly send = (connection: ConnectionId, frame: Uint8Array): void => {
    const link = this.links.get(connection);
    if (link === undefined) return;
    if (!link.send(frame)) return this.dropSlow(link);
    this.options.metrics.count('client_frames_sent_total', 1);
    this.options.metrics.count('client_bytes_sent_total', frame.length);
    if (link.waitingBytes > worthCountingBytes) this.boundTotal();
  };

  readonly waitingBytes = (connection: ConnectionId): number => this.links.get(connection)?.waitingBytes ?? 0;

  readonly close = (connection: ConnectionId, reason: string): void => {
    const link = this.links.get(connection);
    if (link === undefined) return;
    this.options.metrics.countReason('client_refusals_total', 'closed-by-host');
    this.options.journal.write('warn', 'closed a client connection', { connection, reason });
    link.close(reason);
  };

  /** No new connections; those there are stay. */
  refuseNew(): void {
    this.stopped = true;
    this.server.close();
  }

  /** Tells every client and closes. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.liveness);
    for (const link of this.links.values()) this.hangUp(link, 'stopping', 'this node stops; use another one');
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeIdleConnections();
    });
  }

  private onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { access, connectionsMax, metrics, journal } = this.options;
    const { origin, host } = request.headers;
    const refuse = (status: number, reason: string, why: string): void => {
      metrics.countReason('client_refusals_total', reason);
      journal.write('warn', 'turned away a client', { why, origin, host });
      refuseUpgrade(socket, status, why);
    };
    if (!access.hostAllowed(host, request.socket.localAddress))
      return refuse(
        403,
        'host',
        `this node is not called "${host ?? ''}": add the name to allowedHosts if it is yours`,
      );
    if (!access.originAllowed(origin))
      return refuse(
        403,
        'origin',
        `pages of ${origin ?? ''} may not connect: add the origin to allowedOrigins if it is yours`,
      );
    if (this.stopped) return refuse(503, 'stopping', 'this node stops; use another one');
    if (this.links.size >= connectionsMax)
      return refuse(503, 'too-many', `${connectionsMax} connections are open already: clientsMax on this node`);
    this.sockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.lastId += 1;
      const link = new ClientLink({
        id: this.lastId,
        socket: webSocket,
        raw: socket,
        queueBytesMax: this.options.queueBytesMax,
        events: {
          frame: (from, frame) => {
            metrics.count('client_frames_received_total', 1);
            this.options.receive(from.id, frame);
          },
          badFrame: (from, what) => this.onBadFrame(from, what),
          ended: (from) => this.onEnded(from),
        },
      });
      this.links.set(link.id, link);
      metrics.gauge('client_connections', this.links.size);
      setTimeout(() => this.expectGreeting(link), handshakeTimeoutMs).unref();
      this.options.opened(link.id);
    });
  }

  private expectGreeting(link: ClientLink): void {
    if (link.greeted || !this.links.has(link.id)) return;
    this.hangUp(link, 'not-greeted', 'no hello in time');
  }

  private onBadFrame(link: ClientLink, what: string): void {
    if (!this.links.has(link.id)) return;
    this.hangUp(link, /max payload/i.test(what) ? 'too-large' : 'bad-frame', what);
  }

  private onEnded(link: ClientLink): void {
    if (!this.links.delete(link.id)) return;
    this.options.metrics.gauge('client_connections', this.links.size);
    this.options.closed(link.id);
  }

  private hangUp(link: ClientLink, code: ConnectionErrorCode, message: string): void {
    const { metrics, journal, codec } = this.options;
    metrics.countReason('client_refusals_total', code);
    if (code !== 'stopping') journal.write('warn', 'hung up on a client', { connection: link.id, code, message });
    link.send(codec.encodeServerFrame([{ type: 'error', code, message }]));
    link.close(`${code}: ${message}`);
  }

  /** Its replies have nowhere to go: what waits is given back at once, not after a goodbye it would not read. */
  private dropSlow(link: ClientLink): void {
    const { metrics, journal } = this.options;
    metrics.countReason('client_refusals_total', 'slow-reader');
    journal.write('warn', 'closed a client that does not read its replies', {
      connection: link.id,
      waitingBytes: link.waitingBytes,
    });
    link.terminate();
  }

  private boundTotal(): void {
    let total = 0;
    let worst: ClientLink | undefined;
    for (const link of this.links.values()) {
      total += link.waitingBytes;
      if (worst === undefined || link.waitingBytes > worst.waitingBytes) worst = link;
    }
    if (total > this.options.queueBytesTotalMax && worst !== undefined) this.dropSlow(worst);
  }

  private tick(): void {
    for (const link of this.links.values()) {
      if (link.tick()) continue;
      if (link.waitingBytes > worthCountingBytes) this.dropSlow(link);
      else {
        this.options.metrics.countReason('client_refusals_total', 'silent');
        link.terminate();
      }
    }
  }
}
