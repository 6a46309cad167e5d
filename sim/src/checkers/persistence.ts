import type { Checksum } from '@kimberlite/base';
import type { DoViewChangeMessage, Message, PrepareOkMessage } from '@kimberlite/vsr';
import type { ServerMessage } from '@kimberlite/wire';
import type { Checker, Fail, World } from './checker.ts';
import { type Disks, type HeaderClaim, isClaimSynced, isHeaderWritten } from './platters.ts';
import type { Prepares } from './prepares.ts';

/** The log view that has to be on the disk before the message may leave. */
function logViewOf(message: Message): number {
  switch (message.type) {
    case 'do-view-change':
      return message.logView;
    // These speak for the log of their view.
    case 'start-view':
    case 'prepare':
    case 'prepare-ok':
    case 'heartbeat':
    case 'heartbeat-ok':
      return message.view;
    default:
      return 0;
  }
}

/** The view a client is told of. */
function viewTold(message: ServerMessage): number {
  switch (message.type) {
    case 'welcome':
    case 'view':
      return message.view;
    case 'reply': {
      const { reply } = message;
      return reply.type === 'refused' || reply.type === 'query-refused' ? reply.refusal.view : 0;
    }
    default:
      return 0;
  }
}

/**
 * The persistence rules, seen from outside: what is on the sender's disk, synced, when something leaves.
 * - No message speaks for a view that is not in its superblock, and none that needs the log view without it; a
 *   do_view_change carries the log view and the suffix of the superblock (pitfalls 2, 4, 21, 50, 52).
 * - prepare_ok leaves only when that prepare is there, whole (pitfalls 20, 45, 48, 53).
 * - Its header record follows, and is written only over a synced body (pitfall 63); another one for the same op not
 *   before that write is over, or the older could land last (pitfall 46).
 * - Clients are told of durable log views only: one that was merely joined may be a view nobody else will reach
 *   (pitfall 32).
 */
export function persistence(world: World, disks: Disks, prepares: Prepares, fail: Fail): Checker {
  /** By replica and op: the header record that was written last, in this boot. */
  const recorded: Map<number, HeaderClaim>[] = [];

  const checkHeaderOrder = (replica: number, claim: HeaderClaim): void => {
    const ops = (recorded[replica] ??= new Map());
    const before = ops.get(claim.op);
    ops.set(claim.op, claim);
    if (before === undefined || isHeaderWritten(world.platter(replica), before)) return;
    fail(
      'persistence',
      `replica ${replica} writes the header record of op ${claim.op} while another write to it is under way`,
    );
  };

  const checkViews = (replica: number, message: Message): void => {
    if (!('view' in message)) return;
    const logView = logViewOf(message);
    const disk = world.superblock(replica);
    if (disk.view >= message.view && disk.logView >= logView) return;
    fail(
      'persistence',
      `replica ${replica} sends ${message.type} of view ${message.view} (log view ${logView}) with view ${disk.view}, log view ${disk.logView} on disk`,
    );
  };

  const checkAck = (replica: number, { op, id }: PrepareOkMessage): void => {
    const bytes = prepares.get(id)?.bytes ?? null;
    if (bytes === null) return fail('persistence', `replica ${replica} acks op ${op} id ${id}, which nobody has seen`);
    const found = disks.lookUp(replica, op, bytes);
    if (found === 'synced' || found === 'damaged') return;
    fail('persistence', `replica ${replica} acks op ${op} id ${id}; on its disk it is: ${found}`);
  };

  const checkSuffix = (replica: number, { view, logView, suffix }: DoViewChangeMessage): void => {
    const disk = world.superblock(replica);
    if (disk.view !== view || disk.logView !== logView) return;
    const same =
      disk.suffix.length === suffix.length &&
      suffix.every(({ op, id }, i) => disk.suffix[i]?.op === op && disk.suffix[i]?.id === id);
    if (same) return;
    const show = (list: readonly { readonly op: number; readonly id: Checksum | null }[]): string =>
      list.map(({ op, id }) => `${op}:${id?.slice(0, 8) ?? 'blank'}`).join(' ');
    fail(
      'persistence',
      `replica ${replica} sends do-view-change of view ${view} with suffix ${show(suffix)}; its superblock has ${show(disk.suffix)}`,
    );
  };

  return {
    name: 'persistence',
    wiped: (replica) => void recorded[replica]?.clear(),
    sentTypes: [
      'prepare',
      'prepare-ok',
      'heartbeat',
      'heartbeat-ok',
      'start-view-change',
      'do-view-change',
      'start-view',
      'request-start-view',
    ],
    sent: (replica, message) => {
      checkViews(replica, message);
      if (message.type === 'prepare-ok') checkAck(replica, message);
      if (message.type === 'do-view-change') checkSuffix(replica, message);
    },
    booted: (replica) => void recorded[replica]?.clear(),
    headerRecorded: (replica, claim) => {
      checkHeaderOrder(replica, claim);
      if (isClaimSynced(world.platter(replica), claim)) return;
      fail('persistence', `replica ${replica} writes the header record of op ${claim.op} before its body is synced`);
    },
    told: (replica, _connection, messages) => {
      const { view, logView } = world.superblock(replica);
      for (const message of messages) {
        const told = viewTold(message);
        if (told <= logView) continue;
        fail(
          'persistence',
          `replica ${replica} tells a client of view ${told} with view ${view}, log view ${logView} on disk`,
        );
      }
    },
  };
}
