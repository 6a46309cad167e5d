import {
  type ClientId,
  FixedReader,
  FixedWriter,
  type Prepare,
  pipelineMax,
  prepareBody,
  replicasMax,
  requestNumber,
  sessionNumber,
  unreachable,
} from '@kimberlite/base';
import { decodeBatch, emptyBatchBytes, requestBytes } from './batch.ts';
import { forgetReported } from './checkpoint.ts';
import type { ClientRequest } from './client.ts';
import type { Effect } from './effect.ts';
import { startPrepares, whyNotServing } from './pipeline.ts';
import type { Replica } from './replica.ts';

// Who the replicas are (Table H). A machine that comes back without its memory is another incarnation of its replica:
// a fence in the log says so, and from then on nobody hears the one before.

/** What the protocol itself puts into the log. */
export type SystemOp =
  /** Incarnations of that replica below this one are dead. */
  | { readonly type: 'fence'; readonly replica: number; readonly incarnation: number }
  /** Takes its place in the log, so that the ops P below it are committed for certain. */
  | { readonly type: 'nothing' }
  /** Every replica takes a checkpoint here. */
  | { readonly type: 'checkpoint' };

/** No client has this id: hosts refuse it. */
export const systemClient: ClientId = '0'.repeat(32) as ClientId;

export interface Fence {
  readonly replica: number;
  readonly incarnation: number;
}

/** A replacement that somebody asked this primary for. */
export interface Replacing extends Fence {
  /** Names the question in the answer. */
  readonly ticket: number;
  /** The last of its ops, once it is prepared. */
  lastOp: number | null;
}

export interface Members {
  /** Of this replica. Never changes. */
  readonly incarnation: number;
  /**
   * Lowest incarnation of each replica that may speak, as the applied log says. Part of every checkpoint, so it does not
   * depend on how many replicas there are just now.
   */
  living: readonly number[];
  /** Fences in the log above the applied op, by op: they hold for as long as they are in it. */
  readonly fences: Map<number, Fence>;
  replacing: Replacing | null;
  /** System ops to be prepared, each by itself, before any request. */
  queue: readonly SystemOp[];
}

export const createMembers = (incarnation: number): Members => ({
  incarnation,
  living: Array.from({ length: replicasMax }, () => 0),
  fences: new Map(),
  replacing: null,
  queue: [],
});

/** Whoever was heard within this time is not lost. */
const silenceMs = 1500;

const kinds = { fence: 1, nothing: 2, checkpoint: 3 } as const;
const systemBytes = 1 + 1 + 4;

function encodeSystemOp(op: SystemOp): Uint8Array {
  const writer = new FixedWriter(systemBytes).u8(kinds[op.type]);
  if (op.type === 'fence') writer.u8(op.replica).u32(op.incarnation);
  return writer.bytes;
}

/** Null: none of those there are. */
function decodeSystemOp(body: Uint8Array): SystemOp | null {
  const reader = new FixedReader(body);
  const [kind, replica, incarnation] = [reader.u8(), reader.u8(), reader.u32()];
  if (reader.failed || reader.remaining > 0) return null;
  if (kind === kinds.fence) return replica < replicasMax ? { type: 'fence', replica, incarnation } : null;
  if (kind === kinds.nothing) return { type: 'nothing' };
  return kind === kinds.checkpoint ? { type: 'checkpoint' } : null;
}

export function systemRequest<S>(r: Replica<S>, op: SystemOp): ClientRequest {
  const body = encodeSystemOp(op);
  const numbers = { session: sessionNumber(0), number: requestNumber(0), floor: requestNumber(0) };
  return { client: systemClient, ...numbers, checksum: r.hasher(body), body };
}

/** Bytes of a prepare's body that holds one system op: nothing else need be looked into. */
const systemBatchBytes = emptyBatchBytes + requestBytes({ body: new Uint8Array(systemBytes) });

function fenceIn(prepare: Prepare): Fence | null {
  if (prepare.header.bodyLengthBytes !== systemBatchBytes) return null;
  const batch = decodeBatch(prepareBody(prepare));
  const [request] = batch.ok ? batch.value : [];
  if (request === undefined || request.client !== systemClient) return null;
  const op = decodeSystemOp(request.body);
  return op?.type === 'fence' ? op : null;
}

/** A prepare is in the log: a fence in it holds from now on, and what its replica said before is forgotten. */
export function noteFence<S>(r: Replica<S>, prepare: Prepare): void {
  const { op } = prepare.header;
  if (op <= r.applied) return;
  const fence = fenceIn(prepare);
  if (fence === null) return;
  r.members.fences.set(op, fence);
  forgetReplica(r, fence);
}

function forgetReplica<S>(r: Replica<S>, { replica }: Fence): void {
  if (replica === r.self) return;
  r.mark('fenced');
  r.dvcs.delete(replica);
  r.votes.delete(replica);
  forgetReported(r, replica);
  r.rounds[replica] = 0;
  r.heardUs[replica] = 0;
  for (const [op, acks] of r.acks) r.acks.set(op, acks & ~(1 << replica));
}

/** Whether the sender is an incarnation that was fenced off. */
export function isDead<S>(r: Replica<S>, from: number, incarnation: number): boolean {
  let lowest = r.members.living[from] ?? 0;
  for (const fence of r.members.fences.values()) {
    if (fence.replica === from) lowest = Math.max(lowest, fence.incarnation);
  }
  return incarnation < lowest;
}

/** A system op is applied. True: it asks for a checkpoint. */
export function applySystem<S>(r: Replica<S>, op: number, body: Uint8Array): boolean {
  const { members } = r;
  members.fences.delete(op);
  const system = decodeSystemOp(body);
  if (system === null) return false;
  switch (system.type) {
    case 'fence': {
      const { replica, incarnation } = system;
      if (replica === r.self && incarnation > members.incarnation) {
        throw new Error(
          'another machine has taken the place of this one (`kimberlite recover`): this directory must not be used again',
        );
      }
      members.living = members.living.map((known, i) => (i === replica ? Math.max(known, incarnation) : known));
      return false;
    }
    case 'nothing':
      return false;
    case 'checkpoint':
      return true;
    default:
      return unreachable(system);
  }
}

// Replacing a replica, at the primary.

type Answer = Extract<Effect, { readonly type: 'member-replaced' }>['result'];

function answer<S>(r: Replica<S>, ticket: number, result: Answer): void {
  r.out.push({ type: 'member-replaced', ticket, result });
}

/** Table H, row 2: the fence, P ops of nothing, and a checkpoint for the new one to begin with. */
export function onReplaceMember<S>(r: Replica<S>, replica: number, ticket: number): void {
  const { members } = r;
  const refuse = (reason: string): void => answer(r, ticket, { ok: false, reason });
  const reason = whyNotServing(r);
  if (reason !== null) return refuse(`this replica does not serve just now (${reason}); ask the primary`);
  if (replica >= r.replicaCount) return refuse(`the cluster has replicas 0 to ${r.replicaCount - 1}`);
  if (r.replicaCount < 3) return refuse('without it the others are no majority');
  if (replica === r.self) return refuse('it is the primary; it is not lost');
  const heardUs = r.heardUs[replica] ?? 0;
  if (heardUs > 0 && r.now - heardUs < silenceMs * 1000) return refuse('the others hear it: it is not lost');
  if (members.replacing !== null) return refuse('another replica is being replaced; try again');
  let incarnation = (members.living[replica] ?? 0) + 1;
  for (const fence of members.fences.values()) {
    if (fence.replica === replica) incarnation = Math.max(incarnation, fence.incarnation + 1);
  }
  members.replacing = { ticket, replica, incarnation, lastOp: null };
  const nothing = Array.from({ length: pipelineMax }, (): SystemOp => ({ type: 'nothing' }));
  members.queue = [{ type: 'fence', replica, incarnation }, ...nothing, { type: 'checkpoint' }];
  startPrepares(r);
}

/** The next system op, if one waits. */
export function takeSystemOp<S>(r: Replica<S>, op: number): ClientRequest | null {
  const { members } = r;
  const [next, ...rest] = members.queue;
  if (next === undefined) return null;
  members.queue = rest;
  if (rest.length === 0 && members.replacing !== null) members.replacing.lastOp = op;
  return systemRequest(r, next);
}

export function onSystemApplied<S>(r: Replica<S>, op: number): void {
  const { replacing } = r.members;
  if (replacing === null || replacing.lastOp !== op) return;
  r.members.replacing = null;
  answer(r, replacing.ticket, { ok: true, incarnation: replacing.incarnation, view: r.view });
}

/** The view was left: whether all of it was committed is for the next primary to be asked anew. */
export function giveUpReplacing<S>(r: Replica<S>): void {
  const { replacing } = r.members;
  r.members.queue = [];
  r.members.replacing = null;
  if (replacing !== null) answer(r, replacing.ticket, { ok: false, reason: 'the view changed meanwhile; try again' });
}
