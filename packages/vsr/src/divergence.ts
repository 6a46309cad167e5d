import { assert, type CheckpointRef, type Op, replicasMax, stateHashInterval } from '@kimberlite/base';
import { ownMark } from './checkpoint.ts';
import type { CheckpointMark } from './durable-state.ts';
import { heal, isHealed, trustAgain } from './heal.ts';
import { acknowledge } from './log-writes.ts';
import type { StateReport } from './message.ts';
import { openAdmission, refuseQueued, startPrepares } from './pipeline.ts';
import { withoutReplica } from './quorum.ts';
import { refuseEveryQuery } from './reads.ts';
import { startRepair } from './repair.ts';
import { isNormalPrimary, isSoleVoter, type Replica } from './replica.ts';
import { sessionsHash } from './sessions-hash.ts';
import { flush } from './superblock.ts';
import { voteToLeave } from './view-change.ts';

// Divergence: a replica whose state is not what the log makes of it, by damage to its memory or by a bug. Everybody
// tells everybody the hash of its state at fixed ops, and the checksums of its checkpoints. Where a majority agrees
// against a replica, the primary included (pitfall 65), it has diverged; where no majority is possible, all stand still.

/** What one replica said of its state, and said again may have corrected. */
export interface Testimony {
  /** Descending by op, thinned out. */
  readonly reports: readonly StateReport[];
  /** Of checkpoints, descending by op. */
  readonly marks: readonly CheckpointMark[];
}

/** Why a replica is not to be believed. `restart`: it was so before it booted. `memory`: it found the damage itself. */
export type QuarantineCause = 'state' | 'sessions' | 'checkpoint' | 'memory' | 'restart';

/** A replica that has diverged: it acks, confirms, leads and answers nothing until its state is made anew. */
export interface Quarantine {
  readonly cause: QuarantineCause;
  /** Where it differs, or what was applied when the damage was found. */
  readonly op: number;
  /** The own hash there, or what is damaged. */
  readonly own: string;
  /** What a majority has there. Null: nobody was asked. */
  readonly majority: string | null;
  /** Applied before; it is over when that op is applied again, on a state that a quorum vouches for. */
  readonly until: number;
  /** Made anew, its state came out the same: it is not damage, and nothing this replica can do would help. */
  readonly isLasting: boolean;
}

/** No majority agrees, and none can: nobody knows who is right, so nobody goes on. */
export interface Dispute {
  readonly cause: 'state' | 'sessions' | 'checkpoint';
  readonly op: number;
  readonly own: string;
}

/** Immutable: replaced as a whole. */
export interface Divergence {
  /** By replica, self included. */
  readonly testimonies: readonly Testimony[];
  /** Something was said that nobody has looked at yet. */
  readonly isFresh: boolean;
  readonly quarantine: Quarantine | null;
  readonly dispute: Dispute | null;
  /** Damage to the own memory that was found in this step. */
  readonly damage: string | null;
  /** What the last quarantine that ended was for. */
  readonly healed: Pick<Quarantine, 'op' | 'own'> | null;
  /** Highest op at which a majority, this replica included, was seen to agree. */
  readonly agreed: number;
}

/** Distances at which reports are kept and told, in intervals: replicas far apart still find an op they both know. */
const levels = [1, 4, 16, 64, 256, 1024] as const;
const keptPerLevel = 4;
/** Reports in one message: the newest of each level. */
export const reportsMax: number = levels.length;
const marksKept = 4;

const silent: Testimony = { reports: [], marks: [] };

const quarantineOfBefore = (op: number): Quarantine => ({
  cause: 'restart',
  op,
  own: '',
  majority: null,
  until: Number.MAX_SAFE_INTEGER,
  isLasting: false,
});

export const createDivergence = (quarantinedOp: number): Divergence => ({
  testimonies: Array.from({ length: replicasMax }, () => silent),
  isFresh: false,
  quarantine: quarantinedOp === 0 ? null : quarantineOfBefore(quarantinedOp),
  dispute: null,
  damage: null,
  healed: null,
  agreed: 0,
});

/** What it says counts for nothing, and it says nothing to clients. */
export const isSuspect = <S>(r: Replica<S>): boolean =>
  r.divergence.quarantine !== null || r.divergence.dispute !== null;

// Saying.

/** After an op was applied. */
export function reportState<S>(r: Replica<S>, op: Op): void {
  if (op % stateHashInterval !== 0) return;
  r.report = { op, hash: r.machine.stateHash(r.state), sessions: sessionsHash(r.sessions, op, r.hasher) };
  noteReports(r, r.self, [r.report], []);
}

/** The newest of each level, descending. */
export function reportsToTell<S>(r: Replica<S>): readonly StateReport[] {
  const { reports } = testimonyOf(r, r.self);
  const told = new Set<StateReport>();
  for (const level of levels) {
    const newest = reports.find(({ op }) => isOfLevel(op, level));
    if (newest !== undefined) told.add(newest);
  }
  return [...told];
}

/** Of the newest checkpoint, unless it is in doubt. */
export function markToTell<S>(r: Replica<S>): CheckpointMark | null {
  const mark = ownMark(r);
  const isSound = mark !== null && !isQuarantined(r) && !r.checkpointing.damaged.has(mark.checksum);
  return isSound ? mark : null;
}

const isQuarantined = <S>(r: Replica<S>): boolean => r.divergence.quarantine !== null;

// Listening.

const testimonyOf = <S>(r: Replica<S>, replica: number): Testimony => r.divergence.testimonies[replica] ?? silent;

const isOfLevel = (op: number, level: number): boolean => op % (level * stateHashInterval) === 0;

/** A few of every level. */
function thinned(reports: readonly StateReport[]): readonly StateReport[] {
  const counts = levels.map(() => 0);
  return reports.filter(({ op }) => {
    let kept = false;
    levels.forEach((level, i) => {
      const count = counts[i] ?? 0;
      if (!isOfLevel(op, level) || count >= keptPerLevel) return;
      counts[i] = count + 1;
      kept = true;
    });
    return kept;
  });
}

const isSame = (a: StateReport, b: StateReport): boolean =>
  a.op === b.op && a.hash === b.hash && a.sessions === b.sessions;

export function noteReports<S>(
  r: Replica<S>,
  from: number,
  reports: readonly StateReport[],
  marks: readonly CheckpointMark[],
): void {
  const known = testimonyOf(r, from);
  const news = reports.filter((report) => !known.reports.some((other) => isSame(report, other)));
  const newMarks = marks.filter(
    (mark) => !known.marks.some((other) => other.op === mark.op && other.checksum === mark.checksum),
  );
  if (news.length === 0 && newMarks.length === 0) return;
  // Said again of the same op it takes the place of what was said before: that replica has made its state anew.
  const kept = known.reports.filter(({ op }) => !news.some((report) => report.op === op));
  const keptMarks = known.marks.filter(({ op }) => !newMarks.some((mark) => mark.op === op));
  const testimony: Testimony = {
    reports: thinned([...news, ...kept].sort((a, b) => b.op - a.op)),
    marks: [...newMarks, ...keptMarks].sort((a, b) => b.op - a.op).slice(0, marksKept),
  };
  setTestimony(r, from, testimony);
}

function setTestimony<S>(r: Replica<S>, from: number, testimony: Testimony): void {
  const testimonies = r.divergence.testimonies.map((known, replica) => (replica === from ? testimony : known));
  r.divergence = { ...r.divergence, testimonies, isFresh: true };
}

/** That machine is gone, and what it said of its state with it; or what this one said was said of another state. */
export const forgetTestimony = <S>(r: Replica<S>, replica: number): void => setTestimony(r, replica, silent);

// Judging.

export type Verdict =
  | { readonly type: 'agreed' | 'open' | 'split' }
  | { readonly type: 'against'; readonly majority: string };

/** Of one op: what each of those that count said of it; null: nothing. A standby judges itself, and does not count. */
export function verdictOn(said: readonly (string | null)[], own: string, majority: number): Verdict {
  const counts = new Map<string, number>();
  let unheard = 0;
  for (const value of said) {
    if (value === null) unheard += 1;
    else counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  if ((counts.get(own) ?? 0) >= majority) return { type: 'agreed' };
  for (const [value, count] of counts) if (count >= majority) return { type: 'against', majority: value };
  return { type: Math.max(0, ...counts.values()) + unheard < majority ? 'split' : 'open' };
}

interface Finding {
  readonly op: number;
  readonly own: string;
  readonly verdict: Verdict;
}

/** The newest op on which there is a verdict: what came before it has been made good, or has come to light since. */
function newestVerdict<S, T extends { readonly op: Op }>(
  r: Replica<S>,
  of: (testimony: Testimony) => readonly T[],
  text: (said: T) => string,
): Finding | null {
  const { testimonies } = r.divergence;
  for (const own of of(testimonyOf(r, r.self))) {
    const said = r.group.voters.map((replica) => {
      const about = of(testimonies[replica] ?? silent).find(({ op }) => op === own.op);
      return about === undefined ? null : text(about);
    });
    const verdict = verdictOn(said, text(own), r.quorums.majority);
    if (verdict.type !== 'open') return { op: own.op, own: text(own), verdict };
  }
  return null;
}

const findings = <S>(r: Replica<S>): readonly (Finding & { readonly cause: 'state' | 'sessions' | 'checkpoint' })[] =>
  (
    [
      [
        'state',
        newestVerdict(
          r,
          ({ reports }) => reports,
          ({ hash }) => hash,
        ),
      ],
      [
        'sessions',
        newestVerdict(
          r,
          ({ reports }) => reports,
          ({ sessions }) => sessions,
        ),
      ],
      [
        'checkpoint',
        newestVerdict(
          r,
          ({ marks }) => marks,
          ({ checksum }) => checksum,
        ),
      ],
    ] as const
  ).flatMap(([cause, finding]) => (finding === null ? [] : [{ cause, ...finding }]));

/** At the end of each step: looks at what was said, and whether a replica that made its state anew is there again. */
export function judgeDivergence<S>(r: Replica<S>): void {
  const { damage } = r.divergence;
  if (damage !== null) r.divergence = { ...r.divergence, damage: null };
  if (isQuarantined(r)) {
    if (isHealed(r)) endQuarantine(r);
    return;
  }
  if (damage !== null) return quarantineForDamage(r, damage);
  if (!r.divergence.isFresh || !r.stateLoaded || isSoleVoter(r)) return;
  const own = markToTell(r);
  if (own !== null) noteReports(r, r.self, [], [own]);
  r.divergence = { ...r.divergence, isFresh: false };
  let dispute: Dispute | null = null;
  for (const { cause, op, own: hash, verdict } of findings(r)) {
    if (verdict.type === 'agreed') r.divergence = { ...r.divergence, agreed: Math.max(r.divergence.agreed, op) };
    if (verdict.type === 'split') dispute ??= { cause, op, own: hash };
    if (verdict.type !== 'against') continue;
    r.mark('diverged-from-majority');
    return quarantine(r, { cause, op, own: hash, majority: verdict.majority });
  }
  setDispute(r, dispute);
}

/** Found while ops are applied: looked at when the step is over. */
export function noteDamage<S>(r: Replica<S>, where: string): void {
  r.divergence = { ...r.divergence, damage: r.divergence.damage ?? where };
}

/** The replica found damage in its own memory: it needs nobody to tell it that it is wrong. */
export function quarantineForDamage<S>(r: Replica<S>, where: string): void {
  if (isSoleVoter(r)) {
    throw new Error(
      `the state in memory is damaged (${where}), and there is no other replica; the log is whole: start this node again`,
    );
  }
  r.mark('memory-damaged');
  quarantine(r, { cause: 'memory', op: r.applied, own: where, majority: null });
}

/** Its checkpoint came out otherwise than the one that a quorum has alike. */
export function quarantineForCheckpoint<S>(r: Replica<S>, own: CheckpointRef, majority: string): void {
  const { op } = own.header;
  assert(!isSoleVoter(r), () => `the checkpoint at op ${op} came out different this time`);
  quarantine(r, { cause: 'checkpoint', op, own: own.checksum, majority });
}

function quarantine<S>(r: Replica<S>, why: Omit<Quarantine, 'until' | 'isLasting'>): void {
  if (isQuarantined(r)) return;
  const { healed } = r.divergence;
  // Memory that fails again in the same place is made anew again.
  const isLasting = why.cause !== 'memory' && healed?.op === why.op && healed.own === why.own;
  r.divergence = { ...r.divergence, quarantine: { ...why, until: r.applied, isLasting }, dispute: null };
  stepAside(r);
  if (isLasting) r.mark('diverged-again');
  else heal(r);
  flush(r);
  if (isNormalPrimary(r)) voteToLeave(r);
}

/** Nothing that was asked of it is answered from this state, and its own word no longer commits anything. */
function stepAside<S>(r: Replica<S>): void {
  refuseQueued(r, 'quarantined');
  refuseEveryQuery(r, 'quarantined');
  r.admissions.clear();
  r.serving = false;
  for (const [op, acks] of r.acks) r.acks.set(op, withoutReplica(acks, r.self));
}

function endQuarantine<S>(r: Replica<S>): void {
  r.mark('healed');
  r.divergence = { ...r.divergence, quarantine: null, healed: r.divergence.quarantine, isFresh: true };
  trustAgain(r);
  flush(r);
  goOn(r);
}

function setDispute<S>(r: Replica<S>, dispute: Dispute | null): void {
  const before = r.divergence.dispute;
  if (before === null && dispute === null) return;
  r.divergence = { ...r.divergence, dispute };
  if (dispute === null) return goOn(r);
  if (before !== null) return;
  r.mark('no-majority');
  stepAside(r);
}

/** What was held back: acks, and requests. */
function goOn<S>(r: Replica<S>): void {
  for (let op = r.commit + 1; op <= r.head; op++) acknowledge(r, op);
  openAdmission(r);
  startPrepares(r);
  startRepair(r);
}
