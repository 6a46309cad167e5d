import type { ClusterStatus, ReplicaStatus } from '@kimberlite/client';

/** One replica in `status --json`: its own row and how far it is behind, or all we know of one that did not answer. */
export type ReplicaRow = ReplicaStatus & { readonly lag: number | null };

export interface StatusDocument {
  readonly cluster: string;
  readonly view: number;
  /** Null while nobody is primary in normal status. */
  readonly primary: number | null;
  /** How many more nodes may be lost before writes stop; 0 too when they have stopped already. */
  readonly canLose: number;
  readonly replicas: readonly ReplicaRow[];
}

/** Null when nobody answered. */
export function statusDocument(status: ClusterStatus): StatusDocument | null {
  const { cluster, view } = status;
  if (cluster === null || view === null) return null;
  const answered = status.replicas.flatMap((row) => (row.reachable ? [row] : []));
  const commitMax = Math.max(0, ...answered.map((row) => row.commit));
  const serving = answered.find((row) => row.role === 'primary' && row.status === 'normal' && row.view === view);
  const replicas = status.replicas.map((row) => ({ ...row, lag: row.reachable ? commitMax - row.commit : null }));
  return {
    cluster,
    view,
    primary: serving?.replica ?? null,
    canLose: serving === undefined ? 0 : status.canLose,
    replicas,
  };
}
