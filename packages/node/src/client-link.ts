import type { Duplex } from 'node:stream';
import type { ConnectionId } from '@kimberlite/host';
import { WebSocket } from 'ws';
import { closeReason } from './close-codes.ts';
import { cork } from './corked.ts';
import { plainBytes } from './peer-link.ts';
import { clientSilentTicksMax, closeGraceMs } from './socket-limits.ts';

export interface ClientLinkEvents {
  readonly frame: (link: ClientLink, frame: Uint8Array) => void;
  readonly ended: (link: ClientLink) => void;
  readonly badFrame: (link: ClientLink, what: string) => void;
}

const policyViolation = 1008;

/**
 * One client's connection. Output that the client does not read piles up here: past a quarter of the bound nothing
 * more is read from it, so that it asks for nothing more; past the bound the owner closes it.
 */
export class ClientLink {
  readonly id: ConnectionId;
  /** True once its first frame has come. */
  greeted = false;
  private readonly socket: WebSocket;
  private readonly raw: Duplex;
  private readonly queueBytesMax: number;
  private sentBytes = 0;
  private drainedBytes = 0;
  private silentTicks = 0;
  private leaving = false;

  constructor(options: {
    readonly id: ConnectionId;
    readonly socket: WebSocket;
    readonly raw: Duplex;
    readonly queueBytesMax: number;
    readonly events: ClientLinkEvents;
  }) {
    const { socket, events } = options;
    this.id = options.id;
    this.socket = socket;
    this.raw = options.raw;
    this.queueBytesMax = options.queueBytesMax;
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (this.leaving) return;
      this.silentTicks = 0;
      this.greeted = true;
      if (isBinary) events.frame(this, plainBytes(data));
      else events.badFrame(this, 'a text frame; this protocol is binary');
    });
    socket.on('pong', () => {
      this.silentTicks = 0;
    });
    // Oversized or malformed frames end here; `close` follows.
    socket.on('error', (error) => events.badFrame(this, error.message));
    socket.on('close', () => events.ended(this));
    this.raw.on('drain', () => this.readAgain());
  }

  get waitingBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** False: what waits has passed the bound already, and nothing was added. */
  send(frame: Uint8Array): boolean {
    if (this.leaving || this.socket.readyState !== WebSocket.OPEN) return true;
    const waiting = this.socket.bufferedAmount;
    if (waiting > this.queueBytesMax) return false;
    cork(this.raw);
    this.sentBytes += frame.length;
    this.socket.send(frame);
    if (waiting + frame.length > this.queueBytesMax / 4) this.socket.pause();
    return true;
  }

  /** The reason travels in the close frame; a client that does not read it is cut a moment later. */
  close(reason: string): void {
    if (this.leaving) return;
    this.leaving = true;
    // The close frame of the other side must be seen.
    this.socket.resume();
    this.socket.close(policyViolation, closeReason(reason));
    setTimeout(() => this.socket.terminate(), closeGraceMs).unref();
  }

  terminate(): void {
    this.leaving = true;
    this.socket.terminate();
  }

  /** Called at even intervals. False: no sign of life for too many of them. */
  tick(): boolean {
    const drained = this.sentBytes - this.socket.bufferedAmount;
    if (drained > this.drainedBytes) {
      this.drainedBytes = drained;
      this.silentTicks = 0;
    }
    this.readAgain();
    this.silentTicks += 1;
    if (this.silentTicks > clientSilentTicksMax) return false;
    this.socket.ping();
    return true;
  }

  private readAgain(): void {
    if (!this.leaving && this.socket.isPaused && this.socket.bufferedAmount <= this.queueBytesMax / 4)
      this.socket.resume();
  }
}
