import {
  type Checksum,
  type ClusterId,
  op as toOp,
  type PrepareHeader,
  pipelineMax,
  replicaId,
  timestamp,
  view as toView,
} from '@kimberlite/base';
import { describe, expect, test } from 'vitest';
import type { DoViewChangeMessage, SuffixMark } from '../src/index.ts';
import { quorumsOf } from '../src/quorum.ts';
import { type Selection, select } from '../src/select.ts';

// Hand-made view changes. A prepare is written `op.view`: 3.1 is op 3 made in view 1.

const idOf = (name: string): Checksum => name.replace('.', 'a').padStart(32, '0') as Checksum;

/** A chain of headers by name, bottom up. */
function chain(...names: readonly string[]): Map<string, PrepareHeader> {
  const headers = new Map<string, PrepareHeader>();
  let parent = idOf('0.0');
  for (const name of names) {
    const [op, view] = name.split('.').map(Number);
    headers.set(name, {
      id: idOf(name),
      cluster: 'c'.repeat(32) as ClusterId,
      op: toOp(op ?? 0),
      view: toView(view ?? 0),
      parent,
      timestamp: timestamp(Number(op) * 10),
      bodyLengthBytes: 0,
      bodyChecksum: idOf('0.0'),
    });
    parent = idOf(name);
  }
  return headers;
}

/** `name:bits`, bits of `p` present and `n` nack; a leading `?` means id without header, `op:bits` alone a blank. */
function marks(headers: Map<string, PrepareHeader>, texts: readonly string[]): SuffixMark[] {
  return texts.map((text) => {
    const [rawName = '', bits = ''] = text.split(':');
    const name = rawName.replace('?', '');
    const blank = !name.includes('.');
    const header = rawName.startsWith('?') || blank ? null : (headers.get(name) ?? null);
    return {
      op: toOp(Number(name.split('.')[0])),
      id: blank ? null : idOf(name),
      header,
      present: bits.includes('p'),
      nack: bits.includes('n'),
    };
  });
}

interface Sketch {
  readonly from: number;
  readonly logView: number;
  readonly commit: number;
  readonly suffix: readonly string[];
}

function dvc(headers: Map<string, PrepareHeader>, s: Sketch): DoViewChangeMessage {
  const suffix = marks(headers, s.suffix);
  return {
    type: 'do-view-change',
    from: replicaId(s.from),
    view: toView(9),
    logView: toView(s.logView),
    commit: toOp(s.commit),
    checkpoint: toOp(0),
    head: toOp(suffix.at(-1)?.op ?? 0),
    timestamp: timestamp(100 + s.from),
    suffix,
  };
}

const choose = (headers: Map<string, PrepareHeader>, replicaCount: number, sketches: readonly Sketch[]): Selection =>
  select({ dvcs: sketches.map((s) => dvc(headers, s)), replicaCount, quorums: quorumsOf(replicaCount), pipelineMax });

describe('Table B', () => {
  const h = chain('1.1', '2.1', '3.1', '4.1');

  test('waits for a view-change quorum', () => {
    expect(choose(h, 3, [{ from: 0, logView: 1, commit: 0, suffix: ['1.1:p'] }])).toEqual({
      type: 'wait',
      reason: 'quorum',
      alarm: false,
    });
  });

  test('an empty cluster begins with an empty log', () => {
    const empty = { logView: 0, commit: 0, suffix: [] };
    const s = choose(h, 3, [
      { from: 0, ...empty },
      { from: 1, ...empty },
    ]);
    expect(s).toMatchObject({ type: 'chosen', head: 0, commit: 0, suffix: [] });
  });

  test('keeps what one replica of the quorum holds and nobody else can disprove', () => {
    const s = choose(h, 3, [
      { from: 0, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p'] },
    ]);
    expect(s).toMatchObject({ type: 'chosen', head: 2, commit: 1 });
  });

  test('a nack quorum ends the log before the op', () => {
    const s = choose(h, 3, [
      { from: 0, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p', '3.1:n'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p'] },
    ]);
    expect(s).toMatchObject({ type: 'chosen', head: 2 });
  });

  test('a head that nobody heard can name is waited for', () => {
    const nameless = [
      { from: 0, logView: 1, commit: 2, suffix: ['2:', '?3.1:n'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p'] },
    ];
    expect(choose(h, 3, nameless)).toEqual({ type: 'wait', reason: 'undecided', alarm: false });
    const named = choose(h, 3, [...nameless, { from: 2, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p'] }]);
    expect(named).toMatchObject({ type: 'chosen', head: 2, commit: 2, suffix: [{ op: 2, id: idOf('2.1') }] });
  });

  test('highest log view, not the longest log, not the highest op per slot (pitfall 8)', () => {
    const mixed = new Map([...chain('1.1', '2.1', '3.1', '4.1'), ...chain('1.1', '2.2')]);
    const s = choose(mixed, 3, [
      { from: 0, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p', '3.1:p', '4.1:p'] },
      { from: 1, logView: 2, commit: 1, suffix: ['1.1:p', '2.2:p'] },
    ]);
    expect(s).toMatchObject({ type: 'chosen', head: 2 });
    expect(s.type === 'chosen' && s.suffix.map((e) => e.id)).toEqual([idOf('1.1'), idOf('2.2')]);
  });

  test('never truncates a damaged op that may have been committed; waits instead (pitfall 9)', () => {
    const two: Sketch[] = [
      { from: 0, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:n'] },
    ];
    expect(choose(h, 3, two)).toEqual({ type: 'wait', reason: 'undecided', alarm: false });
    // The third brings the body,
    expect(choose(h, 3, [...two, { from: 2, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p'] }])).toMatchObject({
      head: 2,
    });
    // or the nack that proves it was never committed,
    expect(choose(h, 3, [...two, { from: 2, logView: 1, commit: 1, suffix: ['1.1:p'] }])).toMatchObject({ head: 1 });
    // or neither: everybody is here and it cannot be decided.
    expect(choose(h, 3, [...two, { from: 2, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:'] }])).toEqual({
      type: 'wait',
      reason: 'undecided',
      alarm: true,
    });
  });

  test('the union of the highest log view, not any one of it (pitfall 51)', () => {
    const sketches: Sketch[] = [
      { from: 0, logView: 1, commit: 1, suffix: ['1.1:p', '2:', '3.1:p'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p'] },
    ];
    for (const order of [sketches, [...sketches].reverse()]) {
      const s = choose(h, 3, order);
      expect(s).toMatchObject({ type: 'chosen', head: 3 });
      expect(s.type === 'chosen' && s.suffix.map((e) => e.id)).toEqual([idOf('1.1'), idOf('2.1'), idOf('3.1')]);
    }
  });

  test('a blank id comes from the parent link above it', () => {
    const s = choose(h, 3, [
      { from: 0, logView: 1, commit: 1, suffix: ['1.1:p', '2:', '3.1:p'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p', '2:', '3.1:'] },
    ]);
    // Named, but neither held nor nacked by enough.
    expect(s).toEqual({ type: 'wait', reason: 'undecided', alarm: false });
  });

  test('a replica that was only in earlier log views cannot have acked a later prepare', () => {
    const later = new Map([...chain('1.1', '2.2')]);
    const s = choose(later, 3, [
      { from: 0, logView: 2, commit: 1, suffix: ['1.1:p', '2.2:n'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p', '2:'] },
    ]);
    expect(s).toMatchObject({ type: 'chosen', head: 1 });
  });

  test('nothing at or below a known commit number is truncated, whoever knows it', () => {
    const s = choose(h, 3, [
      { from: 0, logView: 1, commit: 3, suffix: ['3.1:', '4.1:n'] },
      { from: 1, logView: 1, commit: 1, suffix: ['1.1:p', '2.1:p', '3.1:n'] },
    ]);
    expect(s).toMatchObject({ type: 'chosen', head: 3, commit: 3 });
  });

  test('the timestamp is above every one reported, truncated ops included (pitfall 17)', () => {
    const s = choose(h, 3, [
      { from: 0, logView: 1, commit: 1, suffix: ['1.1:p'] },
      { from: 2, logView: 0, commit: 0, suffix: [] },
    ]);
    expect(s).toMatchObject({ type: 'chosen', timestamp: 102 });
  });

  test('two ids at one op of one log view stop the replica', () => {
    const forked = new Map([...chain('1.1'), ...chain('1.0')]);
    expect(() =>
      choose(forked, 3, [
        { from: 0, logView: 1, commit: 0, suffix: ['1.1:p'] },
        { from: 1, logView: 1, commit: 0, suffix: ['1.0:p'] },
      ]),
    ).toThrow('two ids');
  });
});
