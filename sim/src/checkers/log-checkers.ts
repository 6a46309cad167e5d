import type { Checksum, PrepareHeader } from '@kimberlite/base';
import type { KernelState } from '@kimberlite/kernel';
import type { Message, Replica } from '@kimberlite/vsr';
import type { Checker, Fail } from './checker.ts';

/** Headers a message carries, whoever made them. */
function headersOf(message: Message): readonly PrepareHeader[] {
  switch (message.type) {
    case 'prepare':
    case 'repair-prepare':
      return [message.prepare.header];
    case 'start-view':
      return message.suffix;
    case 'headers':
      return message.headers;
    case 'do-view-change':
      return message.suffix.flatMap((mark) => (mark.header === null ? [] : [mark.header]));
    default:
      return [];
  }
}

/** At most one prepare per (view, op), whoever speaks of it. */
export function onePreparePerView(fail: Fail): Checker {
  const known = new Map<string, Checksum>();
  return {
    name: 'one-prepare-per-view',
    sent: (replica, message) => {
      for (const { op, view, id } of headersOf(message)) {
        const slot = `${op}/${view}`;
        const first = known.get(slot);
        if (first === undefined) known.set(slot, id);
        else if (first !== id) {
          fail('one-prepare-per-view', `op ${op} of view ${view} is ${first} and, from replica ${replica}, ${id}`);
        }
      }
    },
  };
}

/** What is committed anywhere is the same everywhere, for ever. */
export function agreement(fail: Fail): Checker {
  const committed = new Map<number, { readonly id: Checksum; readonly replica: number }>();
  const seen = new Map<number, number>();
  return {
    name: 'agreement',
    turned: (replica, state) => {
      const from = seen.get(replica) ?? 0;
      if (state.commit <= from) return;
      let complete = true;
      for (let op = from + 1; op <= state.commit; op++) {
        const id = state.log.get(op)?.id ?? null;
        if (id === null || op > state.head) {
          complete = false;
          continue;
        }
        // An id below a break in the chain is not trusted by the replica either.
        if (op < state.linkedLow && op > state.applied) {
          complete = false;
          continue;
        }
        const first = committed.get(op);
        if (first === undefined) committed.set(op, { id, replica });
        else if (first.id !== id) {
          fail('agreement', `op ${op} is ${first.id} at replica ${first.replica} and ${id} at replica ${replica}`);
        }
        if (complete) seen.set(replica, op);
      }
    },
    down: (replica) => seen.delete(replica),
  };
}

/** Commit number, view, log view and checkpoint never go back, also not across a boot for what is durable. */
export function neverBack(fail: Fail): Checker {
  type Numbers = { view: number; logView: number; commit: number; checkpoint: number };
  const inMemory = new Map<number, Numbers>();
  const durable = new Map<number, Numbers>();
  const compare = (replica: number, what: string, before: Numbers | undefined, now: Numbers): void => {
    if (before === undefined) return;
    for (const name of ['view', 'logView', 'commit', 'checkpoint'] as const) {
      if (now[name] < before[name]) {
        fail('never-back', `${what} ${name} of replica ${replica} went from ${before[name]} back to ${now[name]}`);
      }
    }
  };
  const numbers = (state: Numbers): Numbers => ({
    view: state.view,
    logView: state.logView,
    commit: state.commit,
    checkpoint: state.checkpoint,
  });
  return {
    name: 'never-back',
    turned: (replica, state: Replica<KernelState>) => {
      const now = numbers(state);
      compare(replica, 'the', inMemory.get(replica), now);
      inMemory.set(replica, now);
      const kept = numbers(state.durable);
      compare(replica, 'the durable', durable.get(replica), kept);
      durable.set(replica, kept);
    },
    down: (replica) => inMemory.delete(replica),
  };
}

/**
 * No message speaks for a view before that view is in the superblock of its sender's disk, synced; do_view_change,
 * start_view and prepare_ok also need the log view there. Judged by the disk, not by what the replica believes.
 */
export function persistence(fail: Fail): Checker {
  return {
    name: 'persistence',
    sent: (replica, message, durable) => {
      if (!('view' in message)) return;
      const { view } = message;
      // A do_view_change speaks for the log view it names; start_view and prepare_ok for one equal to the view.
      const logView =
        message.type === 'do-view-change'
          ? message.logView
          : message.type === 'start-view' || message.type === 'prepare-ok'
            ? view
            : 0;
      if (durable.view >= view && durable.logView >= logView) return;
      fail(
        'persistence',
        `replica ${replica} sends ${message.type} of view ${view} (log view ${logView}) with view ${durable.view}, log view ${durable.logView} on disk`,
      );
    },
  };
}
