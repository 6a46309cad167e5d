import type { Checksum } from '@kimberlite/base';
import type { DoViewChangeMessage } from '@kimberlite/vsr';
import type { Checker, Fail } from './checker.ts';

/** What a replica has acknowledged in its latest view. */
interface Acked {
  view: number;
  readonly ids: Map<number, Checksum>;
}

/** Whether the do_view_change says that an ack of this from its sender counts nowhere. */
function nacks({ head, suffix }: DoViewChangeMessage, op: number, id: Checksum): boolean {
  if (op > head) return true;
  const first = suffix[0];
  const mark = first === undefined ? undefined : suffix[op - first.op];
  return mark !== undefined && (mark.nack || (mark.id !== null && mark.id !== id));
}

/**
 * What a replica has acknowledged it never disowns while it stays in that log view, across views, crashes and damage:
 * no nack, no shorter log, no other id at that op; and a mark that was no nack does not become one (pitfalls 9, 22,
 * 38, 47, 48, 52).
 */
export function nackRules(fail: Fail): Checker {
  const acked: (Acked | undefined)[] = [];
  /** By replica and log view: ops and ids that were told not to be nacks. */
  const held = new Map<string, Map<number, Checksum>>();

  const checkMarks = (replica: number, message: DoViewChangeMessage): void => {
    const name = `${replica}/${message.logView}`;
    let kept = held.get(name);
    if (kept === undefined) {
      kept = new Map();
      held.set(name, kept);
    }
    for (const { op, id, nack } of message.suffix) {
      if (id === null) continue;
      if (!nack) kept.set(op, id);
      else if (kept.get(op) === id) {
        fail(
          'nacks',
          `replica ${replica} nacks op ${op} for view ${message.view}, and did not before, in log view ${message.logView}`,
        );
      }
    }
  };

  return {
    name: 'nacks',
    wiped: (replica) => {
      acked[replica] = undefined;
      for (const name of held.keys()) if (name.startsWith(`${replica}/`)) held.delete(name);
    },
    sentTypes: ['prepare-ok', 'do-view-change'],
    sent: (replica, message) => {
      if (message.type === 'prepare-ok') {
        const { view, op, id } = message;
        let known = acked[replica];
        if (known === undefined || known.view !== view) {
          known = { view, ids: new Map() };
          acked[replica] = known;
        }
        known.ids.set(op, id);
        return;
      }
      if (message.type !== 'do-view-change') return;
      const known = acked[replica];
      if (known !== undefined && known.view === message.logView) {
        for (const [op, id] of known.ids) {
          if (!nacks(message, op, id)) continue;
          fail(
            'nacks',
            `replica ${replica} acknowledged op ${op} id ${id} in view ${known.view} and disowns it for view ${message.view}`,
          );
        }
      }
      checkMarks(replica, message);
    },
  };
}
