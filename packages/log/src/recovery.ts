import {
  assert,
  type Checksum,
  type Op,
  type PrepareHeader,
  type RecoveredLog,
  type RecoveredSlot,
  type View,
} from '@kimberlite/base';
import type { HeaderRecord } from './header-record.ts';
import { decideAbove, decideWanted, type Seen, type SeenAbove } from './recovery-table.ts';

/** What the replica knows of its log from its superblock. */
export interface Wanted {
  /** The checkpoint it starts from; slots are given above it. Left out: none, the log starts at op 1. */
  readonly base?: { readonly op: Op; readonly id: Checksum };
  readonly view: View;
  readonly logView: View;
  readonly suffix: readonly { readonly op: Op; readonly id: Checksum | null; readonly header: PrepareHeader | null }[];
}

/** B of Table D. `intact` is the prepare the header record names. */
export type BodyState = 'none' | 'bad' | 'intact';

/** What opening the log found, by op from 1. */
export interface SlotSource {
  /** The lowest op the log still holds; what is below was acknowledged once and may be gone. Left out: 1. */
  readonly lowest?: number;
  /** No op above it has a header record, whole or damaged. */
  readonly highest: number;
  readonly header: (op: number) => HeaderRecord;
  readonly body: (op: number) => BodyState;
}

const seenBody = <Kind>(body: BodyState, header: Kind): Kind | 'none' | 'bad' => (body === 'intact' ? header : body);

function seenAbove(header: HeaderRecord, logView: View): SeenAbove {
  if (header.state !== 'header') return header.state;
  return header.header.view === logView ? 'current' : 'other';
}

function seenWanted(header: HeaderRecord, id: Checksum): Seen {
  if (header.state !== 'header') return header.state;
  return header.header.id === id ? 'wanted' : 'other';
}

/** Row 2 and the head: the highest op in the log, and whether something above it stays undecided. */
function findHead(source: SlotSource, wanted: Wanted): { readonly head: number; readonly certain: boolean } {
  const suffixHead = wanted.suffix.reduce((highest, entry) => Math.max(highest, entry.op), 0);
  // An unsettled log ends where its suffix was frozen; what lies higher belongs to nobody (pitfall 52).
  if (wanted.view > wanted.logView) return { head: Math.max(suffixHead, wanted.base?.op ?? 0), certain: true };
  let head = Math.max(suffixHead, wanted.base?.op ?? 0);
  let undecidable = 0;
  // Never stops at a hole: an acknowledged op may lie above it (pitfall 47).
  for (let at = head + 1; at <= source.highest; at++) {
    const header = seenAbove(source.header(at), wanted.logView);
    const verdict = decideAbove(header, seenBody(source.body(at), header));
    if (verdict === 'durable' || verdict === 'faulty') head = at;
    else if (verdict === 'undecidable') undecidable = at;
  }
  return { head, certain: undecidable <= head };
}

function recoverSlot(source: SlotSource, at: number, id: Checksum | null, known: PrepareHeader | null): RecoveredSlot {
  const record = source.header(at);
  const op = at as Op;
  if (id === null) {
    // Blank. Only a slot that is certainly empty may be nacked (Table A.4).
    const intact = source.body(at) === 'intact';
    if (record.state === 'none' && !intact) return { op, id, header: null, state: 'missing' };
    const found = intact && record.state === 'header' ? { found: record.header } : {};
    return { op, id, header: null, state: 'faulty', ...found };
  }
  const seen = seenWanted(record, id);
  const found = record.state === 'header' && record.header.id === id ? record.header : null;
  const header = known !== null && known.id === id ? known : found;
  return { op, id, header, state: decideWanted(seen, seenBody(source.body(at), seen)) };
}

/** Table D, rows 1 to 3, over what opening the log found. */
export function recoverLog(source: SlotSource, wanted: Wanted): RecoveredLog {
  assert(wanted.view >= wanted.logView, 'the log view is never above the view');
  const { head, certain } = findHead(source, wanted);
  const suffix = new Map(wanted.suffix.map((entry) => [entry.op as number, entry]));
  const suffixHead = wanted.suffix.reduce((highest, entry) => Math.max(highest, entry.op), 0);
  const base = wanted.base?.op ?? 0;
  const lowest = source.lowest ?? 1;
  const slots: RecoveredSlot[] = new Array(head - base);
  let link: Checksum | null = null;
  for (let at = head; at > base; at--) {
    const entry = suffix.get(at);
    const record = source.header(at);
    // Above the suffix the log view's own records count by themselves: a view has one prepare an op.
    const own: Checksum | null =
      at > suffixHead && record.state === 'header' && record.header.view === wanted.logView ? record.header.id : null;
    const found = recoverSlot(source, at, entry?.id ?? link ?? own, entry?.header ?? null);
    // Trimmed, because a checkpoint covered it: that it is not here is no sign that it never was.
    const slot = at < lowest && found.state === 'missing' ? { ...found, state: 'faulty' as const } : found;
    slots[at - base - 1] = slot;
    link = slot.header === null ? null : slot.header.parent;
  }
  return { slots, head: head as Op, headCertain: certain };
}
