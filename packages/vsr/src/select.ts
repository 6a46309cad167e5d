import { assert, type Checksum, type PrepareHeader } from '@kimberlite/base';
import type { ReplicaMark } from './coverage.ts';
import type { DoViewChangeMessage, SuffixMark } from './message.ts';
import type { Quorums } from './quorum.ts';

// Table B, steps 1 to 4: which log the new view begins with. A pure function of the do_view_changes.

/** One op of the selected end of the log; a blank id is one that nobody could name. */
export interface SelectedEntry {
  readonly op: number;
  readonly id: Checksum | null;
  readonly header: PrepareHeader | null;
}

export type Selection =
  | { readonly type: 'wait'; readonly reason: 'quorum' | 'undecided'; readonly alarm: boolean }
  | {
      readonly type: 'chosen';
      readonly head: number;
      /** K: highest op known committed; nothing at or below it was truncated. */
      readonly commit: number;
      /** Ops `max(1, min(head, max(K, head - P))) .. head`, ascending. */
      readonly suffix: readonly SelectedEntry[];
      /** Greatest timestamp of all do_view_changes; the next prepare is above it. */
      readonly timestamp: number;
    };

export interface SelectionInput {
  /** The latest of each replica, own included. */
  readonly dvcs: readonly DoViewChangeMessage[];
  readonly replicaCount: number;
  readonly quorums: Quorums;
  readonly pipelineMax: number;
  readonly mark?: (name: ReplicaMark) => void;
}

const markAt = (d: DoViewChangeMessage, op: number): SuffixMark | null =>
  d.suffix.find((mark) => mark.op === op) ?? null;

/** The union of what the highest log view knows about each op (pitfall 51), linked from the head down. */
function unite(candidates: readonly DoViewChangeMessage[], low: number, head: number): Map<number, SelectedEntry> {
  const entries = new Map<number, SelectedEntry>();
  for (let op = head; op >= low; op--) {
    let id: Checksum | null = null;
    let header: PrepareHeader | null = null;
    for (const d of candidates) {
      const mark = markAt(d, op);
      if (mark === null || mark.id === null) continue;
      assert(id === null || id === mark.id, () => `op ${op} has two ids in log view ${d.logView}`);
      id = mark.id;
      header ??= mark.header;
    }
    const parent = entries.get(op + 1)?.header?.parent ?? null;
    assert(id === null || parent === null || id === parent, () => `the log of the highest log view breaks at op ${op}`);
    entries.set(op, { op, id: id ?? parent, header });
  }
  return entries;
}

/** Does `d` prove that its sender never acknowledged `entry` below the new view (pitfall 9)? */
export function nackedBy(d: DoViewChangeMessage, entry: SelectedEntry): boolean {
  if (d.head < entry.op) return true;
  const mark = markAt(d, entry.op);
  if (mark?.nack === true) return true;
  if (mark !== null && mark.id !== null && entry.id !== null && mark.id !== entry.id) return true;
  return entry.header !== null && entry.header.view > d.logView;
}

export function heldBy(d: DoViewChangeMessage, entry: SelectedEntry): boolean {
  const mark = markAt(d, entry.op);
  return mark !== null && mark.present && mark.id !== null && mark.id === entry.id;
}

export function select(input: SelectionInput): Selection {
  const { dvcs, replicaCount, quorums, pipelineMax, mark } = input;
  if (dvcs.length < quorums.viewChange) return { type: 'wait', reason: 'quorum', alarm: false };
  const logView = Math.max(...dvcs.map((d) => d.logView));
  // By highest log view, not by the longest log or the highest op (pitfall 8).
  const candidates = dvcs.filter((d) => d.logView === logView);
  if (candidates.length < dvcs.length) mark?.('older-log-view-outranked');
  let head = Math.max(...candidates.map((d) => d.head));
  const commit = Math.max(head - pipelineMax, 0, ...dvcs.map((d) => d.commit));
  assert(head >= commit, () => `op ${commit} is committed, but the highest log view ends at ${head}`);
  const entries = unite(candidates, Math.max(1, Math.min(head, commit)), head);
  for (let op = commit + 1; op <= head; op++) {
    const entry = entries.get(op);
    assert(entry !== undefined, 'every op up to the head has an entry');
    const nacks = dvcs.filter((d) => nackedBy(d, entry)).length;
    if (nacks >= quorums.nack) {
      mark?.('nacked-head');
      head = op - 1;
      break;
    }
    if (dvcs.some((d) => heldBy(d, entry))) continue;
    // Neither proof nor copy: more replicas may bring either. Never truncated.
    mark?.('waits-for-more-replicas');
    return { type: 'wait', reason: 'undecided', alarm: dvcs.length === replicaCount };
  }
  // The head of a log is never blank: whoever can name it has to be heard first.
  if (head > 0 && (entries.get(head)?.id ?? null) === null) {
    return { type: 'wait', reason: 'undecided', alarm: dvcs.length === replicaCount };
  }
  const low = Math.max(1, Math.min(head, Math.max(commit, head - pipelineMax)));
  const suffix: SelectedEntry[] = [];
  for (let op = low; op <= head; op++) suffix.push(entries.get(op) ?? { op, id: null, header: null });
  const undecided = suffix.filter((entry) => entry.op > commit);
  if (!dvcs.some((d) => undecided.every((entry) => heldBy(d, entry)))) mark?.('union-of-logs');
  return { type: 'chosen', head, commit, suffix, timestamp: Math.max(...dvcs.map((d) => d.timestamp)) };
}
