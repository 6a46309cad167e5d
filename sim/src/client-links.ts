import type { RandomState } from '@kimberlite/base';
import { calmLink, type LinkFaults, randomLatencyUs } from './network.ts';
import type { RunObserver } from './report/observer.ts';
import type { Scheduler } from './scheduler.ts';
import { digestBytes, type Trace } from './trace.ts';

/** The client's end of a connection. */
export interface ClientEnd {
  readonly opened: () => void;
  readonly received: (frame: Uint8Array) => void;
  /** Also when the connection could not be opened. */
  readonly closed: () => void;
}

/** The node's end of all of them. */
export interface NodeEnd {
  /** False refuses: nobody listens there. */
  readonly opened: (node: number, connection: number) => boolean;
  readonly received: (node: number, connection: number, frame: Uint8Array) => void;
  readonly closed: (node: number, connection: number) => void;
}

interface Connection {
  readonly id: number;
  readonly node: number;
  readonly client: number;
  readonly end: ClientEnd;
  state: 'dialling' | 'open' | 'closed';
  toNodeAtUs: number;
  toClientAtUs: number;
  /** What the client has not read yet, in order. */
  readonly unread: { readonly run: () => void; readonly sizeBytes: number }[];
}

/** Until a side that hears nothing takes the connection for dead, when the network swallowed the goodbye. */
const silenceUs = 5_000_000;

/**
 * Connections between clients and nodes: they keep order and lose nothing while they live, and what is under
 * way is lost when they die. The other side learns of it after a while, or, across a cut, after a long one.
 */
export class ClientLinks {
  private readonly scheduler: Scheduler;
  private readonly trace: Trace;
  private readonly random: RandomState;
  private readonly nodeEnd: NodeEnd;
  private readonly observer: RunObserver | undefined;
  private readonly connections = new Map<number, Connection>();
  private readonly cuts = new Set<string>();
  /** Clients that read nothing just now. */
  private readonly deaf = new Set<number>();
  private faults: LinkFaults = calmLink;
  private nextId = 1;

  constructor(options: {
    readonly scheduler: Scheduler;
    readonly trace: Trace;
    readonly nodeEnd: NodeEnd;
    readonly observer: RunObserver | undefined;
  }) {
    this.scheduler = options.scheduler;
    this.trace = options.trace;
    this.nodeEnd = options.nodeEnd;
    this.observer = options.observer;
    this.random = options.scheduler.random('client links');
  }

  get linkFaults(): LinkFaults {
    return this.faults;
  }

  setFaults(faults: LinkFaults): void {
    this.faults = faults;
  }

  /** Starts a connection; the id is the same on both ends. */
  dial(client: number, node: number, end: ClientEnd): number {
    const connection: Connection = {
      id: this.nextId++,
      node,
      client,
      end,
      state: 'dialling',
      toNodeAtUs: 0,
      toClientAtUs: 0,
      unread: [],
    };
    this.connections.set(connection.id, connection);
    this.note('dial', connection, 0);
    this.tell(connection, 'dialled');
    this.scheduler.after(this.latencyUs(), () => {
      if (connection.state !== 'dialling') return;
      if (this.isCut(connection)) {
        this.scheduler.after(silenceUs, () => this.endAtClient(connection));
        return;
      }
      if (!this.nodeEnd.opened(node, connection.id)) {
        this.tell(connection, 'refused');
        this.scheduler.after(this.latencyUs(), () => this.endAtClient(connection));
        return;
      }
      connection.state = 'open';
      this.tell(connection, 'opened');
      this.toClient(connection, () => end.opened());
    });
    return connection.id;
  }

  sendToNode(id: number, frame: Uint8Array): void {
    const connection = this.connections.get(id);
    if (connection === undefined || connection.state !== 'open') return;
    this.note('client-send', connection, digestBytes(frame));
    this.observer?.requestSent(connection.client, connection.node, frame);
    const at = Math.max(connection.toNodeAtUs, this.scheduler.nowUs + this.latencyUs());
    connection.toNodeAtUs = at;
    this.scheduler.after(at - this.scheduler.nowUs, () => {
      if (connection.state !== 'open') return;
      if (this.isCut(connection)) return this.breakAcross(connection);
      this.observer?.requestReceived(connection.client, connection.node, frame);
      this.nodeEnd.received(connection.node, id, frame);
    });
  }

  sendToClient(id: number, frame: Uint8Array): void {
    const connection = this.connections.get(id);
    if (connection === undefined || connection.state !== 'open') return;
    this.note('client-reply', connection, digestBytes(frame));
    this.observer?.replySent(connection.node, connection.client, frame);
    const arrive = (): void => {
      this.observer?.replyReceived(connection.node, connection.client, frame);
      connection.end.received(frame);
    };
    this.toClient(connection, arrive, frame.length);
  }

  closeFromClient(id: number): void {
    const connection = this.connections.get(id);
    if (connection === undefined || connection.state === 'closed') return;
    const wasOpen = connection.state === 'open';
    this.forget(connection);
    if (wasOpen) this.scheduler.after(this.latencyUs(), () => this.nodeEnd.closed(connection.node, id));
  }

  /** The node hangs up, after what it sent before. */
  closeFromNode(id: number): void {
    const connection = this.connections.get(id);
    if (connection === undefined || connection.state === 'closed') return;
    this.toClient(connection, () => this.endAtClient(connection));
  }

  /** The node's process is gone; `silent` when its machine is, so that nobody says goodbye. */
  nodeDown(node: number, silent: boolean): void {
    for (const connection of this.connections.values()) {
      if (connection.node !== node || connection.state !== 'open') continue;
      connection.state = 'closed';
      this.scheduler.after(silent ? silenceUs : this.latencyUs(), () => this.endAtClient(connection));
    }
  }

  cut(client: number, node: number, cut: boolean): void {
    const name = `${client}/${node}`;
    if (cut) this.cuts.add(name);
    else this.cuts.delete(name);
  }

  heal(): void {
    this.cuts.clear();
    for (const client of [...this.deaf]) this.deafen(client, false);
  }

  /** A client stops reading, or goes on and reads everything that has arrived. */
  deafen(client: number, deaf: boolean): void {
    if (deaf) this.deaf.add(client);
    else this.deaf.delete(client);
    if (deaf) return;
    for (const connection of this.connections.values()) {
      if (connection.client !== client) continue;
      for (const { run } of connection.unread.splice(0)) if (connection.state === 'open') run();
    }
  }

  /** Bytes that arrived and were not read. */
  waitingBytes(id: number): number {
    return this.connections.get(id)?.unread.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) ?? 0;
  }

  private isCut(connection: Connection): boolean {
    return this.cuts.has(`${connection.client}/${connection.node}`);
  }

  private toClient(connection: Connection, run: () => void, sizeBytes = 0): void {
    const at = Math.max(connection.toClientAtUs, this.scheduler.nowUs + this.latencyUs());
    connection.toClientAtUs = at;
    this.scheduler.after(at - this.scheduler.nowUs, () => {
      if (connection.state !== 'open') return;
      if (this.isCut(connection)) this.breakAcross(connection);
      else if (this.deaf.has(connection.client)) connection.unread.push({ run, sizeBytes });
      else run();
    });
  }

  /** A frame ran into a cut: the connection is dead, and both ends find out by silence. */
  private breakAcross(connection: Connection): void {
    connection.state = 'closed';
    this.scheduler.after(silenceUs, () => {
      this.nodeEnd.closed(connection.node, connection.id);
      this.endAtClient(connection);
    });
  }

  private endAtClient(connection: Connection): void {
    if (!this.connections.has(connection.id)) return;
    this.forget(connection);
    connection.end.closed();
  }

  private forget(connection: Connection): void {
    this.tell(connection, 'closed');
    connection.state = 'closed';
    this.connections.delete(connection.id);
  }

  private latencyUs(): number {
    return randomLatencyUs(this.random, this.faults);
  }

  private tell({ client, node, id }: Connection, what: 'dialled' | 'opened' | 'refused' | 'closed'): void {
    this.observer?.connection(client, node, id, what);
  }

  private note(kind: string, connection: Connection, digest: number): void {
    const { client, node, id } = connection;
    this.trace.event(this.scheduler.nowUs, kind, digest ^ id, () => `client ${client} node ${node} connection ${id}`);
  }
}
