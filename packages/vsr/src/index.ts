export { decodeBatch, encodeBatch } from './batch.ts';
export type * from './client.ts';
export { type ReplicaMark, replicaMarks } from './coverage.ts';
export { cloneReplica, encodeReplica, hashReplica } from './clone.ts';
export {
  decodeDurableState,
  encodeDurableState,
  initialDurableState,
  joiningDurableState,
  replacedDurableState,
  restoredDurableState,
} from './durable-codec.ts';
export { type Divergence, type QuarantineCause, reportsMax } from './divergence.ts';
export {
  addressBytesMax,
  encodeMembership,
  epochOf,
  foundingGroup,
  type Group,
  type Membership,
  membersOf,
  primaryIn,
  quorumsOfGroup,
  readMembership,
  viewsPerEpoch,
} from './group.ts';
export type { MemberChange } from './reconfiguration.ts';
export { systemClient, type SystemOp, systemOpIn } from './system-op.ts';
export type * from './durable-state.ts';
export type * from './effect.ts';
export type * from './event.ts';
export type * from './message.ts';
export { type Quorums, quorumsOf } from './quorum.ts';
export { createReplay, type Foundation, type Replay, type ReplayOptions, type Restoring } from './replay.ts';
export { createReplica, type Replica, type ReplicaOptions } from './replica.ts';
export { settledView } from './send.ts';
export type * from './state-machine.ts';
export { type DivergenceStatus, type ReplicaStatus, replicaStatus } from './status.ts';
export { step } from './step.ts';
export { features, type Feature, firstVersion, foundingVersion, isInForce, whyNotSpoken } from './version.ts';
export { defaultTiming, type Timing } from './timeouts.ts';
