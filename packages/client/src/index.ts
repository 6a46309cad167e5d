export { connect, type ConnectOptions } from './connect.ts';
export {
  Database,
  type ExecResult,
  type QueryResult,
  type ReadOptions,
  type RowWriteOptions,
  Table,
  type TableQuery,
  Tenant,
  type WriteOptions,
  type WriteResult,
} from './database.ts';
export type { CallOptions } from './driver.ts';
export {
  type CallFailure,
  type CallOutcome,
  type ClientErrorCode,
  type ErrorCode,
  KimberliteError,
} from './session/failure.ts';
export { type ClientTiming, defaultTiming } from './session/limits.ts';
export { createClientSession } from './session/session.ts';
export type * from './session/session-types.ts';
export { type ClusterStatus, clusterStatus, type ReplicaStatus } from './status.ts';
