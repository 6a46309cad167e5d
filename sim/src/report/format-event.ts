import { unreachable } from '@kimberlite/base';
import { formatUs } from '../trace.ts';
import type { MessageSummary, Party, ReplicaSummary, RunEvent } from './run-event.ts';

const partyText = ({ type, index }: Party): string => (type === 'replica' ? `${index}` : `c${index}`);

export const messageLabel = ({ type, op, view }: MessageSummary): string =>
  [type, op === null ? '' : `op ${op}`, view === null ? '' : `view ${view}`].filter((part) => part !== '').join(' ');

function messageText(message: MessageSummary): string {
  const { detail } = message;
  return detail === '' ? messageLabel(message) : `${messageLabel(message)} (${detail})`;
}

export function summaryText(after: ReplicaSummary): string {
  const { status, isPrimary, view, logView, head, commit, applied, durableView, durableLogView, stateHash } = after;
  const role = isPrimary ? 'primary, ' : '';
  const durable = `durable ${durableView}/${durableLogView}`;
  const numbers = `view ${view}/${logView} ${durable} head ${head} commit ${commit} applied ${applied}`;
  return `${role}${status} ${numbers} state ${stateHash.slice(0, 8)}`;
}

function bodyText(event: RunEvent): string {
  switch (event.kind) {
    case 'sent':
      return `${partyText(event.from)}→${partyText(event.to)} #${event.id} ${event.bytes} B ${messageText(event.message)}`;
    case 'received': {
      const copy = event.copy > 1 ? ` copy ${event.copy}` : '';
      return `${partyText(event.from)}→${partyText(event.to)} #${event.id ?? '?'}${copy} ${messageLabel(event.message)}`;
    }
    case 'connection':
      return `client ${event.client} replica ${event.replica} connection ${event.connection} ${event.what}`;
    case 'disk-started':
      return `replica ${event.replica} ${event.call} ${event.file} ${event.detail}`.trimEnd();
    case 'disk-done': {
      const error = event.error === null ? '' : ` failed: ${event.error}`;
      return `replica ${event.replica} ${event.call} ${event.file} ${event.detail}`.trimEnd() + error;
    }
    case 'timer':
      return `replica ${event.replica} ${event.timer}`;
    case 'turn':
      return `replica ${event.replica}`;
    case 'power':
      return `replica ${event.replica} ${event.power}`;
    case 'executed': {
      const { replica, op, position, commands } = event;
      const texts = commands.map(({ text, tookEffect }) => (tookEffect ? text : `${text} (no effect)`));
      return `replica ${replica} op ${op} position ${position}: ${texts.join('; ')}`;
    }
    case 'called':
    case 'returned': {
      const { id, type, table, key, marker } = event.call;
      const what = `${type} ${table}/${key} ${marker}`.trimEnd();
      return `client ${event.client} call ${id} ${what}${event.kind === 'returned' ? `: ${event.result}` : ''}`;
    }
    case 'fault':
    case 'note':
      return event.text;
    case 'journal':
      return `replica ${event.replica} ${event.text}`;
    case 'failure':
      return `${event.checker}: ${event.message.replaceAll('\n', ' ⏎ ')}`;
    default:
      return unreachable(event);
  }
}

/** One line an event: the time, the kind, what it was, and how it left the replica if that changed. */
export function formatEvent(event: RunEvent): string {
  const line = `${formatUs(event.atUs)} ${event.kind} ${bodyText(event)}`;
  return 'after' in event && event.after !== null ? `${line} ⇒ ${summaryText(event.after)}` : line;
}
