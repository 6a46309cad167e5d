import { systemOpIn } from '@kimberlite/vsr';
import type { Checker, Fail } from './checker.ts';
import type { Commits } from './commits.ts';
import type { Groups } from './groups.ts';
import type { Prepares } from './prepares.ts';

/**
 * Table H: a machine takes the place of another only as an incarnation of its own, for which a fence is committed, or
 * that the group of its epoch names; and if it has a vote, in a view above every one whose log its predecessor had, so that
 * no acknowledgement of those counts (pitfall 64).
 */
export function replacement(groups: Groups, prepares: Prepares, commits: Commits, fail: Fail): Checker {
  /** By replica: the highest log view and incarnation of any machine it had. */
  const logViews: number[] = [];
  const incarnations: number[] = [];
  const empty = new Set<number>();

  const isFenced = (replica: number, incarnation: number): boolean => {
    for (let op = 1; op <= commits.highest; op++) {
      const id = commits.at(op)?.id;
      const known = id === undefined ? undefined : prepares.get(id);
      if (known === undefined || known.bytes === null) continue;
      const system = systemOpIn({ header: known.header, bytes: known.bytes });
      if (system?.type === 'fence' && system.replica === replica && system.incarnation === incarnation) return true;
    }
    return false;
  };

  const onNewMachine = (replica: number, view: number, incarnation: number): void => {
    const what = `a new machine of replica ${replica} begins in view ${view} as incarnation ${incarnation}`;
    const [logViewBefore = 0, before = 0] = [logViews[replica], incarnations[replica]];
    if (incarnation <= before) return fail('replacement', `${what}; the one before was ${before}`);
    const { voters, incarnations: named } = groups.of(view);
    if (named[replica] !== incarnation && !isFenced(replica, incarnation)) {
      return fail('replacement', `${what}, and no fence before it is committed`);
    }
    if (voters.includes(replica) && view <= logViewBefore) {
      fail('replacement', `${what}; the one before has had the log of view ${logViewBefore}`);
    }
  };

  return {
    name: 'replacement',
    wiped: (replica) => void empty.add(replica),
    superblockSynced: (replica, { view, logView, incarnation }) => {
      if (empty.delete(replica)) onNewMachine(replica, view, incarnation);
      logViews[replica] = Math.max(logViews[replica] ?? 0, logView);
      incarnations[replica] = Math.max(incarnations[replica] ?? 0, incarnation);
    },
  };
}
