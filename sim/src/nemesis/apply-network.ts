import type { Cluster } from '../cluster.ts';
import type { LinkFaults } from '../network.ts';
import type { ActionOf, LinkEnds } from './action.ts';
import type { ActionEffect, FaultWorld } from './world.ts';

type Ambient = 'loss' | 'duplication' | 'reordering' | 'replay' | 'slow-network' | 'narrow-network';

function faultsOf(action: ActionOf<Ambient>): Partial<LinkFaults> {
  switch (action.kind) {
    case 'loss':
      return { lossRate: action.rate };
    case 'duplication':
      return { duplicateRate: action.rate };
    case 'replay':
      return { replayRate: action.rate };
    case 'reordering':
      return { reorder: true };
    case 'slow-network':
      return { latencyMinUs: action.latencyMinUs, latencyMeanUs: action.latencyMeanUs };
    case 'narrow-network':
      return { bytesPerSecond: action.bytesPerSecond };
  }
}

/** What every link does from now on. Its frames decide later whether the fault has struck. */
export function shapeNetwork({ cluster }: FaultWorld, action: ActionOf<Ambient>): ActionEffect {
  const { network, links } = cluster;
  network.setFaults({ ...network.linkFaults, ...faultsOf(action) });
  if (action.kind === 'replay') network.keepsOld = true;
  if (action.kind === 'slow-network') links.setFaults({ ...links.linkFaults, ...faultsOf(action) });
  return 'struck';
}

const linksOf = ({ nodes }: Cluster, links: readonly LinkEnds[]): readonly LinkEnds[] =>
  links.filter(([from, to]) => from !== to && from < nodes && to < nodes);

export function breakLinks(
  { cluster, later }: FaultWorld,
  { kind, links, forUs }: ActionOf<'partition' | 'isolate' | 'one-way' | 'bridge' | 'clog'>,
): ActionEffect {
  const { network } = cluster;
  const there = linksOf(cluster, links);
  if (there.length === 0) return 'nothing';
  const set = (broken: boolean): void => {
    for (const [from, to] of there) {
      if (kind === 'clog') network.clog(from, to, broken);
      else network.cut(from, to, broken);
    }
  };
  set(true);
  later(forUs, () => set(false));
  return 'struck';
}

export function flap({ cluster, later }: FaultWorld, { links, periodUs, forUs }: ActionOf<'flapping'>): ActionEffect {
  const there = linksOf(cluster, links);
  if (there.length === 0) return 'nothing';
  const set = (cut: boolean, passedUs: number): void => {
    const last = passedUs + periodUs >= forUs;
    for (const [from, to] of there) cluster.network.cut(from, to, cut && !last);
    if (!last) later(periodUs, () => set(!cut, passedUs + periodUs));
  };
  set(true, 0);
  return 'struck';
}

export function sendOldMessages({ cluster }: FaultWorld, { count }: ActionOf<'old-messages'>): ActionEffect {
  const { network, nodes } = cluster;
  let sent = 0;
  for (let i = 0; i < count; i++) {
    const from = i % nodes;
    const to = (from + 1 + (Math.floor(i / nodes) % Math.max(1, nodes - 1))) % nodes;
    if (from !== to && network.sendOld(from, to)) sent += 1;
  }
  return sent > 0 ? 'struck' : 'nothing';
}
