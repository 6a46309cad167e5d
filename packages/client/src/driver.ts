import { assert, type ClientId, clientId, seedRandom, toHex } from '@kimberlite/base';
import { createCodec } from '@kimberlite/wire';
import { type CallFailure, failure, KimberliteError } from './session/failure.ts';
import type { ClientTiming } from './session/limits.ts';
import { createClientSession } from './session/session.ts';
import type {
  CallResult,
  ClientSession,
  ConnectionNumber,
  Level,
  SessionInput,
  SessionOutput,
  SessionView,
} from './session/session-types.ts';
import type { Platform, Socket } from './socket.ts';

/** Options of every call. */
export interface CallOptions {
  /** Gives up on the call. A command that was sent by then has the outcome `unknown`. */
  readonly signal?: AbortSignal;
  /** Milliseconds; default 30,000. */
  readonly timeoutMs?: number;
}

type Settled = Exclude<CallResult, { type: 'failure' }>;

interface Waiter {
  readonly settle: (result: CallResult) => void;
}

export const isDuration = (value: unknown): value is number => typeof value === 'number' && value >= 0;
export const durationRule = 'must be a number of milliseconds from 0, or Infinity';

/** Longer ones fire at once. */
const timerMsMax = 2 ** 31 - 1;

/** An option that makes no sense: said before anything is sent. */
export const invalidOption = (message: string): CallFailure => ({
  code: 'InvalidCommand',
  message,
  retryable: false,
  outcome: 'not-applied',
});

interface Watched {
  readonly calls: Set<number>;
  readonly listener: () => void;
}

/** One listener a signal, however many calls share it: a signal with many listeners looks like a leak, and is slow. */
class AbortWatch {
  private readonly watched = new Map<AbortSignal, Watched>();
  private readonly abort: (call: number) => void;

  constructor(abort: (call: number) => void) {
    this.abort = abort;
  }

  watch(signal: AbortSignal, call: number): void {
    const known = this.watched.get(signal);
    if (known !== undefined) {
      known.calls.add(call);
      return;
    }
    const calls = new Set([call]);
    const listener = (): void => {
      // A copy: settling a call takes it out of the set.
      for (const aborted of [...calls]) this.abort(aborted);
    };
    signal.addEventListener('abort', listener, { once: true });
    this.watched.set(signal, { calls, listener });
  }

  forget(signal: AbortSignal, call: number): void {
    const known = this.watched.get(signal);
    if (known === undefined || !known.calls.delete(call) || known.calls.size > 0) return;
    signal.removeEventListener('abort', known.listener);
    this.watched.delete(signal);
  }
}

export const randomClientId = (): ClientId => clientId(toHex(crypto.getRandomValues(new Uint8Array(16))));

/** The shell around a session: sockets, timers and promises, and no decisions. */
export class Driver {
  private readonly platform: Platform;
  private readonly session: ClientSession;
  private readonly sockets = new Map<ConnectionNumber, Socket>();
  private readonly closing = new Set<Promise<void>>();
  private readonly waiters = new Map<number, Waiter>();
  private readonly aborts = new AbortWatch((call) => this.input({ type: 'abort', call }));
  private nextCall = 1;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private flushPending = false;
  private closed: Promise<void> | null = null;
  private onWelcome: (() => void) | null = null;

  constructor(platform: Platform, endpoints: readonly string[], timing: Partial<ClientTiming>) {
    this.platform = platform;
    const { hasher, crc32 } = platform;
    const [seed] = crypto.getRandomValues(new Uint32Array(1));
    assert(seed !== undefined, 'one number was asked for');
    this.session = createClientSession({
      endpoints,
      client: randomClientId(),
      codec: createCodec({ hasher, crc32 }),
      hasher,
      random: seedRandom(seed),
      timing,
    });
  }

  look(): SessionView {
    return this.session.look();
  }

  /** Resolves with true at the first welcome from any endpoint, or false after the time. */
  open(timeoutMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (welcomed: boolean): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        this.onWelcome = null;
        resolve(welcomed);
      };
      const aborted = (): void => end(false);
      const timer = setTimeout(end, Math.min(timeoutMs, timerMsMax), false);
      signal?.addEventListener('abort', aborted);
      this.onWelcome = () => end(true);
      this.input({ type: 'tick' });
    });
  }

  command(packed: Uint8Array, options: CallOptions): Promise<CallResult> {
    return this.call(options, (call) => ({ type: 'command', call, packed, ...timeoutOf(options) }));
  }

  query(packed: Uint8Array, level: Level, options: CallOptions): Promise<CallResult> {
    return this.call(options, (call) => ({ type: 'query', call, packed, level, ...timeoutOf(options) }));
  }

  /** Settles what is pending, closes the sockets, and leaves nothing that keeps the process alive. */
  close(): Promise<void> {
    this.closed ??= this.end();
    return this.closed;
  }

  private async end(): Promise<void> {
    this.input({ type: 'close' });
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    await Promise.all(this.closing);
  }

  private call(options: CallOptions, input: (call: number) => SessionInput): Promise<CallResult> {
    const { signal } = options;
    if (signal?.aborted === true) {
      const aborted = failure('Aborted', 'not-applied', 'The signal was aborted before the call.');
      return Promise.resolve({ type: 'failure', failure: aborted });
    }
    if (options.timeoutMs !== undefined && !isDuration(options.timeoutMs)) {
      return Promise.resolve({ type: 'failure', failure: invalidOption(`timeoutMs: ${durationRule}`) });
    }
    return new Promise((resolve) => {
      const call = this.nextCall++;
      if (signal === undefined) this.waiters.set(call, { settle: resolve });
      else {
        this.aborts.watch(signal, call);
        const settle = (result: CallResult): void => {
          this.aborts.forget(signal, call);
          resolve(result);
        };
        this.waiters.set(call, { settle });
      }
      this.input(input(call));
      this.scheduleFlush();
    });
  }

  private scheduleFlush(): void {
    if (this.flushPending || this.closed !== null) return;
    this.flushPending = true;
    this.platform.defer(() => {
      this.flushPending = false;
      this.input({ type: 'flush' });
    });
  }

  private input(input: SessionInput): void {
    for (const output of this.session.step(input, performance.now())) this.execute(output);
    if (this.timer !== null || this.closed !== null) return;
    const delayMs = this.session.tickInMs();
    if (delayMs === null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.input({ type: 'tick' });
    }, delayMs);
  }

  private execute(output: SessionOutput): void {
    switch (output.type) {
      case 'settled': {
        const waiter = this.waiters.get(output.call);
        this.waiters.delete(output.call);
        waiter?.settle(output.result);
        return;
      }
      case 'send':
        this.sockets.get(output.connection)?.send(output.frame);
        return;
      case 'connect':
        return this.dial(output.connection, output.endpoint);
      case 'disconnect': {
        const socket = this.sockets.get(output.connection);
        this.sockets.delete(output.connection);
        if (socket === undefined) return;
        const gone = socket.close();
        this.closing.add(gone);
        void gone.then(() => this.closing.delete(gone));
        return;
      }
      case 'welcomed':
        this.onWelcome?.();
        return;
    }
  }

  private dial(connection: ConnectionNumber, endpoint: string): void {
    const current = (): boolean => this.sockets.has(connection);
    const socket = this.platform.dial(endpoint, {
      onOpen: () => {
        if (current()) this.input({ type: 'connected', connection });
      },
      onFrame: (frame) => {
        if (current()) this.input({ type: 'frame', connection, frame });
      },
      onClose: (reason) => {
        if (!current()) return;
        this.sockets.delete(connection);
        this.input({ type: 'disconnected', connection, reason });
      },
    });
    this.sockets.set(connection, socket);
  }
}

const timeoutOf = ({ timeoutMs }: CallOptions): { timeoutMs?: number } =>
  timeoutMs === undefined ? {} : { timeoutMs };

/** The success, or a throw. */
export function orThrow(result: CallResult): Settled {
  if (result.type === 'failure') throw new KimberliteError(result.failure);
  return result;
}

export const thrown = (problem: CallFailure): KimberliteError => new KimberliteError(problem);
