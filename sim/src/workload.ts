import { type RandomState, randomChance, randomInt, randomPick } from '@kimberlite/base';
import type { CommandInput } from '@kimberlite/kernel';
import type { ClusterClient, CommandEnd, QueryEnd } from './cluster-client.ts';
import { type Call, type CallEnd, History } from './history.ts';
import type { Scheduler } from './scheduler.ts';

export interface WorkloadOptions {
  /** Rows the clients fight over, in each of two tables. */
  readonly keys: number;
  /** Calls each client keeps in flight. */
  readonly window: number;
  /** Mean pause between the end of one call and the next. */
  readonly thinkUs: number;
  /** Acknowledged commands after which the clients take their time: what a run costs, it costs in calls. */
  readonly plenty: number;
  readonly readRate: number;
  /** Share of writes that carry an idempotency id which another client then uses for the same command. */
  readonly sharedRate: number;
  /** Everybody calls at the same moments, as often as the pauses say; left out: each in its own time. */
  readonly bursts?: boolean;
  /** How many times longer a client that only reads waits between two calls; left out: as long as all others. */
  readonly readerPauses?: number;
  /** Calls of all clients together, after which nobody makes another; left out: no such end. */
  readonly callsMax?: number;
}

export const simTenant = 1;
const tables = ['rows', 'more'] as const;

const setup: readonly CommandInput[] = [
  { type: 'CreateTenant', tenantId: simTenant, name: 'sim' },
  ...tables.map(
    (table): CommandInput => ({
      type: 'CreateTable',
      tenantId: simTenant,
      table,
      columns: { id: 'int', value: 'text' },
      primaryKey: ['id'],
    }),
  ),
];

/** How many times longer clients think once enough was acknowledged. */
const slowdown = 4;

/** Every third client: a write that waits at a primary cut off must not keep it from asking there. */
const onlyReads = (index: number): boolean => index % 3 === 2;

interface Shared {
  readonly table: string;
  readonly key: number;
  readonly marker: string;
}

/**
 * What the clients do: inserts, updates, upserts, deletes and gets on few rows, so that they meet. Every write
 * stores a value of its own, so that a value read names the write it came from.
 */
export class Workload {
  readonly history = new History();
  /** Set once the tables exist. */
  ready = false;
  running = true;
  private readonly scheduler: Scheduler;
  private readonly clients: readonly ClusterClient[];
  private readonly options: WorkloadOptions;
  private readonly random: RandomState;
  private readonly called: (call: Call) => void;
  private readonly returned: (call: Call) => void;
  private readonly epochs: number[];
  private shared: Shared[] = [];
  private markers = 0;

  constructor(options: {
    readonly scheduler: Scheduler;
    readonly clients: readonly ClusterClient[];
    readonly options: WorkloadOptions;
    readonly called?: (call: Call) => void;
    readonly returned: (call: Call) => void;
  }) {
    this.scheduler = options.scheduler;
    this.clients = options.clients;
    this.options = options.options;
    this.called = options.called ?? (() => {});
    this.returned = options.returned;
    this.random = options.scheduler.random('workload');
    this.epochs = options.clients.map(() => 0);
  }

  start(): void {
    this.clients.forEach((client) => client.start());
    this.createTables();
  }

  /** Calls that have not ended. */
  get open(): number {
    return this.history.calls.filter((call) => call.end === null).length;
  }

  hasClient(index: number): boolean {
    return this.clients[index] !== undefined;
  }

  /** The client's process dies with its calls; another starts in its place after a while. */
  crashClient(index: number, downUs: number): void {
    const client = this.clients[index];
    if (client === undefined) return;
    this.epochs[index] = (this.epochs[index] ?? 0) + 1;
    const epoch = this.epochs[index];
    client.crash();
    this.scheduler.after(downUs, () => {
      if (this.epochs[index] !== epoch) return;
      client.restart();
      if (this.ready) this.startLanes(index);
    });
  }

  private createTables(): void {
    const [first] = this.clients;
    let made = 0;
    let failed = false;
    for (const command of setup) {
      first?.submit(command, (end) => {
        made += 1;
        if (end.type !== 'outcome') failed = true;
        if (made < setup.length) return;
        // A client that gave up has another go: a table that is there already does no harm.
        if (failed) return void this.scheduler.after(50_000, () => this.createTables());
        this.ready = true;
        this.clients.forEach((_, index) => this.startLanes(index));
      });
    }
  }

  private startLanes(index: number): void {
    const epoch = this.epochs[index];
    for (let lane = 0; lane < this.options.window; lane++) this.later(index, epoch ?? 0);
  }

  private later(index: number, epoch: number): void {
    this.scheduler.after(this.pauseUs(index), () => {
      if (this.running && this.epochs[index] === epoch && this.mayCall) this.next(index, epoch);
    });
  }

  private pauseUs(index: number): number {
    const { thinkUs, plenty, bursts = false, readerPauses = 1 } = this.options;
    const pace = (this.history.acknowledged < plenty ? 1 : slowdown) * (onlyReads(index) ? readerPauses : 1);
    const pauseUs = Math.max(1, Math.floor(pace * thinkUs));
    return bursts ? pauseUs - (this.scheduler.nowUs % pauseUs) : randomInt(this.random, 0, 2 * pauseUs);
  }

  /** Every call that may be made was made, and has ended. */
  get exhausted(): boolean {
    return !this.mayCall && this.open === 0;
  }

  private get mayCall(): boolean {
    return this.history.calls.length < (this.options.callsMax ?? Number.POSITIVE_INFINITY);
  }

  private next(index: number, epoch: number): void {
    const client = this.clients[index];
    if (client === undefined) return;
    const { random } = this;
    const table = randomPick(random, tables);
    const key = randomInt(random, 1, this.options.keys);
    if (onlyReads(index) || randomChance(random, this.options.readRate))
      return this.get(client, index, epoch, table, key);
    const shared = this.shared.length > 0 && randomChance(random, 0.5) ? this.shared.shift() : undefined;
    if (shared !== undefined) return this.write(client, index, epoch, { ...shared, type: 'upsert', isShared: true });
    if (randomChance(random, this.options.sharedRate)) {
      const marker = `shared-${this.markers++}`;
      this.shared.push({ table, key, marker });
      return this.write(client, index, epoch, { table, key, marker, type: 'upsert', isShared: true });
    }
    const type = randomPick(random, ['insert', 'update', 'upsert', 'upsert', 'delete'] as const);
    this.write(client, index, epoch, { table, key, marker: `c${index}-${this.markers++}`, type, isShared: false });
  }

  private write(
    client: ClusterClient,
    index: number,
    epoch: number,
    what: Shared & { readonly type: Exclude<Call['type'], 'get'>; readonly isShared: boolean },
  ): void {
    const { table, key, marker, type, isShared } = what;
    const idempotencyId = isShared ? marker : null;
    const call = this.history.invoke({
      client: index,
      table,
      key,
      type,
      marker,
      idempotencyId,
      invokedUs: this.scheduler.nowUs,
    });
    this.called(call);
    client.submit(commandOf(call), (end) => this.finish(call, this.endOfCommand(end), epoch));
  }

  private get(client: ClusterClient, index: number, epoch: number, table: string, key: number): void {
    const invokedUs = this.scheduler.nowUs;
    const nothing = { marker: '', idempotencyId: null };
    const call = this.history.invoke({ client: index, table, key, type: 'get', ...nothing, invokedUs });
    this.called(call);
    const query = { tenantId: simTenant, table, where: { id: key }, select: ['value'] };
    client.ask(query, (end) => this.finish(call, this.endOfQuery(end), epoch));
  }

  private finish(call: Call, end: CallEnd, epoch: number): void {
    this.history.finish(call, end);
    this.returned(call);
    if (this.running && this.epochs[call.client] === epoch) this.later(call.client, epoch);
  }

  private endOfCommand(end: CommandEnd): CallEnd {
    const at = { returnedAt: this.history.next(), returnedUs: this.scheduler.nowUs };
    if (end.type !== 'outcome') return { type: end.type, ...at };
    const { op, outcome } = end;
    const { position } = outcome;
    if (!outcome.ok) return { type: 'rejected', ...at, op, position, code: outcome.error.code };
    const { timestamp, isReplay } = outcome;
    return { type: 'ok', ...at, op: outcome.op, position, timestamp, isReplay, value: null };
  }

  private endOfQuery(end: QueryEnd): CallEnd {
    const at = { returnedAt: this.history.next(), returnedUs: this.scheduler.nowUs };
    if (end.type === 'failed') return { type: 'unknown', ...at };
    const { rows, position, timestamp } = end.answer;
    const value = rows[0]?.['value'];
    const found = typeof value === 'string' ? value : null;
    return { type: 'ok', ...at, op: end.op, position, timestamp, isReplay: false, value: found };
  }
}

function commandOf(call: Call): CommandInput {
  const { table, key, marker, type, idempotencyId } = call;
  const target = { tenantId: simTenant, table, ...(idempotencyId === null ? {} : { idempotencyId }) };
  switch (type) {
    case 'insert':
      return { type: 'Insert', ...target, row: { id: key, value: marker } };
    case 'upsert':
      return { type: 'Upsert', ...target, row: { id: key, value: marker } };
    case 'update':
      return { type: 'Update', ...target, key: { id: key }, set: { value: marker } };
    // The id is what tells one delete from another; nobody uses it twice.
    case 'delete':
      return { type: 'Delete', ...target, key: { id: key }, idempotencyId: marker };
    case 'get':
      throw new Error('a get is no command');
  }
}
