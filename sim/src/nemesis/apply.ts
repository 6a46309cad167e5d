import { unreachable } from '@kimberlite/base';
import { trueClock } from '../clock.ts';
import type { Cluster } from '../cluster.ts';
import { noFaults } from '../disk.ts';
import type { LinkFaults } from '../network.ts';
import type { Workload } from '../workload.ts';
import type { FaultAction } from './action.ts';

/** What faults are done to. */
export interface FaultWorld {
  readonly cluster: Cluster;
  readonly workload: Workload;
  /** Runs `mend` that much later, unless the faults have stopped by then: then everything is mended already. */
  readonly later: (us: number, mend: () => void) => void;
}

/**
 * Does one action; false when it could do nothing: a machine that is off already, a replica or a file that is not
 * there. Total on purpose: what remains of a list after half of it was cut away must still run.
 */
export function applyAction(world: FaultWorld, action: FaultAction): boolean {
  const { cluster } = world;
  switch (action.kind) {
    case 'loss':
      return shape(cluster, { lossRate: action.rate });
    case 'duplication':
      return shape(cluster, { duplicateRate: action.rate });
    case 'replay':
      return shape(cluster, { replayRate: action.rate });
    case 'reordering':
      return shape(cluster, { reorder: true });
    case 'slow-network':
      return slowNetwork(cluster, action);
    case 'partition':
    case 'isolate':
    case 'one-way':
    case 'bridge':
    case 'clog':
      return breakLinks(world, action);
    case 'crash':
      return crash(world, action.replica, action.forUs);
    case 'crash-mid-turn':
      return crashMidTurn(world, action);
    case 'crash-all':
      for (const { replica, afterUs, forUs } of action.crashes) {
        world.later(afterUs, () => void crash(world, replica, forUs));
      }
      return action.crashes.length > 0;
    case 'pause':
      return pause(world, action);
    case 'skew':
    case 'clock-jump':
      return setClock(world, action);
    case 'client-crash':
      return world.workload.crashClient(action.client, action.forUs);
    case 'client-cut':
      return cutClient(world, action);
    case 'slow-disk':
      return slowDisk(cluster, action);
    case 'rot':
      return rot(cluster, action);
    case 'calm':
      return true;
    default:
      return unreachable(action);
  }
}

type Of<Kind extends FaultAction['kind']> = Extract<FaultAction, { readonly kind: Kind }>;

function shape(cluster: Cluster, faults: Partial<LinkFaults>): boolean {
  cluster.network.setFaults({ ...cluster.network.linkFaults, ...faults });
  return true;
}

function slowNetwork(cluster: Cluster, { latencyMinUs, latencyMeanUs }: Of<'slow-network'>): boolean {
  cluster.links.setFaults({ ...cluster.links.linkFaults, latencyMinUs, latencyMeanUs });
  return shape(cluster, { latencyMinUs, latencyMeanUs });
}

function breakLinks(
  { cluster, later }: FaultWorld,
  { kind, links, forUs }: Of<'partition' | 'isolate' | 'one-way' | 'bridge' | 'clog'>,
): boolean {
  const { network, nodes } = cluster;
  const there = links.filter(([from, to]) => from !== to && from < nodes && to < nodes);
  const set = (broken: boolean): void => {
    for (const [from, to] of there) {
      if (kind === 'clog') network.clog(from, to, broken);
      else network.cut(from, to, broken);
    }
  };
  set(true);
  later(forUs, () => set(false));
  return there.length > 0;
}

function crash({ cluster, later }: FaultWorld, replica: number, forUs: number): boolean {
  const machine = cluster.machines[replica];
  if (machine === undefined || machine.power === 'off') return false;
  cluster.crash(replica);
  later(forUs, () => cluster.boot(replica));
  return true;
}

function crashMidTurn({ cluster, later }: FaultWorld, { replica, calls, forUs }: Of<'crash-mid-turn'>): boolean {
  const machine = cluster.machines[replica];
  if (machine === undefined || machine.power !== 'on') return false;
  machine.armCrash(calls);
  cluster.counts.midTurnCrashes += 1;
  later(forUs, () => cluster.boot(replica));
  return true;
}

function pause({ cluster, later }: FaultWorld, { replica, forUs }: Of<'crash' | 'pause'>): boolean {
  const machine = cluster.machines[replica];
  if (machine === undefined || machine.power !== 'on') return false;
  machine.pause();
  later(forUs, () => machine.resume());
  return true;
}

function setClock({ cluster, later }: FaultWorld, action: Of<'skew' | 'clock-jump'>): boolean {
  const clock = cluster.machines[action.replica]?.clock;
  if (clock === undefined) return false;
  clock.setError({ skewUs: action.skewUs, driftPpm: action.kind === 'skew' ? action.driftPpm : 0 });
  if (action.kind === 'clock-jump') later(action.forUs, () => clock.setError(trueClock));
  return true;
}

function cutClient({ cluster, later }: FaultWorld, { client, replica, forUs }: Of<'client-cut'>): boolean {
  if (replica >= cluster.nodes) return false;
  cluster.links.cut(client, replica, true);
  later(forUs, () => cluster.links.cut(client, replica, false));
  return true;
}

function slowDisk(cluster: Cluster, { replica, factor }: Of<'slow-disk'>): boolean {
  const faults = cluster.machines[replica]?.platter.faults;
  if (faults === undefined) return false;
  const slower = ([low, high]: readonly [number, number]): [number, number] => [low * factor, high * factor];
  faults.latencyUs = slower(noFaults.latencyUs);
  faults.syncLatencyUs = slower(noFaults.syncLatencyUs);
  return true;
}

function rot(cluster: Cluster, { replica, file, offset, bit }: Of<'rot'>): boolean {
  const platter = cluster.machines[replica]?.platter;
  if (platter === undefined || offset >= platter.sizeOf(file)) return false;
  platter.flipBit(file, offset, bit);
  return true;
}
