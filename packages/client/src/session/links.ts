import type { ClientId, ClusterId, ReplicaId, View } from '@kimberlite/base';
import type { ServerMessage } from '@kimberlite/wire';
import type { EndpointBook } from './endpoint-book.ts';
import type { ClientTiming } from './limits.ts';
import type { ConnectionNumber, SessionOptions, SessionOutput } from './session-types.ts';

type Welcome = Extract<ServerMessage, { type: 'welcome' }>;

/** A connection, from the dial to its end. */
export interface Link {
  readonly number: ConnectionNumber;
  readonly endpoint: string;
  phase: 'dialling' | 'greeting' | 'ready';
  /** When the phase began. */
  sinceMs: number;
  /** When it said something last. */
  heardMs: number;
  /** Who is at the other end; null before the welcome. */
  replica: ReplicaId | null;
  /** What was agreed on with it, by its welcome. */
  version: number;
}

/**
 * Which connections there are and which of them requests go to. At most two: the active one, and a scout that
 * looks for the primary while the active one is missing, is not the primary, or has gone quiet. The active one is
 * given up only for a better one, so news of a view change reaches the client by whichever link hears it first.
 */
export class Links {
  active: Link | null = null;
  scout: Link | null = null;
  /** The latest view anybody spoke of. Only durable views are spoken of. */
  known: { readonly view: View; readonly primary: ReplicaId } | null = null;
  cluster: ClusterId | null = null;
  private readonly book: EndpointBook;
  private readonly timing: ClientTiming;
  private readonly client: ClientId;
  private readonly codec: SessionOptions['codec'];
  private readonly emit: (output: SessionOutput) => void;
  private nextNumber = 1;

  constructor(
    options: SessionOptions,
    book: EndpointBook,
    timing: ClientTiming,
    emit: (output: SessionOutput) => void,
  ) {
    this.client = options.client;
    this.codec = options.codec;
    this.book = book;
    this.timing = timing;
    this.emit = emit;
  }

  find(number: ConnectionNumber): Link | null {
    if (this.active?.number === number) return this.active;
    return this.scout?.number === number ? this.scout : null;
  }

  isPrimary(link: Link | null): boolean {
    return link !== null && link.phase === 'ready' && this.known !== null && link.replica === this.known.primary;
  }

  /** The active link if requests may go there. */
  toPrimary(): Link | null {
    return this.isPrimary(this.active) ? this.active : null;
  }

  connected(link: Link, nowMs: number): void {
    link.phase = 'greeting';
    link.heardMs = nowMs;
    const { client, cluster } = this;
    const { newest: protocolVersion, oldest: protocolVersionOldest } = this.codec.versions;
    const hello = { type: 'hello', protocolVersion, protocolVersionOldest, client, cluster } as const;
    const frame = this.codec.encodeClientFrame([hello]);
    this.emit({ type: 'send', connection: link.number, frame });
  }

  welcomed(link: Link, welcome: Welcome, nowMs: number): void {
    this.cluster ??= welcome.cluster;
    link.phase = 'ready';
    link.sinceMs = nowMs;
    link.replica = welcome.replica;
    link.version = welcome.protocolVersion;
    this.book.greeted(link.endpoint, welcome.replica, welcome.members);
    this.learn(welcome.view, welcome.primary);
  }

  /** True when that was news. */
  learn(view: View, primary: ReplicaId): boolean {
    // The primary of view 0 is replica 0; a node that has not booted yet says view 0 and names itself.
    if (view === 0 && primary !== 0) return false;
    if (this.known !== null && view <= this.known.view) return false;
    this.known = { view, primary };
    return true;
  }

  /** Forgets a link that ended. True when it was the active one. */
  ended(link: Link, reason: string, nowMs: number): boolean {
    this.book.failed(link.endpoint, reason, nowMs);
    if (this.scout === link) {
      this.scout = null;
      return false;
    }
    this.active = null;
    return true;
  }

  /** Ends a link from this side, because of what it did or did not do. True when it was the active one. */
  drop(link: Link, reason: string, nowMs: number): boolean {
    this.emit({ type: 'disconnect', connection: link.number });
    return this.ended(link, reason, nowMs);
  }

  /**
   * Dials, gives up and promotes as needed. `doubt`: the active link does not do what is asked of it.
   * True when another link became the active one.
   */
  maintain(nowMs: number, doubt: boolean): boolean {
    this.dropLateScout(nowMs);
    const promoted = this.promote(nowMs, doubt);
    // A link that was just promoted has not had the time to disappoint.
    const doubted = doubt && !promoted;
    if (this.isPrimary(this.active) && !doubted) this.releaseScout();
    else if (this.scout === null) this.dial(nowMs, doubted);
    return promoted;
  }

  closeAll(): void {
    for (const link of [this.active, this.scout]) {
      if (link !== null) this.emit({ type: 'disconnect', connection: link.number });
    }
    this.active = null;
    this.scout = null;
  }

  private dropLateScout(nowMs: number): void {
    const { scout, known } = this;
    if (scout === null || scout.phase === 'ready') return;
    const waitedMs = nowMs - scout.sinceMs;
    // The primary itself is worth more patience than somebody who might know where it is.
    const primary = known === null ? null : this.book.of(known.primary, nowMs);
    const inTheWay = primary !== null && primary !== scout.endpoint && primary !== this.active?.endpoint;
    const patienceMs = inTheWay ? this.timing.dwellMs : this.timing.greetingTimeoutMs;
    if (waitedMs > patienceMs) this.drop(scout, `no welcome within ${patienceMs} ms`, nowMs);
  }

  private promote(nowMs: number, doubt: boolean): boolean {
    const { scout, active } = this;
    if (scout === null || scout.phase !== 'ready') return false;
    const better = active === null || (this.isPrimary(scout) && (!this.isPrimary(active) || doubt));
    if (better) {
      if (active !== null) this.emit({ type: 'disconnect', connection: active.number });
      this.active = scout;
      this.scout = null;
      return true;
    }
    // It is no better; after a while somebody else may know more.
    if (nowMs - scout.sinceMs > this.timing.dwellMs) this.releaseScout();
    return false;
  }

  private releaseScout(): void {
    if (this.scout === null) return;
    this.emit({ type: 'disconnect', connection: this.scout.number });
    this.scout = null;
  }

  private dial(nowMs: number, doubt: boolean): void {
    const except = this.active?.endpoint ?? null;
    const primary = this.known === null ? null : this.book.of(this.known.primary, nowMs);
    // A primary quiet for long is dialled afresh too: it may be the connection that is dead. In turn with others, if
    // there are any who may be dialled now.
    const quiet = doubt && this.active !== null && nowMs - this.active.heardMs > this.timing.deadLinkMs;
    const useful = primary !== null && (primary !== except || (quiet && this.nextNumber % 2 === 0));
    const endpoint = useful ? primary : (this.book.next(except, nowMs) ?? (quiet ? primary : null));
    if (endpoint === null) return;
    const number = this.nextNumber++;
    this.scout = { number, endpoint, phase: 'dialling', sinceMs: nowMs, heardMs: nowMs, replica: null, version: 0 };
    this.emit({ type: 'connect', connection: number, endpoint });
  }
}
