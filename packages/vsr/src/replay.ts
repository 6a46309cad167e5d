import {
  type CheckpointRef,
  type Checksum,
  type ClusterId,
  err,
  type Hasher,
  makePrepare,
  ok,
  op as toOp,
  type Prepare,
  type PrepareHeader,
  prepareBody,
  replicaId,
  type Result,
} from '@kimberlite/base';
import { applyOp } from './apply.ts';
import { decodeBatch } from './batch.ts';
import { ContentDecoder, encodeContent } from './checkpoint-content.ts';
import { initialDurableState } from './durable-codec.ts';
import { createReplica } from './replica.ts';
import { adopt } from './state-load.ts';
import type { StateMachine } from './state-machine.ts';
import { systemOpIn } from './system-op.ts';
import { foundingVersion, whyNotSpoken } from './version.ts';

export interface ReplayOptions<S> {
  readonly cluster: ClusterId;
  readonly hasher: Hasher;
  readonly stateMachine: StateMachine<S>;
  /** Ops between two checkpoints, as the superblock has it; it decides what checkpoints hold. */
  readonly checkpointInterval?: number;
  /** The protocol version before the first op, as the superblock has it. */
  readonly foundedIn?: number;
}

/** A checkpoint that is read back, part by part. */
export interface Restoring {
  /** The next bytes of its content. */
  readonly push: (bytes: Uint8Array) => Result<void, string>;
  /** From here the replay goes on behind the checkpoint's op. */
  readonly finish: () => Result<void, string>;
}

export interface Foundation {
  /** Of a prepare that nobody ever made: it stands for all that happened before. */
  readonly header: PrepareHeader;
  readonly content: () => Iterable<Uint8Array>;
}

/** A log played back, op by op from the first or from a checkpoint, by the very code that executes committed ops on a running replica. */
export interface Replay {
  /** The last op applied, its id (the root's before the first), and the position of the last command. */
  readonly op: () => number;
  readonly id: () => Checksum;
  readonly position: () => number;
  /** Hex; equals the state hash of every replica that has applied the same op. */
  readonly stateHash: () => string;
  /** Begins at a checkpoint instead of the first op. Before anything is applied. */
  readonly restore: (ref: CheckpointRef) => Restoring;
  /** The bytes of a checkpoint at the op that was applied last. */
  readonly content: () => Iterable<Uint8Array>;
  /**
   * What another cluster begins with that goes on from here: a checkpoint without sessions, for its clients are others.
   * The same for every replica of it.
   */
  readonly foundation: (cluster: ClusterId) => Foundation;
  /** The next op. The error says why it cannot be that; nothing was applied then. */
  readonly apply: (prepare: Prepare) => Result<void, string>;
}

export function createReplay<S>(options: ReplayOptions<S>): Replay {
  const { cluster, hasher, stateMachine, checkpointInterval, foundedIn = foundingVersion } = options;
  // Never started: no role, no timers, no peers, so nothing but the state and the sessions moves.
  const r = createReplica({
    cluster,
    replica: replicaId(0),
    replicaCount: 1,
    hasher,
    seed: 0,
    nonce: '0'.repeat(32),
    stateMachine,
    // It is none of the replicas, so no fence in the log is meant for it.
    durable: {
      ...initialDurableState(checkpointInterval),
      incarnation: Number.MAX_SAFE_INTEGER,
      foundedIn,
      versionInForce: foundedIn,
    },
    recovered: { slots: [], head: toOp(0), headCertain: true },
  });
  const apply = (prepare: Prepare): Result<void, string> => {
    const { header } = prepare;
    if (header.op !== r.applied + 1) return err(`op ${header.op} does not come after op ${r.applied}`);
    if (header.parent !== r.appliedId) return err(`op ${header.op} does not name op ${r.applied} as the one before it`);
    if (header.timestamp <= r.appliedTimestamp) return err(`the timestamp of op ${header.op} goes back`);
    if (!decodeBatch(prepareBody(prepare)).ok) return err(`op ${header.op} holds no batch of requests`);
    const system = systemOpIn(prepare);
    const unspoken = system?.type === 'upgrade' ? whyNotSpoken(r.versions.range, system.version) : null;
    if (unspoken !== null) return err(`op ${header.op}: ${unspoken}`);
    applyOp(r, prepare);
    r.out = [];
    return ok(undefined);
  };
  const restore = (ref: CheckpointRef): Restoring => {
    const decoder = new ContentDecoder(stateMachine);
    const finish = (): Result<void, string> => {
      const content = decoder.finish();
      if (!content.ok) return content;
      const unspoken = whyNotSpoken(r.versions.range, content.value.inForce);
      if (unspoken !== null) return err(unspoken);
      adopt(r, ref, content.value);
      return ok(undefined);
    };
    return { push: (bytes) => decoder.push(bytes), finish };
  };
  const content = (): Iterable<Uint8Array> => {
    const { state, sessions, members, checkpointing, versions } = r;
    const { inForce } = versions;
    const { living, applied: membership } = members;
    const { schedule } = checkpointing;
    return encodeContent({ state, sessions, living, membership, inForce, schedule }, stateMachine);
  };
  const foundation = (other: ClusterId): Foundation => {
    const parent = '0'.repeat(32);
    const fields = { cluster: other, op: r.applied, view: 0, parent, timestamp: r.appliedTimestamp };
    const { header } = makePrepare({ ...fields, body: new Uint8Array(0) }, hasher);
    const schedule = { op: r.applied, bytes: 0 };
    const living = r.members.living.map(() => 0);
    const { inForce } = r.versions;
    const first = { state: r.state, sessions: new Map(), living, membership: null, schedule, inForce };
    return { header, content: () => encodeContent(first, stateMachine) };
  };
  return {
    restore,
    content,
    foundation,
    op: () => r.applied,
    id: () => r.appliedId,
    position: () => r.machine.position(r.state),
    stateHash: () => r.machine.stateHash(r.state),
    apply,
  };
}
