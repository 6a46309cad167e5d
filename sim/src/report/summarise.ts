import type { KernelState } from '@kimberlite/kernel';
import { type Replica, replicaStatus } from '@kimberlite/vsr';
import type { Call, CallEnd } from '../history.ts';
import type { CallSummary, ReplicaSummary } from './run-event.ts';

export function summariseReplica(state: Replica<KernelState>): ReplicaSummary {
  const { status, view, logView, head, commit, applied, checkpoint, durable, machine } = state;
  return {
    status: status === 'view-change' ? `${status}, ${state.phase}` : status,
    isPrimary: replicaStatus(state).role === 'primary',
    view,
    logView,
    head,
    commit,
    applied,
    checkpoint,
    durableView: durable.view,
    durableLogView: durable.logView,
    stateHash: machine.stateHash(state.state),
  };
}

export const sameSummary = (a: ReplicaSummary | null, b: ReplicaSummary): boolean =>
  a !== null &&
  a.status === b.status &&
  a.isPrimary === b.isPrimary &&
  a.view === b.view &&
  a.logView === b.logView &&
  a.head === b.head &&
  a.commit === b.commit &&
  a.applied === b.applied &&
  a.checkpoint === b.checkpoint &&
  a.durableView === b.durableView &&
  a.durableLogView === b.durableLogView &&
  a.stateHash === b.stateHash;

export const summariseCall = ({ id, type, table, key, marker }: Call): CallSummary => ({
  id,
  type,
  table,
  key,
  marker,
});

export function describeEnd(end: CallEnd | null, isRead: boolean): string {
  if (end === null) return 'open';
  switch (end.type) {
    case 'ok': {
      const what = isRead
        ? `found ${end.value ?? 'nothing'}, state of op ${end.op}`
        : `done at position ${end.position}`;
      return end.isReplay ? `${what}, a replay` : what;
    }
    case 'rejected':
      return `rejected: ${end.code}, position ${end.position}`;
    case 'not-applied':
    case 'unknown':
      return end.type;
  }
}
