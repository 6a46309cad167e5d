import { assert, type ClientId, type Hasher, randomU32, replicasMax } from '@kimberlite/base';
import { type CallResult, type ClientSession, createClientSession, type SessionInput } from '@kimberlite/client';
import type { CommandInput, KernelError, Query } from '@kimberlite/kernel';
import { type Codec, encodeCommand, encodeQuery } from '@kimberlite/wire';
import type { ClientLinks } from './client-links.ts';
import type { ClusterClient, CommandEnd, QueryEnd } from './cluster-client.ts';
import { shuffled } from './random.ts';
import type { Scheduled, Scheduler } from './scheduler.ts';

export const endpointOf = (node: number): string => `ws://sim-${node}:7001`;

export interface SdkClientOptions {
  readonly scheduler: Scheduler;
  readonly links: ClientLinks;
  readonly codec: Codec;
  readonly hasher: Hasher;
  /** Replicas it is told of before it starts; the nodes tell it of others. */
  readonly nodes: number;
  readonly index: number;
  readonly giveUpUs: number;
}

/** Codes that only the client itself gives; every other one is the state machine's. */
const clientCodes: ReadonlySet<string> = new Set([
  'Timeout',
  'Aborted',
  'Overloaded',
  'DiskFull',
  'SessionEvicted',
  'Closed',
  'RequestTooLarge',
  'ConnectFailed',
  'ProtocolError',
]);

/** The SDK's own session over simulated links: what its shell does with sockets and timers, done by the scheduler. */
export class SdkClient implements ClusterClient {
  private readonly options: SdkClientOptions;
  private session: ClientSession | null = null;
  private boots = 0;
  private nextCall = 1;
  private readonly connections = new Map<number, number>();
  private readonly waiting = new Map<number, (result: CallResult | null) => void>();
  private ticking: Scheduled | null = null;
  private flushing = false;

  constructor(options: SdkClientOptions) {
    this.options = options;
  }

  get inFlight(): number {
    return this.waiting.size;
  }

  start(): void {
    const { scheduler, codec, hasher, nodes, index } = this.options;
    this.boots += 1;
    const random = scheduler.random(`sdk client ${index} boot ${this.boots}`);
    const everyone = Array.from({ length: nodes }, (_, node) => endpointOf(node));
    const hex = Array.from({ length: 4 }, () => randomU32(random).toString(16).padStart(8, '0')).join('');
    const endpoints = shuffled(random, everyone);
    this.session = createClientSession({ endpoints, client: hex as ClientId, codec, hasher, random });
    this.input({ type: 'tick' });
  }

  submit(command: CommandInput, done: (end: CommandEnd) => void): void {
    const timeoutMs = this.options.giveUpUs / 1000;
    this.call(
      (call) => ({ type: 'command', call, packed: encodeCommand(command), timeoutMs }),
      (result) => done(result === null ? { type: 'unknown' } : endOfCommand(result)),
    );
  }

  ask(query: Query, done: (end: QueryEnd) => void): void {
    const timeoutMs = this.options.giveUpUs / 1000;
    const level = { type: 'linearizable' } as const;
    this.call(
      (call) => ({ type: 'query', call, packed: encodeQuery(query), level, timeoutMs }),
      (result) => {
        if (result?.type === 'answer') done({ type: 'answer', op: result.op, answer: result.answer });
        else done({ type: 'failed' });
      },
    );
  }

  crash(): void {
    this.leave();
    const settles = [...this.waiting.values()];
    this.waiting.clear();
    for (const settle of settles) settle(null);
  }

  restart(): void {
    if (this.session === null) this.start();
  }

  stop(): void {
    assert(this.inFlight === 0, 'a client that stops has nothing in flight');
    this.input({ type: 'close' });
    this.leave();
  }

  private leave(): void {
    this.session = null;
    if (this.ticking !== null) this.options.scheduler.cancel(this.ticking);
    this.ticking = null;
    for (const link of this.connections.values()) this.options.links.closeFromClient(link);
    this.connections.clear();
  }

  private call(input: (call: number) => SessionInput, settle: (result: CallResult | null) => void): void {
    const call = this.nextCall++;
    this.waiting.set(call, settle);
    this.input(input(call));
    if (this.flushing) return;
    this.flushing = true;
    this.options.scheduler.after(0, () => {
      this.flushing = false;
      this.input({ type: 'flush' });
    });
  }

  private input(input: SessionInput): void {
    const { session } = this;
    if (session === null) return;
    for (const output of session.step(input, this.options.scheduler.nowUs / 1000)) {
      switch (output.type) {
        case 'connect':
          this.dial(output.connection, output.endpoint);
          break;
        case 'disconnect': {
          const link = this.connections.get(output.connection);
          this.connections.delete(output.connection);
          if (link !== undefined) this.options.links.closeFromClient(link);
          break;
        }
        case 'send': {
          const link = this.connections.get(output.connection);
          if (link !== undefined) this.options.links.sendToNode(link, output.frame);
          break;
        }
        case 'settled': {
          const settle = this.waiting.get(output.call);
          this.waiting.delete(output.call);
          settle?.(output.result);
          break;
        }
        case 'welcomed':
          break;
      }
    }
    if (this.session === session) this.scheduleTick(session);
  }

  private scheduleTick(session: ClientSession): void {
    if (this.ticking !== null) return;
    const delayMs = session.tickInMs();
    if (delayMs === null) return;
    this.ticking = this.options.scheduler.after(delayMs * 1000, () => {
      this.ticking = null;
      this.input({ type: 'tick' });
    });
  }

  private dial(connection: number, endpoint: string): void {
    const { links, index } = this.options;
    const node = Array.from({ length: replicasMax }, (_, i) => i).find((i) => endpointOf(i) === endpoint);
    assert(node !== undefined, () => `the session dials an endpoint it was never told of: ${endpoint}`);
    const { session } = this;
    const current = (): boolean => this.session === session && this.connections.has(connection);
    const link = links.dial(index, node, {
      opened: () => current() && this.input({ type: 'connected', connection }),
      received: (frame) => current() && this.input({ type: 'frame', connection, frame }),
      closed: () => {
        if (!current()) return;
        this.connections.delete(connection);
        this.input({ type: 'disconnected', connection, reason: 'closed' });
      },
    });
    this.connections.set(connection, link);
  }
}

function endOfCommand(result: CallResult): CommandEnd {
  if (result.type === 'outcome') return { type: 'outcome', op: result.outcome.op, outcome: result.outcome };
  assert(result.type === 'failure', 'a command is not answered like a query');
  const { code, message, retryable, outcome, position } = result.failure;
  if (clientCodes.has(code)) return { type: outcome };
  assert(position !== undefined, () => `a rejection has a position: ${code} ${message}`);
  // Only the code is looked at.
  const error = { code, message, retryable } as KernelError;
  return { type: 'outcome', op: null, outcome: { ok: false, position, error } };
}
