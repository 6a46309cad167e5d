import { bytesEqual, prepareHeaderBytes, sessionsMax, sessionWindowMax } from '@kimberlite/base';
import { type ClientRequest, decodeBatch } from '@kimberlite/vsr';
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

/** Which request became which entry of the ledger. A session is named by its client too: one op may register several. */
export interface Requests {
  readonly checker: Checker;
  /** The execution of a request; undefined while there was none. */
  readonly executionOf: (client: string, session: number, number: number) => LedgerEntry | undefined;
  /** The client's session, unless it has been evicted since, as far as the log was executed. */
  readonly sessionOf: (client: string) => LoggedSession | undefined;
  /** All of them, and every execution of one that the table has to keep. */
  readonly live: () => readonly LoggedSession[];
  readonly kept: (session: LoggedSession) => ReadonlyMap<number, LedgerEntry>;
}

const keyOf = (client: string, session: number): string => `${client}/${session}`;
const nameOf = ({ session, number }: ClientRequest): string => `request ${number} of session ${session}`;

/**
 * Exactly once per (session, number): a second, plain reading of Table G's right column decides from the committed
 * prepares alone which requests run, and the ledger must be just that. A request that was executed before is executed
 * nowhere else; one that was not is not passed over; a session's requests run in the order of their numbers.
 */
export function watchRequests(prepares: Prepares, commits: Commits, ledger: Ledger, fail: Fail): Requests {
  const sessions = new Map<string, LoggedSession>();
  /** By client and session, of sessions that are gone too. */
  const executions = new Map<string, Map<number, LedgerEntry>>();
  let op = 0;
  let batch: readonly ClientRequest[] = [];
  let next = 0;

  /** Room for one more: the one unused for longest goes. Outcomes never fill the table's bytes in a simulated run. */
  const evict = (): void => {
    let victim: LoggedSession | null = null;
    for (const candidate of sessions.values()) {
      const older = victim === null || candidate.lastOp < victim.lastOp;
      const same = victim !== null && candidate.lastOp === victim.lastOp && candidate.client < victim.client;
      if (older || same) victim = candidate;
    }
    if (victim !== null) sessions.delete(victim.client);
  };

  const register = ({ client }: ClientRequest): void => {
    if (sessions.has(client)) return;
    if (sessions.size >= sessionsMax) evict();
    sessions.set(client, { client, session: op, floor: 1, last: 0, lastOp: op });
  };

  /** The session in which the request is to run now; null, with the reason, when it is to be passed over. */
  const decide = (request: ClientRequest): LoggedSession | string => {
    const { session, number, floor, client } = request;
    const entry = sessions.get(client);
    if (entry === undefined || entry.session !== session) return 'its session is not there';
    if (floor > entry.floor) entry.floor = floor;
    entry.lastOp = op;
    const before = executions.get(keyOf(client, session))?.get(number);
    if (before !== undefined) return `it was executed at op ${before.request.op}`;
    if (number < entry.floor) return `it lies below the floor ${entry.floor}`;
    return number >= entry.floor + sessionWindowMax ? 'it lies beyond the window' : entry;
  };

  const run = (session: LoggedSession, request: ClientRequest, entry: LedgerEntry): void => {
    const { number } = request;
    const inOrder = number === session.last + 1 || (number > session.last && session.floor >= number);
    if (!inOrder) fail('issue-order', `${nameOf(request)} is executed after request ${session.last}, at op ${op}`);
    session.last = Math.max(session.last, number);
    const key = keyOf(session.client, session.session);
    const known = executions.get(key);
    if (known === undefined) executions.set(key, new Map([[number, entry]]));
    else known.set(number, entry);
  };

  const isOf = (request: ClientRequest, { request: executed }: LedgerEntry): boolean =>
    request.session === executed.session &&
    request.client === executed.client &&
    bytesEqual(request.body, executed.body);

  /** Passes over what is not to run, up to the first that is. */
  const nextToRun = (): { readonly session: LoggedSession; readonly request: ClientRequest } | null => {
    for (; next < batch.length; next++) {
      const request = batch[next];
      if (request === undefined) break;
      if (request.session === 0) register(request);
      else {
        const session = decide(request);
        if (typeof session !== 'string') return { session, request };
      }
    }
    return null;
  };

  const finishOp = (): void => {
    const left = nextToRun();
    if (left !== null) fail('exactly-once', `${nameOf(left.request)} is committed at op ${op} and executed nowhere`);
  };

  /** Goes on to that op; those between were executed without running anything. */
  const goTo = (wanted: number): void => {
    while (op < wanted) {
      finishOp();
      op += 1;
      next = 0;
      const id = commits.at(op)?.id;
      const bytes = id === undefined ? null : (prepares.get(id)?.bytes ?? null);
      const decoded = bytes === null ? null : decodeBatch(bytes.subarray(prepareHeaderBytes));
      batch = decoded?.ok === true ? decoded.value : [];
      if (decoded?.ok !== true) fail('agreement', `op ${op} is executed, and nobody has seen its prepare`);
    }
  };

  ledger.onEntry((entry) => {
    goTo(entry.request.op);
    const expected = nextToRun();
    if (expected !== null && isOf(expected.request, entry)) {
      next += 1;
      return run(expected.session, expected.request, entry);
    }
    const what = `replica ${entry.replica} executes at op ${op} a request of session ${entry.request.session}`;
    const which = batch.find((request) => isOf(request, entry));
    if (which === undefined) fail('agreement', `${what} that is not in the committed prepare`);
    else if (expected !== null) fail('exactly-once', `${what}; it is the turn of ${nameOf(expected.request)}`);
    else fail('exactly-once', `${what}: ${nameOf(which)}, but ${String(decide(which))}`);
  });

  return {
    checker: {
      name: 'exactly-once',
      ended: ({ replicas }) => {
        const applied = Math.max(0, ...replicas.map((replica) => replica.applied));
        commits.claim(applied, () => `a replica ends at op ${applied}`);
        goTo(Math.min(applied, commits.highest()));
        finishOp();
      },
    },
    executionOf: (client, session, number) => executions.get(keyOf(client, session))?.get(number),
    sessionOf: (client) => sessions.get(client),
    live: () => [...sessions.values()],
    kept: ({ client, session, floor }) =>
      new Map([...(executions.get(keyOf(client, session)) ?? [])].filter(([number]) => number >= floor)),
  };
}
