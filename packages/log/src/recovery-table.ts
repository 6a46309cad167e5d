import { assert } from '@kimberlite/base';

// Table D as data. H is the header record of an op, B its body: the newest intact prepare of this op, or what is left
// of it. Row 0 (H bad and B intact: H is written again from B) was done when the log was opened, so `bad` with a whole
// body occurs only where other damage might hide a newer one, and is then given as B bad.

/** Seen from an id that is wanted at this op. */
export type Seen = 'none' | 'bad' | 'wanted' | 'other';
export type WantedVerdict = 'durable' | 'faulty' | 'missing';

interface Row<Kind, Verdict> {
  readonly header: readonly Kind[];
  readonly body: readonly Kind[];
  readonly verdict: Verdict;
  readonly why: string;
}

/** Row 1: the wanted id is known. */
export const wantedRows: readonly Row<Seen, WantedVerdict>[] = [
  {
    header: ['none', 'bad', 'wanted', 'other'],
    body: ['wanted'],
    verdict: 'durable',
    why: 'the prepare is here',
  },
  {
    header: ['wanted'],
    body: ['none', 'bad', 'other'],
    verdict: 'faulty',
    why: 'its header record was written after its sync: it may have been acknowledged',
  },
  {
    header: ['bad'],
    body: ['none', 'bad'],
    verdict: 'faulty',
    why: 'nothing tells what was here',
  },
  {
    header: ['none', 'other'],
    body: ['none', 'bad', 'other'],
    verdict: 'missing',
    why: 'a torn write or older content: its sync was never followed by its header record',
  },
  {
    header: ['bad'],
    body: ['other'],
    verdict: 'missing',
    why: 'the slot held older content',
  },
];

/** Seen above the suffix while view = log view: `current` has the log view as its view. */
export type SeenAbove = 'none' | 'bad' | 'current' | 'other';
export type AboveVerdict = 'durable' | 'faulty' | 'undecidable' | 'empty';

/** Row 2: above the suffix. */
export const aboveRows: readonly Row<SeenAbove, AboveVerdict>[] = [
  {
    header: ['none', 'bad', 'current', 'other'],
    body: ['current'],
    verdict: 'durable',
    why: 'a prepare of the log view is here',
  },
  {
    header: ['current'],
    body: ['none', 'bad', 'other'],
    verdict: 'faulty',
    why: 'a prepare of the log view was here',
  },
  {
    header: ['bad'],
    body: ['none', 'bad'],
    verdict: 'undecidable',
    why: 'nothing tells whether anything was here',
  },
  {
    header: ['none', 'other'],
    body: ['none', 'bad', 'other'],
    verdict: 'empty',
    why: 'nothing of the log view was ever complete here',
  },
  {
    header: ['bad'],
    body: ['other'],
    verdict: 'empty',
    why: 'the slot held older content',
  },
];

function lookUp<Kind, Verdict>(rows: readonly Row<Kind, Verdict>[], header: Kind, body: Kind): Verdict {
  const row = rows.find((candidate) => candidate.header.includes(header) && candidate.body.includes(body));
  assert(row !== undefined, () => `the recovery table has a row for header ${String(header)}, body ${String(body)}`);
  return row.verdict;
}

export const decideWanted = (header: Seen, body: Seen): WantedVerdict => lookUp(wantedRows, header, body);
export const decideAbove = (header: SeenAbove, body: SeenAbove): AboveVerdict => lookUp(aboveRows, header, body);
