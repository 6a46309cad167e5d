import { bytesEqual, prepareHeaderBytes, sessionsMax, sessionWindowMax } from '@kimberlite/base';
import { type ClientRequest, decodeBatch, systemClient } from '@kimberlite/vsr';
import type { Asked } from './asked.ts';
import type { Checker, Fail } from './checker.ts';
import type { Commits } from './commits.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import type { Prepares } from './prepares.ts';

/** A session as the log makes it. */
export interface LoggedSession {
  readonly client: string;
  readonly session: number;
  /** Lowest number whose outcome the client may still ask for. */
  floor: number;
  /** Highest number executed. */
  last: number;
  lastOp: number;
}

const keyOf = (client: string, session: number): string => `${client}/${session}`;
const nameOf = ({ session, number }: ClientRequest): string => `request ${number} of session ${session}`;

const isOf = (request: ClientRequest, { request: executed }: LedgerEntry): boolean =>
  request.session === executed.session && request.client === executed.client && bytesEqual(request.body, executed.body);

/** The session table, made anew from the committed prepares. A session is named by its client: one op may make several. */
class SessionModel {
  private readonly sessions = new Map<string, LoggedSession>();
  /** By client and session, of sessions that are gone too. */
  private readonly executions = new Map<string, Map<number, LedgerEntry>>();

  of(client: string): LoggedSession | undefined {
    return this.sessions.get(client);
  }

  live(): readonly LoggedSession[] {
    return [...this.sessions.values()];
  }

  executionsOf(client: string, session: number): ReadonlyMap<number, LedgerEntry> | undefined {
    return this.executions.get(keyOf(client, session));
  }

  register(client: string, op: number): void {
    if (this.sessions.has(client)) return;
    if (this.sessions.size >= sessionsMax) this.evict();
    this.sessions.set(client, { client, session: op, floor: 1, last: 0, lastOp: op });
  }

  /** Room for one more: the one unused for longest goes. Outcomes never fill the table's bytes in a simulated run. */
  private evict(): void {
    let victim: LoggedSession | null = null;
    for (const candidate of this.sessions.values()) {
      const older = victim === null || candidate.lastOp < victim.lastOp;
      const same = victim !== null && candidate.lastOp === victim.lastOp && candidate.client < victim.client;
      if (older || same) victim = candidate;
    }
    if (victim !== null) this.sessions.delete(victim.client);
  }

  /** Table G, right column: the session in which the request runs now, or why it is to be passed over. */
  decide({ session, number, floor, client }: ClientRequest, op: number): LoggedSession | string {
    const entry = this.sessions.get(client);
    if (entry === undefined || entry.session !== session) return 'its session is not there';
    if (floor > entry.floor) entry.floor = floor;
    entry.lastOp = op;
    const before = this.executionsOf(client, session)?.get(number);
    if (before !== undefined) return `it was executed at op ${before.request.op}`;
    if (number < entry.floor) return `it lies below the floor ${entry.floor}`;
    return number >= entry.floor + sessionWindowMax ? 'it lies beyond the window' : entry;
  }

  note(session: LoggedSession, number: number, entry: LedgerEntry): void {
    session.last = Math.max(session.last, number);
    const key = keyOf(session.client, session.session);
    const known = this.executions.get(key);
    if (known === undefined) this.executions.set(key, new Map([[number, entry]]));
    else known.set(number, entry);
  }
}

/**
 * Exactly once per (session, number): a second, plain reading of Table G decides from the committed prepares alone
 * which requests run, and the ledger must be just that. A request that was executed before is executed nowhere else;
 * one that was not is not passed over; a session's requests run in the order of their numbers.
 */
export class Requests {
  readonly checker: Checker;
  private readonly asked: Asked;
  private readonly prepares: Prepares;
  private readonly commits: Commits;
  private readonly fail: Fail;
  private readonly sessions = new SessionModel();
  /** The op that is being gone through, its requests, and how many of them were. */
  private op = 0;
  private batch: readonly ClientRequest[] = [];
  private next = 0;

  constructor(asked: Asked, prepares: Prepares, commits: Commits, ledger: Ledger, fail: Fail) {
    this.asked = asked;
    this.prepares = prepares;
    this.commits = commits;
    this.fail = fail;
    ledger.onEntry((entry) => this.onEntry(entry));
    this.checker = {
      name: 'exactly-once',
      ended: ({ replicas }) => {
        const applied = Math.max(0, ...replicas.map((replica) => replica.applied));
        commits.claim(applied, () => `a replica ends at op ${applied}`);
        this.goTo(Math.min(applied, commits.highest));
        this.finishOp();
      },
    };
  }

  /** The execution of a request; undefined while there was none. */
  executionOf(client: string, session: number, number: number): LedgerEntry | undefined {
    return this.sessions.executionsOf(client, session)?.get(number);
  }

  /** The client's session, unless it has been evicted since, as far as the log can have been executed. */
  sessionOf(client: string): LoggedSession | undefined {
    this.passRegistrations();
    return this.sessions.of(client);
  }

  live(): readonly LoggedSession[] {
    return this.sessions.live();
  }

  /** Every execution of the session that the table has to keep. */
  kept({ client, session, floor }: LoggedSession): ReadonlyMap<number, LedgerEntry> {
    const all = this.sessions.executionsOf(client, session) ?? new Map<number, LedgerEntry>();
    return new Map([...all].filter(([number]) => number >= floor));
  }

  private onEntry(entry: LedgerEntry): void {
    this.goTo(entry.request.op);
    const { op, batch, fail } = this;
    const expected = this.nextToRun();
    if (expected !== null && isOf(expected.request, entry)) {
      this.next += 1;
      return this.run(expected.session, expected.request, entry);
    }
    const what = `replica ${entry.replica} executes at op ${op} a request of session ${entry.request.session}`;
    const which = batch.find((request) => isOf(request, entry));
    if (which === undefined) fail('agreement', `${what} that is not in the committed prepare`);
    else if (expected !== null) fail('exactly-once', `${what}; it is the turn of ${nameOf(expected.request)}`);
    else fail('exactly-once', `${what}: ${nameOf(which)}, but ${String(this.sessions.decide(which, op))}`);
  }

  private run(session: LoggedSession, request: ClientRequest, entry: LedgerEntry): void {
    const { number } = request;
    // Numbers between may be left out once the client wants nothing below this one; it may say so in a later request.
    const floor = Math.max(session.floor, this.asked.floor(session.client, session.session));
    const inOrder = number === session.last + 1 || (number > session.last && floor >= number);
    if (!inOrder) {
      this.fail('issue-order', `${nameOf(request)} is executed after request ${session.last}, at op ${this.op}`);
    }
    this.sessions.note(session, number, entry);
  }

  /** Passes over what is not to run, up to the first that is. */
  private nextToRun(): { readonly session: LoggedSession; readonly request: ClientRequest } | null {
    for (; this.next < this.batch.length; this.next++) {
      const request = this.batch[this.next];
      if (request === undefined) break;
      // What the protocol itself puts into the log has no session.
      if (request.client === systemClient) continue;
      if (request.session === 0) this.sessions.register(request.client, this.op);
      else {
        const session = this.sessions.decide(request, this.op);
        if (typeof session !== 'string') return { session, request };
      }
    }
    return null;
  }

  private finishOp(): void {
    const left = this.nextToRun();
    if (left === null) return;
    this.fail('exactly-once', `${nameOf(left.request)} is committed at op ${this.op} and executed nowhere`);
  }

  /** Ops that run nothing leave no trace in the ledger, and still make sessions and evict others. */
  private passRegistrations(): void {
    this.commits.advance();
    // The last op's own registrations too, so it is looked at before the bound is.
    while (this.nextToRun() === null && this.op < this.commits.highest) this.goTo(this.op + 1);
  }

  /** Goes on to that op; those between were executed without running anything. */
  private goTo(wanted: number): void {
    while (this.op < wanted) {
      this.finishOp();
      this.op += 1;
      this.next = 0;
      const id = this.commits.at(this.op)?.id;
      const bytes = id === undefined ? null : (this.prepares.get(id)?.bytes ?? null);
      const decoded = bytes === null ? null : decodeBatch(bytes.subarray(prepareHeaderBytes));
      this.batch = decoded?.ok === true ? decoded.value : [];
      if (decoded?.ok !== true) this.fail('agreement', `op ${this.op} is executed, and nobody has seen its prepare`);
    }
  }
}
