import { unreachable } from '@kimberlite/base';
import type { Message } from '@kimberlite/vsr';
import { kept, type Local, type LocalEvent } from './local.ts';
import { replicaCount } from './world.ts';

// What people read: events, messages and replicas in a line each.

const idText = (id: string): string => id.slice(0, 6);

function marksText(message: Extract<Message, { type: 'do-view-change' }>): string {
  const marks = message.suffix.map(({ op, id, present, nack }) => {
    const bits = `${present ? ' present' : ''}${nack ? ' nack' : ''}`;
    return `${op} ${id === null ? 'blank' : idText(id)}${bits}`;
  });
  return marks.length === 0 ? 'nothing' : marks.join(', ');
}

export function describeMessage(message: Message): string {
  const { type } = message;
  switch (message.type) {
    case 'prepare': {
      const { op, view, id } = message.prepare.header;
      const made = view === message.view ? '' : `, made in view ${view}`;
      return `prepare ${op} (${idText(id)}${made}) of view ${message.view}, commit ${message.commit}`;
    }
    case 'prepare-ok':
      return `prepare_ok ${message.op} (${idText(message.id)}) in view ${message.view}`;
    case 'heartbeat':
      return `heartbeat ${message.number} of view ${message.view}, commit ${message.commit}`;
    case 'start-view-change':
      return `start_view_change: away from view ${message.view}`;
    case 'do-view-change': {
      const { view, logView, head, commit } = message;
      return `do_view_change to view ${view}: log view ${logView}, head ${head}, commit ${commit}; ${marksText(message)}`;
    }
    case 'start-view': {
      const suffix = message.suffix.map(({ op, id }) => `${op} (${idText(id)})`).join(', ');
      const answer = message.nonce === '' ? '' : `, answers ${message.nonce}`;
      return `start_view ${message.view}: ${suffix}, commit ${message.commit}${answer}`;
    }
    case 'request-start-view':
      return `request_start_view, being in view ${message.view}`;
    case 'request-headers':
      return `request_headers ${message.low} to ${message.high}`;
    case 'headers':
      return `headers ${message.headers.map(({ op }) => op).join(', ')}`;
    case 'request-prepare':
      return `request_prepare ${message.op} (${idText(message.id)})`;
    case 'repair-prepare':
      return `repair_prepare ${message.prepare.header.op} (${idText(message.prepare.header.id)})`;
    case 'heartbeat-ok':
    case 'request-checkpoint':
    case 'checkpoint-offer':
    case 'request-checkpoint-part':
    case 'checkpoint-part':
    case 'new-epoch':
    case 'ping':
    case 'pong':
      return type;
    default:
      return unreachable(message);
  }
}

function describeCrash({ outcome }: Extract<LocalEvent, { type: 'crash' }>, before: Local): string {
  const { superblockKept, writes, torn, rotted } = outcome;
  const fates = before.writes.map(
    ({ header }, i) => `write of op ${header.op} ${writes.charAt(i) === kept ? 'kept' : 'lost'}`,
  );
  if (before.superblockWrite !== null) fates.unshift(`superblock write ${superblockKept ? 'kept' : 'lost'}`);
  if (torn !== 0) fates.push(`header record of op ${torn} torn`);
  if (rotted !== 0) fates.push(`op ${rotted} rotten`);
  return `crash and restart${fates.length === 0 ? '' : `: ${fates.join(', ')}`}`;
}

export function describeEvent(event: LocalEvent, before: Local): string {
  switch (event.type) {
    case 'deliver':
      return `from ${event.message.from}: ${describeMessage(event.message)}`;
    case 'timer':
      return `timer ${event.timer}`;
    case 'request':
      return `request ${event.request} of a client`;
    case 'log-written':
      return `op ${event.op} (${idText(event.id)}) is on disk`;
    case 'superblock-written':
      return 'the superblock is on disk';
    case 'read-done':
      return `op ${event.op} (${idText(event.id)}) was read`;
    case 'crash':
      return describeCrash(event, before);
    case 'register':
      return 'the clients register';
    default:
      return unreachable(event);
  }
}

/** Status, views, log. */
export function describeLocal({ replica: r, image }: Local): string {
  const { superblock } = image;
  const role = r.view % replicaCount === r.self ? 'primary' : 'backup';
  const status = r.status === 'view-change' ? `view change, ${r.phase}` : r.status;
  const views = `view ${r.view}/${r.logView}, on disk ${superblock.view}/${superblock.logView}`;
  const log = [...r.log].filter(([op]) => op > 0).sort(([a], [b]) => a - b);
  const ids = log.map(([op, { id }]) => `${op} (${idText(id)})`).join(' ');
  return `${status}, ${role}, ${views}, commit ${r.commit}, log ${ids}`;
}
