import {
  type ClientId,
  randomChance,
  randomInt,
  type RandomState,
  seedRandom,
  sessionWindowMax,
  type View,
} from '@kimberlite/base';
import type { Outcome } from '@kimberlite/kernel';
import {
  decodeCommands,
  encodeCommand,
  encodeOutcomes,
  encodeQuery,
  encodeQueryAnswer,
  type ServerMessage,
} from '@kimberlite/wire';
import { describe, expect, it } from 'vitest';
import type { CallResult, SessionInput } from '../src/index.ts';
import { createClientSession } from '../src/index.ts';
import { codec, type Query, type Reply, type Request } from './scripted-server.ts';

interface Entry {
  session: number;
  floor: number;
  executed: number;
  outcomes: Map<number, { checksum: string; reply: Reply }>;
}

/**
 * A cluster as a client sees it, by Table G, that treats its client as badly as the protocol allows: primaries
 * come and go, connections break, replies get lost, requests are refused, delayed or queued and forgotten,
 * sessions are evicted. Everything is drawn from one seed.
 */
class Chaos {
  now = 0;
  view = 0;
  position = 0;
  nextSession = 1;
  entry: Entry | null = null;
  /** Call ids in the order in which their commands took effect. */
  readonly applied: number[] = [];
  readonly settled = new Map<number, CallResult>();
  /** Of an answered query: how many commands had taken effect in the state it was answered from. */
  readonly seen = new Map<number, number>();
  readonly issuedAfter = new Map<number, number>();
  readonly random: RandomState;
  readonly session;
  private readonly links = new Map<number, { replica: number; greeted: boolean }>();
  /** Requests a primary took and has not applied; they may yet be, or be forgotten, or be refused. */
  private queue: { request: Request; connection: number }[] = [];
  /** Messages on their way to the client. */
  private flying: { at: number; connection: number; messages: ServerMessage[] }[] = [];
  private calls = 0;
  readonly badness: number;

  constructor(seed: number, badness: number) {
    this.badness = badness;
    this.random = seedRandom(seed);
    this.session = createClientSession({
      endpoints: ['ws://0', 'ws://1', 'ws://2'],
      client: 'a'.repeat(32) as ClientId,
      codec,
      hasher: (bytes) =>
        `${bytes.length}-${bytes.join('')}`
          .padEnd(32, '0')
          .slice(-32)
          .replace(/[^0-9a-f]/g, '0') as never,
      random: seedRandom(seed + 1),
      timing: { callTimeoutMs: 3_000 },
    });
  }

  private bad(weight = 1): boolean {
    return randomChance(this.random, this.badness * weight);
  }

  input(input: SessionInput): void {
    for (const output of this.session.step(input, this.now)) {
      if (output.type === 'settled') {
        expect(this.settled.has(output.call)).toBe(false);
        this.settled.set(output.call, output.result);
      } else if (output.type === 'connect') {
        this.links.set(output.connection, { replica: Number(output.endpoint.slice(5)), greeted: false });
      } else if (output.type === 'disconnect') this.links.delete(output.connection);
      else if (output.type === 'send') this.onFrame(output.connection, output.frame);
    }
  }

  private tell(connection: number, message: ServerMessage): void {
    const at = this.now + (this.bad() ? randomInt(this.random, 1, 400) : 1);
    this.flying.push({ at, connection, messages: [message] });
  }

  private onFrame(connection: number, frame: Uint8Array): void {
    const messages = codec.decodeClientFrame(frame);
    if (!messages.ok) throw new Error(messages.error.message);
    const link = this.links.get(connection);
    if (link === undefined) return;
    for (const message of messages.value) {
      if (message.type === 'hello') {
        link.greeted = true;
        const members = [0, 1, 2].map((r) => ({ replica: r, endpoint: `ws://${r}`, adminUrl: null }));
        const primary = this.view % 3;
        this.tell(connection, {
          type: 'welcome',
          protocolVersion: 1,
          cluster: 'c'.repeat(32),
          replica: link.replica,
          view: this.view,
          primary,
          members,
        } as unknown as ServerMessage);
      } else if (message.type === 'request') this.onRequest(connection, link.replica, message.request);
      else if (message.type === 'query') this.onQuery(connection, link.replica, message.query);
    }
  }

  private refusal(reason: string) {
    return { reason, retryAfterMs: 20, view: this.view as View, primary: this.view % 3 };
  }

  private onRequest(connection: number, replica: number, request: Request): void {
    const { session, number } = request;
    if (this.bad()) return;
    if (replica !== this.view % 3 || this.bad()) {
      const reason = replica !== this.view % 3 ? 'not-primary' : 'overloaded';
      const reply = { type: 'refused', session, number, refusal: this.refusal(reason) };
      return this.tell(connection, { type: 'reply', reply: reply as unknown as Reply });
    }
    this.queue.push({ request, connection });
    if (!this.bad()) this.drain();
  }

  /** Applies what can be applied in order; the rest waits for its gap to close. */
  private drain(): void {
    for (let again = true; again; ) {
      again = false;
      for (const item of [...this.queue]) {
        if (!this.execute(item.request, item.connection)) continue;
        this.queue = this.queue.filter((other) => other !== item);
        again = true;
      }
    }
  }

  /** True when the request is done with: by Table G, with gaps waiting. */
  private execute(request: Request, connection: number): boolean {
    const send = (reply: unknown): true => {
      if (!this.bad()) this.tell(connection, { type: 'reply', reply: reply as Reply });
      return true;
    };
    const { session, number } = request;
    if (number === 0) {
      this.entry ??= { session: this.nextSession++, floor: 1, executed: 0, outcomes: new Map() };
      return send({ type: 'registered', session: this.entry.session });
    }
    const { entry } = this;
    if (entry === null || entry.session !== session) return send({ type: 'evicted', session });
    if (number < Math.max(entry.floor, request.floor)) return true;
    const known = entry.outcomes.get(number);
    if (known !== undefined) {
      return send(known.checksum === request.checksum ? known.reply : { type: 'mismatch', session, number });
    }
    if (number >= Math.max(entry.floor, request.floor) + sessionWindowMax) {
      return send({ type: 'refused', session, number, refusal: this.refusal('window-full') });
    }
    if (number > Math.max(entry.executed + 1, request.floor)) return false;
    this.apply(entry, request);
    return send(entry.outcomes.get(number)?.reply);
  }

  private apply(entry: Entry, request: Request): void {
    entry.floor = Math.max(entry.floor, request.floor);
    for (const old of entry.outcomes.keys()) if (old < entry.floor) entry.outcomes.delete(old);
    const commands = decodeCommands(request.body);
    if (!commands.ok) throw new Error(commands.error.message);
    const outcomes: Outcome[] = commands.value.map((command) => {
      this.applied.push((command as { tenantId: number }).tenantId);
      return { ok: true, position: ++this.position, op: 1, timestamp: 1, isReplay: false };
    });
    const { session, number, checksum } = request;
    const reply = { type: 'outcome', session, number, op: 1, timestamp: 1, body: encodeOutcomes(outcomes) };
    entry.outcomes.set(number, { checksum, reply: reply as unknown as Reply });
    entry.executed = number;
  }

  private onQuery(connection: number, replica: number, query: Query): void {
    if (this.bad()) return;
    const behind =
      query.after > 0 && query.after > (this.entry?.executed ?? 0) && query.after >= (this.entry?.floor ?? 0);
    const evicted = query.after > 0 && this.entry?.session !== query.session;
    const reply =
      replica !== this.view % 3 || (behind && !evicted)
        ? { type: 'query-refused', query: query.query, refusal: this.refusal('unavailable') }
        : evicted
          ? { type: 'evicted', session: query.session }
          : this.answer(query.query);
    this.tell(connection, { type: 'reply', reply: reply as unknown as Reply });
  }

  private answer(query: number) {
    const rows = [{ applied: this.applied.length }];
    const body = encodeQueryAnswer({ ok: true, value: { rows, position: this.position, timestamp: 1 } });
    return { type: 'answer', query, op: 1, timestamp: 1, body };
  }

  /** One command; its call id travels as the tenant id. */
  command(): void {
    const call = ++this.calls;
    const packed = encodeCommand({ type: 'CreateTenant', tenantId: call, name: 't' });
    this.input({ type: 'command', call, packed, ...(this.bad() ? { timeoutMs: randomInt(this.random, 1, 300) } : {}) });
  }
  ask(): void {
    const call = ++this.calls;
    // What was acknowledged before the question must be in the answer.
    this.issuedAfter.set(call, [...this.settled].filter(([id, r]) => r.type === 'outcome' && id < call).length);
    const packed = encodeQuery({ tenantId: 0, table: '$tenants' });
    this.input({ type: 'query', call, packed, level: { type: 'linearizable' } });
  }

  step(): void {
    this.now += randomInt(this.random, 1, 15);
    const { random } = this;
    if (this.bad(0.05)) this.changeView();
    if (this.bad(0.05)) this.cutOne();
    if (this.bad(0.01)) this.entry = null;
    if (this.bad(0.2)) this.input({ type: 'abort', call: randomInt(random, 1, this.calls + 1) });
    if (!this.bad()) this.drain();
    for (const [connection, link] of [...this.links]) {
      if (!link.greeted && !this.bad()) this.input({ type: 'connected', connection });
    }
    const due = this.flying.filter(({ at }) => at <= this.now);
    this.flying = this.flying.filter(({ at }) => at > this.now);
    for (const { connection, messages } of due) {
      if (!this.links.has(connection)) continue;
      this.input({ type: 'frame', connection, frame: codec.encodeServerFrame(messages) });
    }
    this.input({ type: 'tick' });
  }

  private changeView(): void {
    this.view += randomInt(this.random, 1, 2);
    for (const { request, connection } of this.queue.splice(0)) {
      const { session, number } = request;
      const reply = { type: 'refused', session, number, refusal: this.refusal('view-change') };
      if (!this.bad()) this.tell(connection, { type: 'reply', reply: reply as unknown as Reply });
    }
    for (const [connection, link] of this.links) {
      const primary = this.view % 3;
      if (link.greeted && !this.bad()) this.tell(connection, { type: 'view', view: this.view, primary } as never);
    }
  }

  private cutOne(): void {
    const [connection] = [...this.links.keys()];
    if (connection === undefined) return;
    this.links.delete(connection);
    this.input({ type: 'disconnected', connection, reason: 'cut' });
  }

  get issued(): number {
    return this.calls;
  }
}

function run(seed: number, badness: number): Chaos {
  const chaos = new Chaos(seed, badness);
  for (let step = 0; step < 250; step++) {
    for (let i = randomInt(chaos.random, 0, 3); i > 0; i--) {
      if (randomChance(chaos.random, 0.3)) chaos.ask();
      else chaos.command();
    }
    if (randomChance(chaos.random, 0.7)) chaos.input({ type: 'flush' });
    chaos.step();
  }
  for (let step = 0; step < 1500 && chaos.settled.size < chaos.issued; step++) chaos.step();
  return chaos;
}

function check(chaos: Chaos): void {
  const { applied, settled } = chaos;
  expect(settled.size, 'every call is settled').toBe(chaos.issued);
  expect(new Set(applied).size, 'nothing takes effect twice').toBe(applied.length);
  expect(
    [...applied].sort((a, b) => a - b),
    'effects come in the order of issue',
  ).toEqual(applied);
  const place = new Set(applied);
  for (const [call, result] of settled) {
    if (result.type === 'outcome') expect(place.has(call), `call ${call} was acknowledged`).toBe(true);
    if (result.type === 'failure' && result.failure.outcome === 'not-applied') {
      expect(place.has(call), `call ${call} was said not to be applied (${result.failure.code})`).toBe(false);
    }
    if (result.type === 'answer') {
      const seen = result.answer.rows[0]?.['applied'] as number;
      expect(seen, `query ${call} missed what was acknowledged`).toBeGreaterThanOrEqual(
        chaos.issuedAfter.get(call) ?? 0,
      );
    }
  }
}

describe('whatever happens between client and cluster', () => {
  it.each([0, 0.05, 0.2, 0.4])('what it says about its calls is true (badness %d)', (badness) => {
    let acknowledged = 0;
    let unknown = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const chaos = run(seed, badness);
      try {
        check(chaos);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      for (const result of chaos.settled.values()) {
        if (result.type === 'outcome') acknowledged++;
        else if (result.type === 'failure' && result.failure.outcome === 'unknown') unknown++;
      }
    }
    expect(acknowledged).toBeGreaterThan(50);
    if (badness === 0) expect(unknown).toBe(0);
    if (badness >= 0.2) expect(unknown).toBeGreaterThan(0);
  });
});
