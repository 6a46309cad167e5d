import { pipelineMax } from '@kimberlite/base';
import { quorumsOf, viewsPerEpoch } from '@kimberlite/vsr';
import type { Checker, Fail } from './checker.ts';
import type { Groups } from './groups.ts';

/**
 * A replica is in a view only after a view-change quorum has been in the one before: nobody runs up its view alone,
 * by itself, on old votes or on one vote that was counted twice (pitfalls 32, 60). Judged by the disks, and by the
 * group of the view's epoch; the first view of an epoch is entered by whoever knows the op that made it committed.
 */
export function orderlyViews(groups: Groups, fail: Fail): Checker {
  const views: number[] = [];
  /** A machine that takes the place of a lost one begins in a view that nobody has been in. */
  const replacing = new Set<number>();
  let excused = 0;
  return {
    name: 'orderly-views',
    wiped: (replica) => {
      replacing.add(replica);
    },
    superblockSynced: (replica, { view }) => {
      if (replacing.delete(replica)) excused = Math.max(excused, view);
      if (view <= (views[replica] ?? 0)) return;
      const voters = groups.votersOf(view);
      const before = voters.filter((voter) => (views[voter] ?? 0) >= view - 1).length;
      views[replica] = view;
      const isFirst = view > viewsPerEpoch && view % viewsPerEpoch === 1;
      if (before >= quorumsOf(voters.length).viewChange || view <= excused || isFirst) return;
      fail(
        'orderly-views',
        `replica ${replica} is in view ${view}, and only ${before} of ${voters.length} have ever been in view ${view - 1}`,
      );
    },
  };
}

/** No primary prepares more than P ops above the commit number it sends along, inherited ones included (pitfall 55). */
export function pipelineBound(fail: Fail): Checker {
  return {
    name: 'pipeline-bound',
    sent: (replica, message) => {
      if (message.type !== 'prepare') return;
      const undecided = message.prepare.header.op - message.commit;
      if (undecided <= pipelineMax) return;
      fail('pipeline-bound', `primary ${replica} has ${undecided} ops undecided, and ${pipelineMax} are allowed`);
    },
  };
}
