import { replicasMax, unreachable } from '@kimberlite/base';
import type { Cluster } from '../cluster.ts';
import type { BrokenWay } from '../plan.ts';

/** A replica that stays broken while a quorum is well again. */
export function breakFor(cluster: Cluster, replica: number, how: BrokenWay): void {
  const { network } = cluster;
  const machine = cluster.machines[replica];
  const others = Array.from({ length: replicasMax }, (_, other) => other).filter((other) => other !== replica);
  switch (how) {
    case 'down':
      cluster.crash(replica);
      return;
    case 'paused':
      machine?.pause();
      return;
    case 'cut':
      for (const other of others) {
        network.cut(other, replica, true);
        network.cut(replica, other, true);
      }
      return;
    // It hears nobody and keeps asking everybody for another view (pitfall 31).
    case 'deaf':
      for (const other of others) network.cut(other, replica, true);
      return;
    case 'mute':
      for (const other of others) network.cut(replica, other, true);
      return;
    case 'clogged':
      for (const other of others) {
        network.clog(other, replica, true);
        network.clog(replica, other, true);
      }
      return;
    default:
      return unreachable(how);
  }
}
