import { pipelineMax } from '@kimberlite/base';
import { quorumsOf } from '@kimberlite/vsr';
import type { Checker, Fail, World } from './checker.ts';

/**
 * A replica is in a view only after a view-change quorum has been in the one before: nobody runs up its view alone,
 * by itself, on old votes or on one vote that was counted twice (pitfalls 32, 60). Judged by the disks.
 */
export function orderlyViews(world: World, fail: Fail): Checker {
  const { nodes } = world;
  const views = Array.from({ length: nodes }, () => 0);
  const { viewChange } = quorumsOf(nodes);
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
      const before = views.filter((other) => other >= view - 1).length;
      views[replica] = view;
      if (before >= viewChange || view <= excused) return;
      fail(
        'orderly-views',
        `replica ${replica} is in view ${view}, and only ${before} of ${nodes} have ever been in view ${view - 1}`,
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
