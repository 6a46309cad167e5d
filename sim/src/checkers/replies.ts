import { bytesEqual } from '@kimberlite/base';
import type { ClientReply } from '@kimberlite/vsr';
import type { Asked } from './asked.ts';
import type { Checker, Fail, World } from './checker.ts';
import type { Commits } from './commits.ts';
import type { Groups } from './groups.ts';
import type { Ledger } from './ledger.ts';
import type { Requests } from './requests.ts';

type OutcomeReply = Extract<ClientReply, { readonly type: 'outcome' }>;

/**
 * What leaves for a client is what the log says: the outcome of that very request of that very client, as it was
 * executed, sent by a replica that has executed it and has been primary in this boot (pitfalls 6, 7, 40, 58). A session
 * is called evicted, and a number used for two requests, only when it is so.
 */
export function replies(
  world: World,
  groups: Groups,
  asked: Asked,
  commits: Commits,
  ledger: Ledger,
  requests: Requests,
  fail: Fail,
): Checker {
  const hasBeenPrimary = new Set<number>();

  const notePrimary = (replica: number): void => {
    const { view, logView } = world.superblock(replica);
    if (view === logView && groups.primaryOf(view) === replica) hasBeenPrimary.add(replica);
  };

  const onOutcome = (replica: number, client: string, reply: OutcomeReply): void => {
    const { session, number, op } = reply;
    const what = (): string =>
      `replica ${replica} tells the outcome of request ${number} of session ${session}, op ${op}`;
    const entry = requests.executionOf(client, session, number);
    if (entry === undefined) return fail('replies', `${what()}, to client ${client}, for whom it was executed nowhere`);
    const same = entry.request.op === op && entry.request.timestamp === reply.timestamp;
    if (!same || !bytesEqual(entry.reply, reply.body)) fail('replies', `${what()}; it is another one`);
    if (!ledger.reached(replica, entry.index)) fail('replies', `${what()}, and has not executed it`);
    if (!hasBeenPrimary.has(replica)) fail('effects', `${what()}, and has not been primary since it booted`);
  };

  const onReply = (replica: number, connection: number, reply: ClientReply): void => {
    const client = asked.clientOf(connection) ?? 'unknown';
    switch (reply.type) {
      case 'outcome':
        return onOutcome(replica, client, reply);
      case 'registered': {
        const known = requests.sessionOf(client);
        if (known === undefined || known.session === reply.session) return;
        return fail(
          'replies',
          `replica ${replica} gives client ${client} session ${reply.session}, not ${known.session}`,
        );
      }
      case 'evicted':
        if (requests.sessionOf(client)?.session !== reply.session) return;
        return fail('replies', `replica ${replica} calls session ${reply.session} evicted, and it is not`);
      case 'mismatch': {
        const { session, number } = reply;
        if (asked.isAmbiguous(client, session, number)) return;
        return fail(
          'replies',
          `replica ${replica} says request ${number} of session ${session} was another one before`,
        );
      }
      case 'answer':
        return commits.claim(reply.op, () => `replica ${replica} answers a query from op ${reply.op}`);
      case 'refused':
      case 'query-refused':
        return;
    }
  };

  return {
    name: 'replies',
    booted: (replica) => void hasBeenPrimary.delete(replica),
    superblockSynced: notePrimary,
    told: (replica, connection, messages) => {
      for (const message of messages) if (message.type === 'reply') onReply(replica, connection, message.reply);
    },
  };
}
