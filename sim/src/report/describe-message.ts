import { type PrepareHeader, unreachable } from '@kimberlite/base';
import { type ClientReply, decodeBatch, type Message, type Refusal } from '@kimberlite/vsr';
import { type ClientMessage, decodeCommands, decodeOutcomes, type ServerMessage } from '@kimberlite/wire';
import { describeCommand } from './describe-command.ts';
import type { MessageFamily, MessageSummary } from './run-event.ts';

/** Parts of a frame told one by one; the rest is counted. */
const partsMax = 8;

const short = (id: string): string => id.slice(0, 8);

function listed(parts: readonly string[]): string {
  const rest = parts.length - partsMax;
  return parts.slice(0, partsMax).join('; ') + (rest > 0 ? `; and ${rest} more` : '');
}

function summary(
  family: MessageFamily,
  type: string,
  facts: { readonly op?: number; readonly view?: number; readonly detail?: string },
): MessageSummary {
  return { family, type, op: facts.op ?? null, view: facts.view ?? null, detail: facts.detail ?? '' };
}

const headerText = ({ op, view, id, parent }: PrepareHeader): string =>
  `op ${op} of view ${view}, id ${short(id)}, parent ${short(parent)}`;

const commandsText = (body: Uint8Array): string => {
  const commands = decodeCommands(body);
  return commands.ok ? listed(commands.value.map(describeCommand)) : 'unreadable commands';
};

/** `bytes` are the whole prepare, header first. */
function prepareText(header: PrepareHeader, bytes: Uint8Array): string {
  const batch = decodeBatch(bytes.subarray(bytes.length - header.bodyLengthBytes));
  if (!batch.ok) return headerText(header);
  const requests = batch.value.map(({ client, session, number, body }) =>
    session === 0
      ? `registers client ${short(client)}`
      : `request ${number} of ${short(client)}: ${commandsText(body)}`,
  );
  return `${headerText(header)}; ${listed(requests)}`;
}

export function describePeerMessage(message: Message): MessageSummary {
  const { type } = message;
  switch (message.type) {
    case 'prepare': {
      const { header, bytes } = message.prepare;
      const detail = `commit ${message.commit}, round ${message.round}, ${prepareText(header, bytes)}`;
      return summary('prepare', type, { op: header.op, view: message.view, detail });
    }
    case 'prepare-ok': {
      const detail = `id ${short(message.id)}, round ${message.round}, checkpoint ${message.checkpoint}`;
      return summary('ack', type, { op: message.op, view: message.view, detail });
    }
    case 'heartbeat':
    case 'heartbeat-ok': {
      const detail = `number ${message.number}, commit ${message.commit}, round ${message.round}`;
      return summary('heartbeat', type, { view: message.view, detail });
    }
    case 'ping':
    case 'pong':
      return summary('clock', type, { detail: `sent at ${message.sentAtUs} us` });
    case 'start-view-change':
      return summary('view-change', type, { view: message.view });
    case 'do-view-change': {
      const { logView, commit, checkpoint, head, suffix } = message;
      const marks = suffix.map(({ op, id, present, nack }) => {
        const bits = `${present ? ' present' : ''}${nack ? ' nack' : ''}`;
        return `${op} ${id === null ? 'blank' : short(id)}${bits}`;
      });
      const detail = `log view ${logView}, commit ${commit}, checkpoint ${checkpoint}, suffix ${listed(marks)}`;
      return summary('view-change', type, { op: head, view: message.view, detail });
    }
    case 'start-view': {
      const head = message.suffix.at(-1)?.op ?? 0;
      const suffix = message.suffix.map(({ op, view, id }) => `${op}/${view} ${short(id)}`);
      const detail = `commit ${message.commit}, checkpoint ${message.checkpoint}, suffix ${listed(suffix)}`;
      return summary('view-change', type, { op: head, view: message.view, detail });
    }
    case 'request-start-view':
      return summary('view-change', type, { view: message.view });
    case 'request-headers':
      return summary('repair', type, {
        op: message.high,
        detail: `from op ${message.low}, below ${short(message.highId)}`,
      });
    case 'headers': {
      const op = message.headers[0]?.op ?? 0;
      return summary('repair', type, { op, detail: listed(message.headers.map(headerText)) });
    }
    case 'request-prepare':
      return summary('repair', type, { op: message.op, detail: `id ${short(message.id)}` });
    case 'repair-prepare': {
      const { header, bytes } = message.prepare;
      return summary('repair', type, { op: header.op, detail: prepareText(header, bytes) });
    }
    case 'request-checkpoint':
      return summary('repair', type, {});
    case 'checkpoint-offer': {
      const texts = message.offers.map(({ ref, stable }) => `op ${ref.header.op}${stable ? ', a quorum has it' : ''}`);
      return summary('repair', type, { op: message.offers[0]?.ref.header.op ?? 0, detail: listed(texts) });
    }
    case 'request-checkpoint-part':
    case 'checkpoint-part': {
      const gone = 'bytes' in message && message.bytes === null ? ', not here' : '';
      return summary('repair', type, { detail: `part ${message.part} of ${short(message.checksum)}${gone}` });
    }
    case 'new-epoch': {
      const { group, boundary } = message.membership;
      const detail = `epoch ${group.epoch}, voters ${listed(group.voters.map(String))}, standbys ${listed(group.standbys.map(String))}`;
      return summary('view-change', type, { op: boundary?.op ?? 0, detail });
    }
    default:
      return unreachable(message);
  }
}

/** One summary a frame: named for its first message, with all of them in the detail. */
function joined(all: readonly MessageSummary[]): MessageSummary {
  // An answer says more than a greeting that travels with it.
  const first = all.find(({ family }) => family !== 'session') ?? all[0];
  if (first === undefined) return summary('session', 'empty frame', {});
  if (all.length === 1) return first;
  const detail = listed(all.map(({ type, detail: what }) => (what === '' ? type : `${type} ${what}`)));
  return { ...first, type: `${first.type} +${all.length - 1}`, detail };
}

function describeClientMessage(message: ClientMessage): MessageSummary {
  const { type } = message;
  switch (message.type) {
    case 'hello':
      return summary('session', type, { detail: `client ${short(message.client)}` });
    case 'request': {
      const { session, number, body } = message.request;
      if (session === 0) return summary('session', 'register', {});
      return summary('request', type, { detail: `${number} of session ${session}: ${commandsText(body)}` });
    }
    case 'query': {
      const { session, query, after, level } = message.query;
      return summary('query', type, {
        detail: `${query} of session ${session}, ${level.type}, after request ${after}`,
      });
    }
    case 'status':
      return summary('session', type, {});
    default:
      return unreachable(message);
  }
}

const refusalText = ({ reason, view, primary }: Refusal): string => `${reason}, view ${view}, ask replica ${primary}`;

function outcomesText(body: Uint8Array): string {
  const outcomes = decodeOutcomes(body);
  if (!outcomes.ok) return 'unreadable outcomes';
  return listed(outcomes.value.map((one) => (one.ok ? `position ${one.position}` : `rejected: ${one.error.code}`)));
}

function describeReply(reply: ClientReply): MessageSummary {
  const { type } = reply;
  switch (reply.type) {
    case 'registered':
      return summary('session', type, { detail: `session ${reply.session}` });
    case 'outcome':
      return summary('reply', type, { op: reply.op, detail: `request ${reply.number}: ${outcomesText(reply.body)}` });
    case 'refused':
      return summary('reply', type, { detail: `request ${reply.number}: ${refusalText(reply.refusal)}` });
    case 'evicted':
      return summary('reply', type, { detail: `session ${reply.session}` });
    case 'mismatch':
      return summary('reply', type, { detail: `request ${reply.number}` });
    case 'answer':
      return summary('reply', type, { op: reply.op, detail: `query ${reply.query}` });
    case 'query-refused':
      return summary('reply', type, { detail: `query ${reply.query}: ${refusalText(reply.refusal)}` });
    default:
      return unreachable(reply);
  }
}

function describeServerMessage(message: ServerMessage): MessageSummary {
  const { type } = message;
  switch (message.type) {
    case 'welcome':
      return summary('session', type, { view: message.view, detail: `primary ${message.primary}` });
    case 'view':
      return summary('session', type, { view: message.view, detail: `primary ${message.primary}` });
    case 'reply':
      return describeReply(message.reply);
    case 'status':
      return summary('session', type, {});
    case 'error':
      return summary('session', type, { detail: `${message.code}: ${message.message}` });
    default:
      return unreachable(message);
  }
}

export const describeClientFrame = (messages: readonly ClientMessage[]): MessageSummary =>
  joined(messages.map(describeClientMessage));

export const describeServerFrame = (messages: readonly ServerMessage[]): MessageSummary =>
  joined(messages.map(describeServerMessage));

/** A frame that its own codec does not read. */
export const damagedFrame = (reason: string): MessageSummary => summary('damaged', 'damaged frame', { detail: reason });
