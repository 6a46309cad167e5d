import { flood, floodSessions, rudeClient } from '../rude-clients.ts';
import type { ActionOf } from './action.ts';
import type { ActionEffect, FaultWorld } from './world.ts';

export function disturbClient(
  { cluster, workload, later }: FaultWorld,
  action: ActionOf<'client-crash' | 'slow-reader' | 'client-cut'>,
): ActionEffect {
  const { client, forUs } = action;
  if (!workload.hasClient(client)) return 'nothing';
  switch (action.kind) {
    case 'client-crash':
      workload.crashClient(client, forUs);
      return 'struck';
    case 'slow-reader':
      cluster.links.deafen(client, true);
      later(forUs, () => cluster.links.deafen(client, false));
      return 'struck';
    case 'client-cut':
      if (action.replica >= cluster.nodes) return 'nothing';
      cluster.links.cut(client, action.replica, true);
      later(forUs, () => cluster.links.cut(client, action.replica, false));
      return 'struck';
  }
}

/** Clients of their own, whose commands change nothing: what they do to the others is the point. */
export function overrun(
  { cluster, struck }: FaultWorld,
  action: ActionOf<'rude-client' | 'flood' | 'session-flood'>,
): ActionEffect {
  const { kind, replica } = action;
  if (replica >= cluster.nodes) return 'nothing';
  const setup = { cluster, replica, struck: () => struck(kind) };
  switch (action.kind) {
    case 'rude-client':
      rudeClient(setup);
      break;
    case 'flood':
      flood(setup, action);
      break;
    case 'session-flood':
      floodSessions(setup, action.sessions);
      break;
  }
  return 'waiting';
}
