import { type Checker, describeHeader, type Fail } from './checker.ts';
import type { Commits } from './commits.ts';
import type { Groups } from './groups.ts';
import type { Ledger } from './ledger.ts';
import type { KnownPrepare, Prepares } from './prepares.ts';

/** What a primary heard before it chose the log of its view. */
interface Heard {
  readonly view: number;
  timestamp: number;
}

/**
 * Each prepare is later than the one it follows, whichever views and boots made the two; an op is executed with the
 * timestamp of its prepare; and a new primary starts above every timestamp it was told of in do_view_changes, those
 * of undone ops included (pitfall 17).
 */
export function timestamps(groups: Groups, prepares: Prepares, commits: Commits, ledger: Ledger, fail: Fail): Checker {
  const heard: (Heard | undefined)[] = [];
  /** By view, fixed when its primary began to write the log it had chosen. */
  const floors = new Map<number, number>();

  const compare = (before: KnownPrepare, after: KnownPrepare): void => {
    if (before.header.timestamp < after.header.timestamp) return;
    const [first, second] = [before.header, after.header];
    fail(
      'timestamps',
      `${describeHeader(second)} at ${second.timestamp} follows ${describeHeader(first)} at ${first.timestamp}`,
    );
  };

  prepares.onNew((known) => {
    const { id, parent, view, timestamp } = known.header;
    const before = prepares.get(parent);
    if (before !== undefined) compare(before, known);
    for (const after of prepares.after(id)) compare(known, after);
    const floor = floors.get(view);
    if (floor === undefined || timestamp > floor) return;
    fail('timestamps', `${describeHeader(known.header)} at ${timestamp}; its primary had been told of ${floor}`);
  });
  ledger.onEntry(({ request: { op, timestamp } }) => {
    const id = commits.at(op)?.id;
    const known = id === undefined ? undefined : prepares.get(id);
    if (known === undefined || known.header.timestamp === timestamp) return;
    fail('timestamps', `op ${op} was prepared at ${known.header.timestamp} and is executed at ${timestamp}`);
  });

  return {
    name: 'timestamps',
    heardTypes: ['do-view-change'],
    heard: (replica, message) => {
      if (message.type !== 'do-view-change') return;
      const { view, timestamp } = message;
      const before = heard[replica];
      if (before === undefined || before.view < view) heard[replica] = { view, timestamp };
      else if (before.view === view) before.timestamp = Math.max(before.timestamp, timestamp);
    },
    superblockWritten: (replica, { view, logView }) => {
      const told = heard[replica];
      if (told === undefined || told.view !== view || view !== logView || groups.primaryOf(view) !== replica) return;
      if (!floors.has(view)) floors.set(view, told.timestamp);
    },
    down: (replica) => {
      heard[replica] = undefined;
    },
  };
}
