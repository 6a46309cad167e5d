import { assert, pipelineMax, type Prepare, type PrepareHeader, replicasMax, unreachable } from '@kimberlite/base';
import { forgetReported } from './checkpoint.ts';
import type { ClientRequest } from './client.ts';
import { forgetTestimony } from './divergence.ts';
import type { Effect } from './effect.ts';
import type { Membership } from './group.ts';
import { startPrepares, whyNotServing } from './pipeline.ts';
import { isMember, isVoter, type Replica } from './replica.ts';
import { decodeSystemOp, type SystemOp, systemOpIn, systemRequest } from './system-op.ts';
import { applyUpgrade, forgetSpoken } from './upgrade.ts';

// Who the replicas are, as the log says: its fences (Table H) and its reconfigurations (VRR section 7). A machine that
// comes back without its memory is another incarnation of its replica: from its fence on nobody hears the one before.

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

/** A change of the group that somebody asked this primary for. */
export interface Changing {
  readonly ticket: number;
  /** Its op, once it is prepared. */
  op: number | null;
}

/** What a replica without a vote said of itself. */
export interface Heard {
  readonly atUs: number;
  /** 0 while it fetches a checkpoint. */
  readonly applied: number;
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
  /** The group, as the applied log says; part of every checkpoint. Null: as founded. */
  applied: Membership | null;
  /** Ops of the log above the applied op that end their epoch: nothing is prepared behind one. */
  readonly boundaries: Set<number>;
  /** The group this replica has learnt of: it is entered when the step ends. */
  next: Membership | null;
  /** The last epoch for which everything up to its beginning was seen to be durable here: only then do acks of it count. */
  wholeEpoch: number;
  /** Left the group with the latest change: they have what its new members may lack. */
  former: readonly number[];
  /** Replicas without a vote, by id. Primary. */
  readonly heard: Map<number, Heard>;
  replacing: Replacing | null;
  changing: Changing | null;
  /** System ops to be prepared, each by itself, before any request. */
  queue: readonly SystemOp[];
}

export const createMembers = (incarnation: number, epoch: number): Members => ({
  incarnation,
  living: Array.from({ length: replicasMax }, () => 0),
  fences: new Map(),
  applied: null,
  boundaries: new Set(),
  next: null,
  // After a boot it has to be seen again, but for the first epoch, which began with nothing.
  wholeEpoch: epoch === 0 ? 0 : -1,
  former: [],
  heard: new Map(),
  replacing: null,
  changing: null,
  queue: [],
});

/** Whoever was heard within this time is not lost. */
export const silenceMs = 1500;

/**
 * A prepare is in the log. A fence in it holds from now on, and what its replica said before is forgotten; behind a
 * reconfiguration nothing more is prepared.
 */
export function noteSystemOp<S>(r: Replica<S>, prepare: Prepare): void {
  const { op } = prepare.header;
  if (op <= r.applied) return;
  const system = systemOpIn(prepare);
  if (system === null) return;
  if (system.type === 'reconfigure') r.members.boundaries.add(op);
  if (system.type !== 'fence') return;
  r.members.fences.set(op, system);
  forgetReplica(r, system);
}

function forgetReplica<S>(r: Replica<S>, { replica }: Fence): void {
  if (replica === r.self) return;
  r.mark('fenced');
  r.dvcs.delete(replica);
  r.votes.delete(replica);
  forgetReported(r, replica);
  forgetTestimony(r, replica);
  r.rounds[replica] = 0;
  r.heardUs[replica] = 0;
  r.members.heard.delete(replica);
  for (const [op, acks] of r.acks) r.acks.set(op, acks & ~(1 << replica));
}

/** The lowest incarnation of a replica that may speak, as far as this one knows. */
export function lowestLiving<S>(r: Replica<S>, replica: number): number {
  let lowest = Math.max(r.members.living[replica] ?? 0, r.group.incarnations[replica] ?? 0);
  for (const fence of r.members.fences.values()) {
    if (fence.replica === replica) lowest = Math.max(lowest, fence.incarnation);
  }
  return lowest;
}

/** Whether the sender is an incarnation that was fenced off. */
export const isDead = <S>(r: Replica<S>, from: number, incarnation: number): boolean =>
  incarnation < lowestLiving(r, from);

/** Another machine has this replica's identity now: this one must never speak again. */
export function refuseToBeSecond<S>(r: Replica<S>, replica: number, incarnation: number): void {
  if (replica !== r.self || incarnation <= r.members.incarnation) return;
  throw new Error(
    'another machine has taken the place of this one (`kimberlite recover`): this directory must not be used again',
  );
}

/** A system op is applied. True: it asks for a checkpoint. */
export function applySystem<S>(r: Replica<S>, header: PrepareHeader, body: Uint8Array): boolean {
  const { members } = r;
  const system = decodeSystemOp(body);
  if (system === null) return false;
  switch (system.type) {
    case 'fence': {
      const { replica, incarnation } = system;
      refuseToBeSecond(r, replica, incarnation);
      members.living = members.living.map((known, i) => (i === replica ? Math.max(known, incarnation) : known));
      return false;
    }
    case 'nothing':
      return false;
    case 'checkpoint':
      return true;
    case 'reconfigure': {
      const { group } = system;
      assert(group.epoch === (members.applied?.group.epoch ?? 0) + 1, 'epochs follow one another');
      members.living = members.living.map((known, i) => Math.max(known, group.incarnations[i] ?? 0));
      members.applied = { group, boundary: header };
      if (group.epoch > r.group.epoch) members.next = members.applied;
      return false;
    }
    case 'upgrade':
      applyUpgrade(r, system.version);
      return false;
    default:
      return unreachable(system);
  }
}

// Replacing a replica, at the primary.

type Answer = Extract<Effect, { readonly type: 'member-replaced' }>['result'];

function answer<S>(r: Replica<S>, ticket: number, result: Answer): void {
  r.out.push({ type: 'member-replaced', ticket, result });
}

/** Whether the primary has heard from it of late. */
export function isHeard<S>(r: Replica<S>, replica: number): boolean {
  if (replica === r.self) return true;
  const heardUs = isVoter(r, replica) ? (r.heardUs[replica] ?? 0) : (r.members.heard.get(replica)?.atUs ?? 0);
  return heardUs > 0 && r.now - heardUs < silenceMs * 1000;
}

/** Table H, row 2: the fence, P ops of nothing, and a checkpoint for the new one to begin with. */
export function onReplaceMember<S>(r: Replica<S>, replica: number, ticket: number): void {
  const { members } = r;
  const refuse = (reason: string): void => answer(r, ticket, { ok: false, reason });
  const reason = whyNotServing(r);
  if (reason !== null) return refuse(`this replica does not serve just now (${reason}); ask the primary`);
  if (!isMember(r, replica)) {
    return refuse(`replica ${replica} is no member of the cluster; add it with \`kimberlite member add\``);
  }
  if (isVoter(r, replica) && r.group.voters.length < 3) return refuse('without it the others are no majority');
  if (replica === r.self) return refuse('it is the primary; it is not lost');
  if (isHeard(r, replica)) return refuse('the others hear it: it is not lost');
  if (isChanging(r)) return refuse('another change of the members is under way; try again');
  const incarnation = lowestLiving(r, replica) + 1;
  members.replacing = { ticket, replica, incarnation, lastOp: null };
  const nothing = Array.from({ length: pipelineMax }, (): SystemOp => ({ type: 'nothing' }));
  members.queue = [...members.queue, { type: 'fence', replica, incarnation }, ...nothing, { type: 'checkpoint' }];
  startPrepares(r);
}

/** A change of who belongs to the cluster is asked for, in the log, or applied and not yet entered. */
export const isChanging = <S>({ members }: Replica<S>): boolean =>
  members.replacing !== null || members.changing !== null || members.boundaries.size > 0 || members.next !== null;

/** Behind the last op of an epoch nothing is prepared. */
export const epochEnds = <S>({ members }: Replica<S>): boolean => members.boundaries.size > 0 || members.next !== null;

/** The next system op, if one waits. */
export function takeSystemOp<S>(r: Replica<S>, op: number): ClientRequest | null {
  const { members } = r;
  const [next, ...rest] = members.queue;
  if (next === undefined) return null;
  members.queue = rest;
  if (rest.length === 0 && members.replacing !== null) members.replacing.lastOp = op;
  if (next.type === 'reconfigure' && members.changing !== null) members.changing.op = op;
  return systemRequest(r.hasher, next);
}

export function onSystemApplied<S>(r: Replica<S>, op: number): void {
  const { replacing, changing, next } = r.members;
  if (replacing !== null && replacing.lastOp === op) {
    r.members.replacing = null;
    const membership = r.group.epoch === 0 ? null : { group: r.group, boundary: r.boundary };
    answer(r, replacing.ticket, { ok: true, incarnation: replacing.incarnation, view: r.view, membership });
  }
  if (changing === null || changing.op !== op || next === null) return;
  r.members.changing = null;
  r.out.push({ type: 'members-changed', ticket: changing.ticket, result: { ok: true, membership: next } });
}

/** The view was left: whether all of it was committed is for the next primary to be asked anew. */
export function giveUpReplacing<S>(r: Replica<S>): void {
  const { replacing, changing } = r.members;
  r.members.queue = [];
  r.members.replacing = null;
  r.members.changing = null;
  r.members.heard.clear();
  forgetSpoken(r);
  const reason = 'the view changed meanwhile; see whether it was done (`kimberlite member list`), or try again';
  if (replacing !== null) answer(r, replacing.ticket, { ok: false, reason });
  if (changing !== null)
    r.out.push({ type: 'members-changed', ticket: changing.ticket, result: { ok: false, reason, again: false } });
}
