import type { KernelState } from '@kimberlite/kernel';
import type { Replica } from '@kimberlite/vsr';

/** A change of a replica's state in memory, behind its back. */
export interface Flip {
  readonly part: string;
  /** Found by the replica itself, by looking through its memory; otherwise by comparison with the others. */
  readonly isSeenAlone: boolean;
  /** It may be written over in the course of things; otherwise nothing but another state takes it away. */
  readonly vanishes: boolean;
  /** Whether what was changed is no longer there. Null: only another state is without it. */
  readonly isGone: ((state: Replica<KernelState>) => boolean) | null;
}

interface Open extends Flip {
  /** Since when the process has had time to find it; null: it went down since, and its disk may have it now. */
  sinceUs: number | null;
  /** It went on since from a state that is the others' too. */
  isRestored: boolean;
  /** What it executed last gave what it gave the others. */
  isLikeOthers: boolean;
  /** What was changed is not there any more, though what was made of it may be. */
  isGoneNow: boolean;
}

/** Longer than it takes a replica to look through all of its state. */
const findsWithinUs = 3_000_000;

/**
 * Which replicas have a wrong state just now, by a fault of ours: what they execute and report is not judged, and
 * clients do not hear them. From when they should know it, they must not speak for the cluster either.
 */
export class Flips {
  private readonly open = new Map<number, Open>();
  private readonly ever = new Set<number>();

  get size(): number {
    return this.open.size;
  }

  has(replica: number): boolean {
    return this.open.has(replica);
  }

  /** Its checkpoints may have been taken ahead of everybody whose word counts. */
  wasEver(replica: number): boolean {
    return this.ever.has(replica);
  }

  begin(replica: number, flip: Flip, nowUs: number): void {
    this.ever.add(replica);
    this.open.set(replica, { ...flip, sinceUs: nowUs, isRestored: false, isLikeOthers: false, isGoneNow: false });
  }

  /** Written over in the state, it may have got into a checkpoint before. False: there never was anything. */
  leftInCheckpoint(replica: number, nowUs: number): boolean {
    if (!this.ever.has(replica)) return false;
    this.begin(replica, { part: 'checkpoint', isSeenAlone: false, vanishes: false, isGone: null }, nowUs);
    return true;
  }

  /** The replica goes on from a state that the others had too, at its op. */
  restored(replica: number): void {
    const flip = this.open.get(replica);
    if (flip !== undefined) flip.isRestored = true;
  }

  executed(replica: number, isLikeOthers: boolean): void {
    const flip = this.open.get(replica);
    if (flip !== undefined) flip.isLikeOthers = isLikeOthers;
  }

  /** It goes on from a checkpoint that has the damage in it. */
  restoredWrong(replica: number): void {
    const flip = this.open.get(replica);
    if (flip !== undefined) flip.isRestored = false;
  }

  /** A pause gives no time to find anything; and what was written in the meantime may be read back after a crash. */
  powered(replica: number, power: 'off' | 'on' | 'paused', nowUs: number): void {
    const flip = this.open.get(replica);
    if (flip === undefined || flip.sinceUs === null) return;
    flip.sinceUs = power === 'off' ? null : nowUs;
  }

  turned(replica: number, state: Replica<KernelState>): void {
    const flip = this.open.get(replica);
    if (flip === undefined || !state.stateLoaded) return;
    flip.isGoneNow = flip.isGone === null ? flip.isRestored : flip.isGone(state);
    if (flip.isGoneNow && (flip.isRestored || (flip.vanishes && flip.isLikeOthers))) this.open.delete(replica);
  }

  /** The replica should know by now, and act on it. */
  isOverdue(replica: number, nowUs: number): boolean {
    const flip = this.open.get(replica);
    if (flip === undefined || !flip.isSeenAlone || flip.isRestored || flip.isGoneNow) return false;
    if (flip.sinceUs === null) return false;
    return nowUs - flip.sinceUs > findsWithinUs;
  }

  /** What was changed is still there. */
  isThere(replica: number): boolean {
    const flip = this.open.get(replica);
    return flip !== undefined && !flip.isGoneNow;
  }

  /** The replica cannot see by itself, or no more, that something is wrong: a comparison has to show it. */
  needsOthers(replica: number): boolean {
    const flip = this.open.get(replica);
    if (flip === undefined || flip.isRestored) return false;
    return !flip.isSeenAlone || flip.isGoneNow || flip.sinceUs === null;
  }

  partOf(replica: number): string {
    return this.open.get(replica)?.part ?? 'nothing';
  }

  /** The machine is gone, and its memory with it. */
  wiped(replica: number): void {
    this.open.delete(replica);
  }
}
