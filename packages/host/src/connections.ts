import type { ClientId } from '@kimberlite/base';
import type { ServerMessage } from '@kimberlite/wire';
import type { ConnectionId } from './ports.ts';

interface Connection {
  /** Null until its hello was accepted. */
  client: ClientId | null;
  /** What was agreed on with it. */
  version: number;
  /** Messages of this turn, sent as one frame at its end. */
  outbox: ServerMessage[];
  /** Bytes of the answers in the outbox. */
  answerBytes: number;
}

/** Bytes of answers a connection may have waiting; further queries are refused as overloaded and asked again later. */
export const answerBytesWaitingMax = 16_777_216;

/**
 * Who is connected, and what they are to be told at the end of the turn. Owns the two maps that must agree:
 * connection to client, and client to its latest connection (an older one is no longer answered).
 */
export class Connections {
  private readonly byConnection = new Map<ConnectionId, Connection>();
  private readonly byClient = new Map<ClientId, ConnectionId>();
  private readonly waiting = new Set<ConnectionId>();

  open(id: ConnectionId): void {
    this.byConnection.set(id, { client: null, version: 0, outbox: [], answerBytes: 0 });
  }

  close(id: ConnectionId): void {
    const client = this.byConnection.get(id)?.client;
    if (client !== null && client !== undefined && this.byClient.get(client) === id) this.byClient.delete(client);
    this.byConnection.delete(id);
    this.waiting.delete(id);
  }

  greet(id: ConnectionId, client: ClientId, version: number): void {
    const connection = this.byConnection.get(id);
    if (connection === undefined) return;
    connection.client = client;
    connection.version = version;
    this.byClient.set(client, id);
  }

  isOpen(id: ConnectionId): boolean {
    return this.byConnection.has(id);
  }

  clientOf(id: ConnectionId): ClientId | null {
    return this.byConnection.get(id)?.client ?? null;
  }

  /** Queues a message for one connection. Nothing happens if it has closed. */
  tell(id: ConnectionId, message: ServerMessage): void {
    const connection = this.byConnection.get(id);
    if (connection === undefined) return;
    connection.outbox.push(message);
    this.waiting.add(id);
  }

  /** Where a client is connected now. */
  connectionOf(client: ClientId): ConnectionId | undefined {
    return this.byClient.get(client);
  }

  /** Counts an answer against the bound; false when the client already has too much to read. */
  admitAnswer(id: ConnectionId, sizeBytes: number, waitingBytes: number): boolean {
    const connection = this.byConnection.get(id);
    if (connection === undefined) return false;
    const before = connection.answerBytes + waitingBytes;
    if (before > 0 && before + sizeBytes > answerBytesWaitingMax) return false;
    connection.answerBytes += sizeBytes;
    return true;
  }

  tellEveryone(message: ServerMessage): void {
    for (const id of this.byClient.values()) this.tell(id, message);
  }

  /** Empties the outboxes, one call of `send` a connection. */
  flush(send: (id: ConnectionId, messages: readonly ServerMessage[], version: number) => void): void {
    for (const id of this.waiting) {
      const connection = this.byConnection.get(id);
      if (connection === undefined || connection.outbox.length === 0) continue;
      const { outbox: messages, version } = connection;
      connection.outbox = [];
      connection.answerBytes = 0;
      send(id, messages, version);
    }
    this.waiting.clear();
  }
}
