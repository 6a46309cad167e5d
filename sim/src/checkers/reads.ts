import { decodeQueryAnswer } from '@kimberlite/wire';
import type { ClientReply } from '@kimberlite/vsr';
import type { Asked } from './asked.ts';
import type { Checker, Fail, World } from './checker.ts';
import { countBits, replicationQuorumOf } from './commits.ts';
import { bitsOf, type Groups } from './groups.ts';
import type { Requests } from './requests.ts';

type Answer = Extract<ClientReply, { readonly type: 'answer' }>;

/** A linearizable query that waits for an answer: it takes an echo of this round or a later one, in this view. */
interface Asking {
  readonly query: number;
  readonly view: number;
  readonly round: number;
}

/**
 * Table F: a linearizable answer leaves only after a replication quorum, the answering replica included, has echoed,
 * in its view, a confirmation round that began after the query arrived (pitfall 41). No stale value has to be read
 * for the mistake to be seen.
 */
export function readConfirmation(world: World, groups: Groups, asked: Asked, fail: Fail): Checker {
  const quorumOf = (view: number): number => replicationQuorumOf(groups.votersOf(view).length);
  /** By replica and client, since a client may be answered on a newer connection than it asked on. */
  const waiting: Map<string, Asking[]>[] = [];
  /** Latest round each replica has begun as primary, and in which view. */
  const begun: ({ readonly view: number; readonly round: number } | undefined)[] = [];
  /** By view, then replica: the latest round echoed. */
  const echoed = new Map<number, number[]>();

  const echo = (replica: number, view: number, round: number): void => {
    let rounds = echoed.get(view);
    if (rounds === undefined) {
      rounds = [];
      echoed.set(view, rounds);
    }
    if (round > (rounds[replica] ?? 0)) rounds[replica] = round;
  };

  const confirmations = (replica: number, { view, round }: Asking): number => {
    let confirmed = 1 << replica;
    echoed.get(view)?.forEach((latest, backup) => {
      if (latest >= round) confirmed |= 1 << backup;
    });
    return countBits(confirmed & bitsOf(groups.votersOf(view)));
  };

  /** A query may have been asked more than once, and some of it lost: it is enough that one of them was confirmed. */
  const onAnswer = (replica: number, client: string, query: number): void => {
    const list = waiting[replica]?.get(client);
    const first = list?.find((asking) => asking.query === query);
    if (list === undefined || first === undefined) return;
    const at = list.findIndex(
      (asking) => asking.query === query && confirmations(replica, asking) >= quorumOf(asking.view),
    );
    list.splice(at < 0 ? list.indexOf(first) : at, 1);
    if (at >= 0) return;
    const { view, round } = first;
    fail(
      'read-confirmation',
      `replica ${replica} answers query ${query}, and ${confirmations(replica, first)} of ${quorumOf(view)} confirmed round ${round} of view ${view}`,
    );
  };

  return {
    name: 'read-confirmation',
    sentTypes: ['prepare', 'prepare-ok', 'heartbeat', 'heartbeat-ok'],
    sent: (replica, message) => {
      const { type } = message;
      if (type === 'heartbeat-ok' || type === 'prepare-ok') echo(replica, message.view, message.round);
      else if (type === 'heartbeat' || type === 'prepare') {
        const { view, round } = message;
        const last = begun[replica];
        if (last === undefined || last.view !== view || last.round < round) begun[replica] = { view, round };
      }
    },
    asked: (replica, connection, messages) => {
      for (const message of messages) {
        if (message.type !== 'query' || message.query.level.type !== 'linearizable') continue;
        const { view } = world.superblock(replica);
        const last = begun[replica];
        const round = 1 + (last !== undefined && last.view === view ? last.round : 0);
        const client = asked.clientOf(connection) ?? '';
        const clients = (waiting[replica] ??= new Map());
        const list = clients.get(client);
        const asking = { query: message.query.query, view, round };
        if (list === undefined) clients.set(client, [asking]);
        else list.push(asking);
      }
    },
    told: (replica, connection, messages) => {
      const client = asked.clientOf(connection) ?? '';
      for (const message of messages) {
        if (message.type === 'reply' && message.reply.type === 'answer') onAnswer(replica, client, message.reply.query);
      }
    },
    down: (replica) => {
      begun[replica] = undefined;
      waiting[replica]?.clear();
    },
  };
}

/**
 * Issue order, where a query arrives: its answer has every request of its session up to the one it comes after, and
 * none that had not reached any replica when it arrived.
 */
export function readOrder(asked: Asked, requests: Requests, fail: Fail): Checker {
  /** By replica, then client and query: of one that was asked again, the latest, since it is owed the least. */
  const waiting: Map<string, { readonly session: number; readonly after: number; readonly last: number }>[] = [];

  const positionOf = (answer: Answer): number => {
    const decoded = decodeQueryAnswer(answer.body);
    return decoded.ok && decoded.value.ok ? decoded.value.value.position : 0;
  };

  const onAnswer = (replica: number, client: string, answer: Answer): void => {
    const wanted = waiting[replica]?.get(`${client}/${answer.query}`);
    if (wanted === undefined) return;
    const { session, after, last } = wanted;
    const what = (): string =>
      `replica ${replica} answers query ${answer.query} of session ${session} from op ${answer.op}`;
    const before = after === 0 ? undefined : requests.executionOf(client, session, after);
    if (before !== undefined && before.request.op > answer.op) {
      fail('issue-order', `${what()}; request ${after}, issued before it, is op ${before.request.op}`);
    }
    for (let number = last + 1; number <= asked.highest(client, session); number++) {
      const later = requests.executionOf(client, session, number);
      if (later === undefined || later.request.op > answer.op) return;
      if (later.request.op === answer.op && later.position > positionOf(answer)) return;
      fail('issue-order', `${what()}; request ${number}, issued after it, is op ${later.request.op}`);
    }
  };

  return {
    name: 'issue-order',
    asked: (replica, connection, messages) => {
      const client = asked.clientOf(connection);
      if (client === undefined) return;
      let inFrame = 0;
      for (const message of messages) {
        // What comes before it in the same frame has reached the replica too, what comes behind it has not.
        if (message.type === 'request') inFrame = Math.max(inFrame, message.request.number);
        if (message.type !== 'query' || message.query.level.type !== 'linearizable') continue;
        const { query, session, after } = message.query;
        const last = Math.max(after, inFrame, asked.highest(client, session));
        (waiting[replica] ??= new Map()).set(`${client}/${query}`, { session, after, last });
      }
    },
    told: (replica, connection, messages) => {
      const client = asked.clientOf(connection) ?? '';
      for (const message of messages) {
        if (message.type === 'reply' && message.reply.type === 'answer') onAnswer(replica, client, message.reply);
      }
    },
    down: (replica) => void waiting[replica]?.clear(),
  };
}
