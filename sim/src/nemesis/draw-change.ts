import { type RandomState, randomChance, randomInt, randomPick, replicasMax } from '@kimberlite/base';
import { membersOf } from '@kimberlite/vsr';
import type { Cluster } from '../cluster.ts';
import type { FaultAction } from './action.ts';
import type { Atlas } from './atlas.ts';
import { mayJoin } from './membership.ts';

/** Voters below which a group is made only now and then: one that is lost stops it. */
const votersMin = 3;
/** And above which it mostly shrinks. */
const votersMax = 5;

/** A change of the group, as an operator might want it now; none while another one is at work. */
export function drawChange(cluster: Cluster, atlas: Atlas, random: RandomState, atUs: number): readonly FaultAction[] {
  if (cluster.changing) return [];
  const { group, machines } = cluster;
  const { voters, standbys } = group;
  const members = membersOf(group);
  const numbers = Array.from({ length: Math.min(replicasMax, machines.length + 1) }, (_, i) => i);
  const free = numbers.filter((i) => !members.includes(i) && mayJoin(cluster, i));
  const [standby] = standbys;
  const joins = standby ?? (free.length === 0 ? null : randomPick(random, free));
  const leaves = randomPick(random, randomChance(random, 0.15) ? members : voters);
  const wanted = ((): Pick<Extract<FaultAction, { readonly kind: 'change-members' }>, 'joins' | 'leaves'> => {
    const roll = randomInt(random, 0, 9);
    if (joins !== null && roll < 3) return { joins, leaves };
    const floor = randomChance(random, 0.2) ? 1 : votersMin;
    const grows = voters.length < floor || (voters.length < votersMax ? roll < 7 : roll < 4);
    if (joins !== null && (grows || voters.length <= floor)) return { joins, leaves: null };
    return { joins: null, leaves: voters.length <= floor ? null : leaves };
  })();
  if (wanted.joins === null && wanted.leaves === null) return [];
  const after = voters.filter((replica) => replica !== wanted.leaves);
  if (wanted.joins !== null) after.push(wanted.joins);
  return atlas.canLive({ voters: after }) ? [{ kind: 'change-members', atUs, ...wanted }] : [];
}
