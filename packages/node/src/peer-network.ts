import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { ownVersions, type RandomState, type ReplicaId, replicaId, replicasMax } from '@kimberlite/base';
import type { Journal, Network } from '@kimberlite/host';
import type { Codec, PeerHello } from '@kimberlite/wire';
import { WebSocket, WebSocketServer } from 'ws';
import type { Acquaintances } from './acquaintances.ts';
import { type Address, formatAddress, parseAddress } from './address.ts';
import { redialDelayMs } from './backoff.ts';
import { listenOn } from './listen.ts';
import type { NodeMetrics } from './metrics.ts';
import type { HandshakeSide } from './peer-handshake.ts';
import { PeerLink, type PeerLinkEnd } from './peer-link.ts';
import { dialOptions, handshakeTimeoutMs, headerBytesMax, serverSocketOptions, strangersMax } from './socket-limits.ts';
import { refuseUpgrade } from './upgrade.ts';

export interface PeerNetworkOptions {
  readonly replica: ReplicaId;
  /** Where each replica is reached, by id. Resolved again at each dial. */
  readonly addresses: readonly Address[];
  /** Null until this node knows what its directory holds: nobody is met before. */
  readonly hello: () => PeerHello | null;
  readonly acquaintances: Pick<Acquaintances, 'problem' | 'heard'>;
  readonly secret: string | null;
  readonly codec: Pick<Codec, 'encodePeerHello' | 'decodePeerHello'>;
  readonly queueBytesMax: number;
  /** Jitter. */
  readonly random: RandomState;
  readonly receive: (from: ReplicaId, frame: Uint8Array) => void;
  readonly journal: Journal;
  readonly metrics: NodeMetrics;
}

interface Peer {
  readonly replica: ReplicaId;
  /** The id as the label of its metrics. */
  readonly name: string;
  /** Null: not known yet. Whoever has the higher id dials, so it may be met all the same. */
  address: Address | null;
  link: PeerLink | null;
  /** From the last handshake that succeeded. */
  hello: PeerHello | null;
  /** What was agreed on then. */
  version: number;
  failures: number;
  redial: NodeJS.Timeout | undefined;
  /** What went wrong last and was said already: an outage is one line, not one a second. */
  said: string;
  /** What keeps the pair apart now, for readiness checks. */
  problem: string;
}

const addressText = ({ address }: Peer): string | null => (address === null ? null : formatAddress(address));

const path = '/peer';

/** Attempts in vain before a line says so: while a cluster starts, the others are a moment late. */
const failuresBeforeWord = 4;

/** A stranger that is refused again and again for the same reason is one line in this time. */
const repeatAfterMs = 60_000;

/** Connections to the other replicas, one a pair, dialled by the higher id. Owns the peer port. */
export class PeerNetwork implements Network {
  private readonly options: PeerNetworkOptions;
  private readonly peers: readonly Peer[];
  private readonly server: Server;
  private readonly sockets = new WebSocketServer(serverSocketOptions);
  private readonly strangers = new Set<PeerLink>();
  private saidToStranger = { text: '', atMs: -repeatAfterMs };
  private closed = false;
  private dialling = false;

  constructor(options: PeerNetworkOptions) {
    this.options = options;
    this.peers = Array.from({ length: replicasMax }, (_, index) => ({
      replica: replicaId(index),
      name: String(index),
      address: options.addresses[index] ?? null,
      link: null,
      hello: null,
      version: ownVersions.newest,
      failures: 0,
      redial: undefined,
      said: '',
      problem: 'not connected yet',
    }));
    const server = createServer({
      maxHeaderSize: headerBytesMax,
      requestTimeout: handshakeTimeoutMs,
      headersTimeout: handshakeTimeoutMs,
    });
    server.on('request', (_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain', connection: 'close' });
      response.end('This port is for the other replicas of the cluster.\n');
    });
    server.on('upgrade', (request, socket, head) => this.onUpgrade(request, socket, head));
    this.server = server;
    for (const { replica } of this.others()) options.metrics.setPeerConnected(replica, false);
  }

  /** Rejects with a `ListenError`. Resolves to where it listens. */
  listen(address: Address): Promise<Address> {
    return listenOn(this.server, address, 'peer');
  }

  /** Connects to every replica with a lower id, and again whenever that is lost. */
  dial(): void {
    this.dialling = true;
    for (const peer of this.others()) if (peer.replica < this.options.replica) this.dialOne(peer);
  }

  /** The log tells where replicas are that were added or have moved. Empty: as configured. */
  readonly meet = (addresses: readonly string[]): void => {
    for (const [replica, text] of addresses.entries()) {
      const peer = this.peers[replica];
      const parsed = parseAddress(text);
      if (peer === undefined || !parsed.ok || replica === this.options.replica) continue;
      const { host, port } = parsed.value;
      if (peer.address?.host === host && peer.address.port === port) continue;
      const first = peer.address === null;
      peer.address = parsed.value;
      if (first && this.dialling && replica < this.options.replica) this.dialOne(peer);
    }
  };

  readonly send = (to: ReplicaId, frame: Uint8Array): void => {
    const { metrics } = this.options;
    const peer = this.peers[to];
    if (peer === undefined) return;
    if (peer.link?.send(frame) !== true) return metrics.countPeer('peer_frames_dropped_total', peer.name, 1);
    metrics.countPeer('peer_frames_sent_total', peer.name, 1);
    metrics.countPeer('peer_bytes_sent_total', peer.name, frame.length);
  };

  /** A message says in which view its sender is. */
  readonly heard = (from: ReplicaId, incarnation: number, view: number): void =>
    this.options.acquaintances.heard(from, { incarnation, view });

  readonly versionTo = (to: ReplicaId): number => this.peers[to]?.version ?? ownVersions.newest;

  /** What the others said about themselves, by replica; null for those never met and for this one. */
  hellos(): readonly (PeerHello | null)[] {
    return this.peers.map((peer) => peer.hello);
  }

  /** Replica by replica, what keeps it apart; null where the connection is up. This replica is left out. */
  problems(): ReadonlyMap<ReplicaId, string | null> {
    return new Map(this.others().map((peer) => [peer.replica, peer.link?.accepted === true ? null : peer.problem]));
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const peer of this.peers) {
      clearTimeout(peer.redial);
      peer.link?.refuse({ code: 'stopping', message: `replica ${this.options.replica} stops` });
    }
    for (const link of this.strangers) link.terminate();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  /** Whoever is known to be somewhere, or has come by itself. */
  private others(): readonly Peer[] {
    const known = ({ address, hello }: Peer): boolean => address !== null || hello !== null;
    return this.peers.filter((peer) => peer.replica !== this.options.replica && known(peer));
  }

  private onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refuse = (status: number, why: string): void => {
      this.options.journal.write('warn', 'turned away a connection on the peer port', { why });
      this.options.metrics.countReason('peer_refusals_total', 'stranger');
      refuseUpgrade(socket, status, why);
    };
    if (request.headers.origin !== undefined) return refuse(403, 'web pages have no business on the peer port');
    if (request.url !== path) return refuse(404, 'this port is for the other replicas of the cluster');
    const own = this.options.hello();
    if (own === null) return refuse(503, 'this node is reading its directory');
    if (this.closed || this.strangers.size >= strangersMax) return refuse(503, 'too many connections at once');
    this.sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const link = this.makeLink(webSocket, 'acceptor', null, own);
      link.opened(socket);
    });
  }

  private dialOne(peer: Peer): void {
    const own = this.options.hello();
    if (this.closed || peer.address === null || own === null) return;
    this.options.metrics.countPeer('peer_dials_total', peer.name, 1);
    const webSocket = new WebSocket(`ws://${formatAddress(peer.address)}${path}`, dialOptions);
    const link = this.makeLink(webSocket, 'dialer', peer, own);
    webSocket.on('upgrade', (response) => {
      webSocket.once('open', () => link.opened(response.socket));
    });
  }

  private makeLink(webSocket: WebSocket, side: HandshakeSide, dialled: Peer | null, own: PeerHello): PeerLink {
    const { acquaintances, secret, codec, queueBytesMax } = this.options;
    const remembered = (their: PeerHello): string | null => acquaintances.problem(their.replica, their);
    const known: { peer: Peer | null } = { peer: null };
    const link: PeerLink = new PeerLink(webSocket, {
      handshake: { side, own, remembered, expected: dialled?.replica ?? null, secret, codec },
      queueBytesMax,
      events: {
        accepted: (their, version) => {
          this.strangers.delete(link);
          known.peer = this.peers[their.replica] ?? null;
          if (known.peer !== null) this.onAccepted(known.peer, link, their, version);
        },
        frame: (frame) => {
          const from = known.peer;
          // What a replaced connection still delivers is dropped: frames of one sender come from one connection.
          if (from === null || from.link !== link) return;
          this.options.metrics.countPeer('peer_frames_received_total', from.name, 1);
          this.options.receive(from.replica, frame);
        },
        ended: (why) => {
          this.strangers.delete(link);
          this.onEnded(known.peer ?? dialled, link, why);
        },
      },
    });
    this.strangers.add(link);
    return link;
  }

  private onAccepted(peer: Peer, link: PeerLink, hello: PeerHello, version: number): void {
    const old = peer.link;
    this.options.acquaintances.heard(hello.replica, hello);
    peer.link = link;
    peer.hello = hello;
    peer.version = version;
    peer.failures = 0;
    peer.said = '';
    peer.problem = '';
    this.options.metrics.setPeerConnected(peer.replica, true);
    const { endpoint } = hello;
    this.options.journal.write('info', 'connected to a replica', { peer: peer.replica, endpoint, version });
    // Only the other end can know that the old one is dead: the newest connection is the true one.
    old?.refuse({ code: 'replaced', message: 'a newer connection of this pair took over' });
  }

  private onEnded(peer: Peer | null, link: PeerLink, why: PeerLinkEnd): void {
    const { refusal, byThem, reason } = why;
    if (refusal !== null && refusal.code !== 'replaced' && refusal.code !== 'stopping') this.sayRefusal(peer, why);
    if (peer === null) return;
    if (peer.link === link) {
      peer.link = null;
      this.options.metrics.setPeerConnected(peer.replica, false);
      if (!this.closed)
        this.options.journal.write('info', 'lost the connection to a replica', { peer: peer.replica, reason });
      if (refusal?.code === 'replaced') this.onReplaced(peer);
    } else if (peer.link !== null) return;
    const who = byThem ? 'it refuses us: ' : '';
    peer.problem = refusal === null ? reason : `${who}${refusal.code}: ${refusal.message}`;
    if (refusal === null && peer.link === null && peer.failures >= failuresBeforeWord) this.sayOnce(peer, reason);
    if (!this.closed && peer.replica < this.options.replica) this.redial(peer, reason === 'ECONNREFUSED');
  }

  /** We held a good connection and somebody else introduced itself as this very replica. */
  private onReplaced(peer: Peer): void {
    // Not at once, or the two would throw each other out without end.
    peer.failures = failuresBeforeWord * 2;
    const text = `another process runs as replica ${this.options.replica}: stop one of the two`;
    this.options.metrics.countReason('peer_refusals_total', 'replaced');
    if (peer.said === text) return;
    this.options.journal.write('error', text, { peer: peer.replica });
    peer.said = text;
  }

  private redial(peer: Peer, connectionRefused: boolean): void {
    const delayMs = redialDelayMs({ failures: peer.failures, connectionRefused, random: this.options.random });
    peer.failures += 1;
    clearTimeout(peer.redial);
    peer.redial = setTimeout(() => this.dialOne(peer), delayMs);
  }

  private sayRefusal(peer: Peer | null, { refusal, byThem }: PeerLinkEnd): void {
    if (refusal === null) return;
    const { code, message } = refusal;
    this.options.metrics.countReason('peer_refusals_total', code);
    const fields = { peer: peer?.replica ?? null, code, byThem };
    const text = byThem ? `a replica refuses this one: ${message}` : `refused a replica: ${message}`;
    if (peer === null) {
      const now = performance.now();
      if (this.saidToStranger.text === text && now - this.saidToStranger.atMs < repeatAfterMs) return;
      this.saidToStranger = { text, atMs: now };
      return this.options.journal.write('error', text, fields);
    }
    if (peer.said === text) return;
    peer.said = text;
    this.options.journal.write('error', text, { ...fields, address: addressText(peer) });
  }

  private sayOnce(peer: Peer, reason: string): void {
    if (peer.said === reason) return;
    peer.said = reason;
    const fields = { peer: peer.replica, address: addressText(peer), reason };
    this.options.journal.write('warn', 'cannot reach a replica; trying on', fields);
  }
}
