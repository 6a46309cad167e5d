import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { closeCodeOf, closeReason, type PeerRefusal, refusalOfCloseCode } from './close-codes.ts';
import { cork } from './corked.ts';
import type { HandshakeOptions } from './peer-handshake.ts';
import { PeerHandshake } from './peer-handshake.ts';
import { closeGraceMs, handshakeTimeoutMs, livenessTickMs, peerSilentTicksMax } from './socket-limits.ts';
import type { PeerHello } from '@kimberlite/wire';

export interface PeerLinkEvents {
  /** Both sides have accepted: frames may be sent. Not called after `ended`. */
  readonly accepted: (hello: PeerHello, version: number) => void;
  readonly frame: (frame: Uint8Array) => void;
  /** Exactly once. `refusal` when one side refused the other; `byThem` when it was the other one. */
  readonly ended: (why: PeerLinkEnd) => void;
}

export interface PeerLinkEnd {
  readonly refusal: PeerRefusal | null;
  readonly byThem: boolean;
  /** What the socket said otherwise: a system error's code, or how it closed. */
  readonly reason: string;
}

/** ws hands out Buffers, whose `slice` does not copy; the pure rooms get plain arrays. */
export const plainBytes = (data: Buffer): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.length);

/**
 * One connection between two replicas: handshake, bounded sending, and noticing that the other end has gone without a
 * word (a pulled cable closes no socket). Owns the WebSocket.
 */
export class PeerLink {
  private readonly socket: WebSocket;
  private raw: Duplex | null = null;
  private readonly events: PeerLinkEvents;
  private readonly queueBytesMax: number;
  private handshake: PeerHandshake | null;
  private readonly deadline: NodeJS.Timeout;
  private liveness: NodeJS.Timeout | undefined;
  private silentTicks = 0;
  private refusal: PeerRefusal | null = null;
  private lastError = '';
  private over = false;

  constructor(
    socket: WebSocket,
    options: { readonly handshake: HandshakeOptions; readonly queueBytesMax: number; readonly events: PeerLinkEvents },
  ) {
    this.socket = socket;
    this.events = options.events;
    this.queueBytesMax = options.queueBytesMax;
    this.handshake = new PeerHandshake(options.handshake);
    this.deadline = setTimeout(
      () => this.refuse({ code: 'handshake-timeout', message: 'no introduction in time' }),
      handshakeTimeoutMs,
    );
    socket.on('message', (data: Buffer, isBinary: boolean) => this.onMessage(data, isBinary));
    socket.on('pong', () => this.heard());
    socket.on('ping', () => this.heard());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.lastError = error.code ?? error.message;
    });
    socket.on('close', (code, reason) => this.end(code, reason.toString()));
  }

  /** To be called once the WebSocket is open, with the stream under it. */
  opened(raw: Duplex): void {
    this.raw = raw;
    if (this.handshake !== null) this.write(this.handshake.challenge());
  }

  get accepted(): boolean {
    return this.handshake === null && !this.over && this.socket.readyState === WebSocket.OPEN;
  }

  /** False: dropped, because the link is not up or too much is waiting for it already. */
  send(frame: Uint8Array): boolean {
    if (!this.accepted) return false;
    const waiting = this.socket.bufferedAmount;
    if (waiting > 0 && waiting + frame.length > this.queueBytesMax) return false;
    this.write(frame);
    return true;
  }

  /** Says why, and ends. The refusal travels in the close frame, so that both logs show it. */
  refuse(refusal: PeerRefusal): void {
    if (this.over || this.refusal !== null) return;
    this.refusal = refusal;
    this.socket.close(closeCodeOf(refusal.code), closeReason(refusal.message));
    setTimeout(() => this.socket.terminate(), closeGraceMs).unref();
  }

  terminate(): void {
    this.socket.terminate();
  }

  private write(frame: Uint8Array): void {
    if (this.raw !== null) cork(this.raw);
    this.socket.send(frame);
  }

  private onMessage(data: Buffer, isBinary: boolean): void {
    if (this.over || this.refusal !== null) return;
    this.heard();
    if (!isBinary) return this.refuse({ code: 'bad-frame', message: 'a text frame; replicas speak binary' });
    const frame = plainBytes(data);
    if (this.handshake === null) return this.events.frame(frame);
    const step = this.handshake.receive(frame);
    switch (step.type) {
      case 'introduce':
        return this.write(step.frame);
      case 'refused':
        return this.refuse(step.refusal);
      case 'accepted':
        this.handshake = null;
        clearTimeout(this.deadline);
        this.liveness = setInterval(() => this.tick(), livenessTickMs);
        return this.events.accepted(step.hello, step.version);
    }
  }

  private heard(): void {
    this.silentTicks = 0;
  }

  private tick(): void {
    if (this.silentTicks >= peerSilentTicksMax) {
      this.lastError = `silent for ${this.silentTicks} ticks`;
      return this.socket.terminate();
    }
    this.silentTicks += 1;
    this.socket.ping();
  }

  private end(code: number, reason: string): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.deadline);
    clearInterval(this.liveness);
    const theirs = this.refusal === null ? refusalOfCloseCode(code) : undefined;
    const refusal = this.refusal ?? (theirs === undefined ? null : { code: theirs, message: reason });
    const how = this.lastError !== '' ? this.lastError : `closed with ${code}${reason === '' ? '' : ` (${reason})`}`;
    this.events.ended({ refusal, byThem: theirs !== undefined, reason: how });
  }
}
