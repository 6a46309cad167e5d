import type { ClientMessage, ServerMessage } from './client-message.ts';

// Thousands of small reads are in flight at a time, and what stands around each of them costs more than it does
// itself. So neighbours in a frame that share everything but number and body travel as one message, and come out of
// the decoder as what they were.

type QueryMessage = Extract<ClientMessage, { type: 'query' }>;
type Reply = Extract<ServerMessage, { type: 'reply' }>;
type Answer = Extract<Reply['reply'], { type: 'answer' }>;

/** Number and body of each. */
export type Numbered = readonly (readonly [number: number, body: Uint8Array])[];

/** Queries of one session, of one level, behind the same request. */
export interface QueryRun extends Omit<QueryMessage['query'], 'query' | 'body'> {
  readonly type: 'queries';
  readonly queries: Numbered;
}

/** Answers from one state. */
export interface AnswerRun extends Pick<Answer, 'op' | 'timestamp'> {
  readonly type: 'answers';
  readonly answers: Numbered;
}

/** Gathers neighbours: `open` starts a run with an item, `joins` adds one to it or says that it does not belong. */
function gather<Item, Run>(
  items: readonly Item[],
  open: (item: Item) => Run | null,
  joins: (run: Run, item: Item) => boolean,
): (Item | Run)[] {
  const out: (Item | Run)[] = [];
  let run: Run | null = null;
  for (const item of items) {
    if (run !== null && joins(run, item)) continue;
    run = open(item);
    out.push(run ?? item);
  }
  return out;
}

type Level = QueryMessage['query']['level'];
const positionOf = (level: Level): number | null => (level.type === 'at-least' ? level.position : null);
const isSameLevel = (a: Level, b: Level): boolean => a.type === b.type && positionOf(a) === positionOf(b);

type Growing<Run, Key extends keyof Run> = Omit<Run, Key> & { [K in Key]: (readonly [number, Uint8Array])[] };

export function gatherQueries(messages: readonly ClientMessage[]): readonly (ClientMessage | QueryRun)[] {
  type Open = Growing<QueryRun, 'queries'>;
  const open = (message: ClientMessage): Open | null => {
    if (message.type !== 'query') return null;
    const { query, body, ...shared } = message.query;
    return { type: 'queries', ...shared, queries: [[query, body]] };
  };
  const joins = (run: Open, message: ClientMessage): boolean => {
    if (message.type !== 'query') return false;
    const { query, body, session, after, level } = message.query;
    const same = session === run.session && after === run.after && isSameLevel(level, run.level);
    if (same) run.queries.push([query, body]);
    return same;
  };
  return messages.length < 2 ? messages : gather(messages, open, joins);
}

export function gatherAnswers(messages: readonly ServerMessage[]): readonly (ServerMessage | AnswerRun)[] {
  type Open = Growing<AnswerRun, 'answers'>;
  const answerOf = (message: ServerMessage): Answer | null =>
    message.type === 'reply' && message.reply.type === 'answer' && message.reply.staleForUs === undefined
      ? message.reply
      : null;
  const open = (message: ServerMessage): Open | null => {
    const answer = answerOf(message);
    if (answer === null) return null;
    const { query, op, timestamp, body } = answer;
    return { type: 'answers', op, timestamp, answers: [[query, body]] };
  };
  const joins = (run: Open, message: ServerMessage): boolean => {
    const answer = answerOf(message);
    if (answer === null || answer.op !== run.op || answer.timestamp !== run.timestamp) return false;
    run.answers.push([answer.query, answer.body]);
    return true;
  };
  return messages.length < 2 ? messages : gather(messages, open, joins);
}

/** Messages that a frame stands for, so that their number is known before they are made. */
export function countMessages(packed: readonly (ClientMessage | ServerMessage | QueryRun | AnswerRun)[]): number {
  let count = 0;
  for (const message of packed) {
    if (message.type === 'queries') count += message.queries.length;
    else count += message.type === 'answers' ? message.answers.length : 1;
  }
  return count;
}

export function spreadQueries(messages: readonly (ClientMessage | QueryRun)[]): readonly ClientMessage[] {
  return messages.flatMap((message): ClientMessage | ClientMessage[] => {
    if (message.type !== 'queries') return message;
    const { session, after, level } = message;
    return message.queries.map(([query, body]) => ({ type: 'query', query: { session, query, after, level, body } }));
  });
}

export function spreadAnswers(messages: readonly (ServerMessage | AnswerRun)[]): readonly ServerMessage[] {
  return messages.flatMap((message): ServerMessage | ServerMessage[] => {
    if (message.type !== 'answers') return message;
    const { op, timestamp } = message;
    return message.answers.map(([query, body]) => ({
      type: 'reply',
      reply: { type: 'answer', query, op, timestamp, body },
    }));
  });
}
