import { replicaId } from '@kimberlite/base';
import type { HostOptions, Host } from '@kimberlite/host';
import type { StatusRow } from '@kimberlite/wire';

type Identity<S> = Pick<HostOptions<S>, 'cluster' | 'replica' | 'replicaCount' | 'describe' | 'members'>;

/** The row of `/status`: what the replica says, and what only the process knows. */
export function statusRow<S>(
  host: Host<S>,
  { cluster, replica, replicaCount, describe, members }: Identity<S>,
): StatusRow {
  const status = host.status();
  return {
    cluster,
    replica,
    replicaCount,
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
    clockOffsetUs: status?.clockOffsetUs ?? null,
    diskUsedBytes: status?.diskUsedBytes ?? 0,
    members: members(),
  };
}
