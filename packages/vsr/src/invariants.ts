import { assert, pipelineMax } from '@kimberlite/base';
import { isNormalPrimary, type Replica } from './replica.ts';

/** Checked on every exit of `step`: cheap, and always on. The fields say the same in words. */
export function checkInvariants<S>(r: Replica<S>): void {
  const { last } = r;
  assert(r.view >= last.view, 'the view never goes back (pitfall 3)');
  assert(r.logView >= last.logView, 'the log view never goes back');
  assert(r.commit >= last.commit, 'the commit number never goes back');
  assert(r.checkpoint >= last.checkpoint, 'the checkpoint never goes back');
  assert(r.logView <= r.view, 'a log view is a view this replica has been in');
  assert(r.applied <= r.commit, 'only committed ops are applied');
  assert(r.commit <= r.head, 'committed ops are in the log');
  assert(r.head - r.commit <= pipelineMax, () => `${r.head - r.commit} ops are undecided (pitfall 55)`);
  assert(r.durable.view <= r.view && r.durable.logView <= r.logView, 'memory is never behind the superblock');
  if (r.status === 'normal') {
    const settled = r.logView === r.view && r.durable.view === r.view && r.durable.logView === r.view;
    assert(settled, 'a normal replica has its view and log view durable (pitfall 21)');
  }
  if (!isNormalPrimary(r)) {
    assert(r.acks.size === 0 && r.queue.length === 0 && r.queries.size === 0, 'only a primary collects');
  }
  assert(
    !r.serving || (isNormalPrimary(r) && r.applied === r.commit),
    'a serving primary has applied what is committed',
  );
  last.view = r.view;
  last.logView = r.logView;
  last.commit = r.commit;
  last.checkpoint = r.checkpoint;
}
