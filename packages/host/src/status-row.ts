import { replicaId } from '@kimberlite/base';
import type { Group, ReplicaStatus } from '@kimberlite/vsr';
import type { StatusRow } from '@kimberlite/wire';
import type { DiskStatus, HostOptions } from './host.ts';

type Identity<S> = Pick<HostOptions<S>, 'cluster' | 'replica' | 'describe' | 'members' | 'codec'>;

/** The row of `status`: what the replica says, if it has booted, and what only the shell knows. */
export function statusRow<S>(
  status: ReplicaStatus | undefined,
  disk: DiskStatus,
  { epoch, voters, standbys }: Group,
  { cluster, replica, describe, members, codec }: Identity<S>,
): StatusRow {
  return {
    cluster,
    replica,
    epoch,
    voters,
    standbys,
    ...describe(),
    reachable: true,
    role: status?.role ?? null,
    status: status?.status ?? 'recovering',
    view: status?.view ?? 0,
    primary: status === undefined ? replica : replicaId(status.primary),
    op: status?.op ?? 0,
    commit: status?.commit ?? 0,
    checkpoint: status?.checkpoint ?? 0,
    position: status?.position ?? 0,
    stateHash: status?.stateHash ?? '',
    stateHashOp: status?.stateHashOp ?? 0,
    versionInForce: status?.versionInForce ?? 0,
    versionNewest: codec.versions.newest,
    clockOffsetUs: status?.clockOffsetUs ?? null,
    ...disk,
    divergence: status?.divergence ?? null,
    members: members(),
  };
}
