import { assert } from '@kimberlite/base';

// Table A, row 4: the two independent bits a do_view_change carries for each op.

export interface Mark {
  /** Where the wanted prepare is; `memory` includes a write queued or in flight. */
  readonly here: 'durable' | 'memory' | 'none' | 'blank';
  /** The slot holds something that may have been acknowledged and is damaged. */
  readonly faulty: boolean;
}

export interface MarkBits {
  readonly present: boolean;
  /** No ack of it from here counts, or can still be sent, below the new view. */
  readonly nack: boolean;
}

export interface MarkRow extends MarkBits {
  readonly name: string;
  readonly matches: (mark: Mark) => boolean;
}

/**
 * A prepare in memory whose slot is faulty was acknowledged, perhaps, before the damage: it is no nack. The table
 * in the specification leaves that corner to the definition of nack; this row spells it out.
 */
export const markTable: readonly MarkRow[] = [
  { name: 'durable', matches: (m) => m.here === 'durable', present: true, nack: false },
  { name: 'in memory', matches: (m) => m.here === 'memory' && !m.faulty, present: true, nack: true },
  { name: 'in memory, slot faulty', matches: (m) => m.here === 'memory' && m.faulty, present: true, nack: false },
  { name: 'not here', matches: (m) => m.here === 'none' && !m.faulty, present: false, nack: true },
  { name: 'faulty', matches: (m) => m.here === 'none' && m.faulty, present: false, nack: false },
  { name: 'blank, slot empty', matches: (m) => m.here === 'blank' && !m.faulty, present: false, nack: true },
  { name: 'blank, slot faulty', matches: (m) => m.here === 'blank' && m.faulty, present: false, nack: false },
];

export function markOf(mark: Mark): MarkBits {
  const row = markTable.find((candidate) => candidate.matches(mark));
  assert(row !== undefined, 'Table A, row 4 is total');
  return row;
}
