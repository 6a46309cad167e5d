import type { Checksum, Prepare, PrepareHeader, RandomState, RecoveredLog, RecoveredSlot } from '@kimberlite/base';
import { op as toOp, randomChance, randomInt } from '@kimberlite/base';
import type { DurableState } from '../src/index.ts';
import { TestCheckpoints } from './test-checkpoints.ts';

// A disk as the protocol's fault model has it: per op a body and a header record kept elsewhere, written and synced
// one after the other, and a superblock that changes atomically. Table D decides what a restart makes of it.

type Cell<T> = T | 'bad' | null;

export interface DiskSlot {
  header: Cell<PrepareHeader>;
  body: Cell<Prepare>;
}

export type PendingWork =
  | { readonly kind: 'log'; readonly prepare: Prepare }
  | { readonly kind: 'superblock'; readonly sequence: number; readonly state: DurableState }
  | { readonly kind: 'read'; readonly op: number; readonly id: Checksum };

export class TestDisk {
  superblock: DurableState;
  readonly slots = new Map<number, DiskSlot>();
  readonly checkpoints = new TestCheckpoints();
  pending: PendingWork[] = [];

  constructor(superblock: DurableState) {
    this.superblock = superblock;
  }

  slot(op: number): DiskSlot {
    const known = this.slots.get(op);
    if (known !== undefined) return known;
    const fresh: DiskSlot = { header: null, body: null };
    this.slots.set(op, fresh);
    return fresh;
  }

  /** The work is done and synced. */
  finish(work: PendingWork): void {
    if (work.kind === 'log') {
      const slot = this.slot(work.prepare.header.op);
      slot.body = work.prepare;
      slot.header = work.prepare.header;
    } else if (work.kind === 'superblock') this.superblock = work.state;
  }

  read(op: number, id: Checksum): Prepare | null {
    const body = this.slots.get(op)?.body ?? null;
    return body !== null && body !== 'bad' && body.header.id === id ? body : null;
  }

  /** What was in flight lands wholly, in part, or not at all. */
  crash(random: RandomState): void {
    for (const work of this.pending) {
      if (work.kind === 'superblock') {
        if (randomChance(random, 0.5)) this.superblock = work.state;
      } else if (work.kind === 'log') this.tear(work.prepare, randomInt(random, 0, 4));
    }
    this.pending = [];
  }

  /** 0: nothing landed; 1: torn body; 2: body only; 3: body and a torn header record; 4: all. */
  tear(prepare: Prepare, how: number): void {
    const slot = this.slot(prepare.header.op);
    if (how === 1) slot.body = 'bad';
    if (how >= 2) slot.body = prepare;
    if (how === 3) slot.header = 'bad';
    if (how === 4) slot.header = prepare.header;
  }

  /** Table D. */
  recover(): RecoveredLog {
    const { view, logView, suffix, checkpoints } = this.superblock;
    const base: number = checkpoints.at(-1)?.header.op ?? 0;
    for (const ref of checkpoints) {
      if (!this.checkpoints.has(ref))
        throw new Error(`the superblock names a checkpoint at op ${ref.header.op} that is not here`);
    }
    for (const [, slot] of this.slots) {
      if (slot.header === 'bad' && slot.body !== null && slot.body !== 'bad') slot.header = slot.body.header;
    }
    const suffixHead = suffix.at(-1)?.op ?? 0;
    let head: number = Math.max(suffixHead, base);
    let headCertain = true;
    const own = new Map<number, PrepareHeader>();
    if (view === logView) {
      const undecidable: number[] = [];
      for (const [op, { header, body }] of this.slots) {
        if (op <= suffixHead || op <= base) continue;
        const b = body === 'bad' ? null : (body?.header ?? null);
        const h = header === 'bad' ? null : header;
        if (b?.view === logView) own.set(op, b);
        else if (h?.view === logView) own.set(op, h);
        else if (header === 'bad') undecidable.push(op);
        if (own.has(op)) head = Math.max(head, op);
      }
      headCertain = undecidable.every((op) => op <= head);
    }
    const slots: RecoveredSlot[] = [];
    let link: Checksum | null = null;
    for (let op = head; op > base; op--) {
      const wanted = suffix.find((entry) => entry.op === op);
      const id: Checksum | null = wanted?.id ?? own.get(op)?.id ?? link;
      const found = this.verdict(op, id);
      const header = found.header ?? wanted?.header ?? null;
      const intact = found.found === undefined ? {} : { found: found.found };
      slots.push({ op: toOp(op), id, header, state: found.state, ...intact });
      link = header?.parent ?? null;
    }
    return { slots: slots.reverse(), head: toOp(head), headCertain };
  }

  /** Nothing below is read again. */
  trim(op: number): void {
    for (const known of this.slots.keys()) if (known < op) this.slots.delete(known);
  }

  private verdict(
    op: number,
    id: Checksum | null,
  ): { state: RecoveredSlot['state']; header: PrepareHeader | null; found?: PrepareHeader } {
    const { header, body } = this.slots.get(op) ?? { header: null, body: null };
    if (id === null) {
      // No header record was ever synced, so nothing was acknowledged; anything else may be the very prepare.
      const never = header === null && (body === null || body === 'bad');
      const whole =
        body !== null && body !== 'bad' && header !== null && header !== 'bad' && header.id === body.header.id;
      return { state: never ? 'missing' : 'faulty', header: null, ...(whole ? { found: body.header } : {}) };
    }
    if (body !== null && body !== 'bad' && body.header.id === id) return { state: 'durable', header: body.header };
    if (header !== null && header !== 'bad' && header.id === id) return { state: 'faulty', header };
    if (header === 'bad') return { state: 'faulty', header: null };
    return { state: 'missing', header: null };
  }
}
