import { type ClusterId, ok, type ReplicaId, type Result, replicasMax } from '@kimberlite/base';
import { z } from 'zod';
import { addressLengthMax } from './limits.ts';
import { unpack } from './msgpack.ts';
import { type WireError, wireError } from './wire-error.ts';

/**
 * What each side of a connection between replicas says first. Everything that must be equal in a cluster is
 * in it, so that a difference is a named error and not a fork.
 */
export interface PeerHello {
  readonly cluster: ClusterId;
  /** The sender. */
  readonly replica: ReplicaId;
  /** Which of the machines with that identity, and the view its disk has: neither goes back. */
  readonly incarnation: number;
  readonly view: number;
  /** The sender's epoch, and who votes in it. */
  readonly epoch: number;
  readonly voters: readonly number[];
  /** Versions that the sender speaks. */
  readonly protocolVersion: number;
  readonly protocolVersionOldest: number;
  /** The version in force, as far as the sender's log says; 0 while it has not been read. */
  readonly versionInForce: number;
  readonly pipelineMax: number;
  readonly slots: number;
  readonly checkpointInterval: number;
  /** Where clients reach the sender: `ws://host:port`; null when it does not say. */
  readonly endpoint: string | null;
  readonly adminUrl: string | null;
}

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const replicaNumber = z
  .number()
  .int()
  .min(0)
  .max(replicasMax - 1);
const address = z.string().max(addressLengthMax).nullable();

/** A greeting: what a later release adds is overlooked. */
export const peerHelloSchema: z.ZodType<PeerHello> = z.object({
  cluster: z.string().regex(/^[0-9a-f]{32}$/) as unknown as z.ZodType<ClusterId>,
  replica: replicaNumber as unknown as z.ZodType<ReplicaId>,
  incarnation: count,
  view: count,
  epoch: count,
  voters: z.array(replicaNumber).min(1).max(replicasMax).readonly(),
  protocolVersion: count,
  protocolVersionOldest: count,
  versionInForce: count,
  pipelineMax: count,
  slots: count,
  checkpointInterval: count,
  endpoint: address,
  adminUrl: address,
});

export function decodePeerHelloBody(body: Uint8Array): Result<PeerHello, WireError> {
  const value = unpack(body);
  if (!value.ok) return value;
  const parsed = peerHelloSchema.safeParse(value.value);
  return parsed.success ? ok(parsed.data) : wireError('shape', `peer hello: ${z.prettifyError(parsed.error)}`);
}
