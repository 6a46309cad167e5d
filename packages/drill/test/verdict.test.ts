import { describe, expect, it } from 'vitest';
import { type Evidence, type FinalRow, judge, type Recorded } from '../src/index.ts';

// Histories written by hand, each with the verdict it must get: a drill that cannot fail shows nothing.

type Times = readonly [invokedAt: number, returnedAt: number];

const call = (kind: Recorded['kind'], key: string, value: number | null, [invokedAt, returnedAt]: Times): Recorded => ({
  client: 0,
  kind,
  key,
  value,
  invokedAt,
  returnedAt,
  outcome: 'ok',
});
const insert = (id: number, times: Times, position: number): Recorded => ({
  ...call('insert', String(id), id, times),
  position,
});
const write = (key: string, value: number, times: Times, position: number): Recorded => ({
  ...call('write', key, value, times),
  position,
});
const read = (key: string, value: number | null, times: Times): Recorded => call('read', key, value, times);

const refused = (kind: 'insert' | 'write', key: string, value: number, times: Times, code = 'Timeout'): Recorded => ({
  ...call(kind, key, value, times),
  outcome: 'not-applied',
  code,
  error: `${code} it was`,
});
const unknown = (kind: 'insert' | 'write', key: string, value: number, invokedAt: number): Recorded => ({
  ...call(kind, key, value, [invokedAt, Number.POSITIVE_INFINITY]),
  outcome: 'unknown',
  code: 'Timeout',
  error: 'no answer',
});

type Found = Record<string, FinalRow>;
const row = (value: number, version: number): FinalRow => ({ value, version });

/** What is there in the end, over a history that by itself is without fault. */
const evidence = (
  history: readonly Recorded[],
  rows: Found,
  registers: Found,
  more: Partial<Evidence> = {},
): Evidence => ({
  history,
  final: { rows: new Map(Object.entries(rows)), registers: new Map(Object.entries(registers)) },
  hashes: [{ op: 9, hashes: ['aa', 'aa', 'aa'] }],
  troubles: [],
  ...more,
});

const history = [
  insert(1, [0, 10], 1),
  write('r0', 2, [5, 15], 2),
  read('r0', 2, [16, 20]),
  write('r0', 3, [21, 30], 3),
  read('r0', 3, [31, 35]),
];
const rows = { 1: row(1, 1) };
const registers = { r0: row(3, 3) };

const fails = (given: Evidence, problem: RegExp, counts: object): void => {
  const verdict = judge(given);
  expect(verdict).toMatchObject({ verdict: 'fail', lost: 0, duplicated: 0, diverged: 0, ...counts });
  expect(verdict.problems.join('\n')).toMatch(problem);
};

describe('a history without fault', () => {
  it('passes, with everything counted', () => {
    expect(judge(evidence(history, rows, registers))).toEqual({
      verdict: 'pass',
      acknowledged: 5,
      notApplied: 0,
      unknown: 0,
      lost: 0,
      duplicated: 0,
      linearizable: true,
      diverged: 0,
      problems: [],
    });
  });

  it('may hold calls that were refused and left no trace', () => {
    const more = [...history, refused('insert', '7', 7, [40, 50]), refused('write', 'r0', 8, [40, 50])];
    expect(judge(evidence(more, rows, registers))).toMatchObject({ verdict: 'pass', notApplied: 2 });
  });

  it.each([
    ['never took effect', rows, registers],
    ['took effect', { ...rows, 7: row(7, 4) }, { r0: row(8, 5) }],
  ])('may hold calls of unknown outcome that %s', (_name, rowsThen, registersThen) => {
    const more = [...history, unknown('insert', '7', 7, 40), unknown('write', 'r0', 8, 40)];
    expect(judge(evidence(more, rowsThen, registersThen))).toMatchObject({ verdict: 'pass', unknown: 2 });
  });

  it('may hold a read that overlaps a write and sees what was before', () => {
    const more = [...history, write('r0', 9, [40, 50], 4), read('r0', 3, [45, 60])];
    expect(judge(evidence(more, rows, { r0: row(9, 4) }))).toMatchObject({ verdict: 'pass' });
  });
});

describe('lost', () => {
  it('is an acknowledged row that is not there', () => {
    fails(evidence(history, {}, registers), /rows 1 was acknowledged at position 1 and is not there/, { lost: 1 });
  });

  it('is a register that is not there at all, once however often it was written', () => {
    fails(evidence(history, rows, {}), /registers r0 was acknowledged at position 3/, { lost: 1 });
  });

  it('is the last write of a register when the one before it is back', () => {
    fails(evidence(history, rows, { r0: row(2, 2) }), /r0 is not linearizable/, { linearizable: false });
  });
});

describe('duplicated', () => {
  it('is an insert that was refused because it had run before, counted once', () => {
    const more = [...history, refused('insert', '7', 7, [40, 50], 'DuplicateKey')];
    const there = { ...rows, 7: row(7, 4) };
    fails(evidence(more, there, registers), /the insert of row 7 ran twice/, { duplicated: 1 });
    fails({ ...evidence(more, {}, {}), final: null }, /the insert of row 7 ran twice/, { duplicated: 1 });
  });

  it('is a row, or a register, that was written again after its position was told', () => {
    fails(evidence(history, { 1: row(1, 4) }, registers), /rows 1: .* position 1 but written at 4/, { duplicated: 1 });
    fails(evidence(history, rows, { r0: row(3, 4) }), /registers r0: .* position 3 but written at 4/, {
      duplicated: 1,
    });
  });

  it('is an older write that ran again over a newer one', () => {
    const given = evidence(history, rows, { r0: row(2, 4) });
    fails(given, /position 2 but written at 4/, { duplicated: 1, linearizable: false });
  });

  it('is what was reported as not applied and is there', () => {
    const more = [...history, refused('insert', '7', 7, [40, 50])];
    const there = { ...rows, 7: row(7, 4) };
    fails(evidence(more, there, registers), /row 7 was reported as not applied \(Timeout it was\) and is there/, {
      duplicated: 1,
    });
  });

  it('is a row that nobody inserted', () => {
    fails(evidence(history, { ...rows, 8: row(8, 4) }, registers), /row 8 is there and nobody/, { duplicated: 1 });
  });
});

describe('not linearizable', () => {
  const notLinearizable = (more: readonly Recorded[], last: FinalRow): void =>
    fails(evidence([...history, ...more], rows, { r0: last }), /register r0 is not linearizable/, {
      linearizable: false,
    });

  it('is a read that began after a write was acknowledged and did not see it', () => {
    notLinearizable([write('r0', 9, [40, 50], 4), read('r0', 3, [51, 60])], row(9, 4));
  });

  it('is the same read by somebody who asked a single node', () => {
    notLinearizable([write('r0', 9, [40, 50], 4), { ...read('r0', 3, [51, 60]), client: -1 }], row(9, 4));
  });

  it('is a read of nothing where something was', () => {
    notLinearizable([read('r0', null, [40, 50])], row(3, 3));
  });

  it('is a read of a write that was reported as not applied', () => {
    notLinearizable([refused('write', 'r0', 9, [40, 50]), read('r0', 9, [51, 60])], row(9, 4));
  });

  it('is a value of unknown outcome that was seen and is gone again', () => {
    notLinearizable([unknown('write', 'r0', 9, 40), read('r0', 9, [51, 60]), read('r0', 3, [61, 70])], row(3, 3));
  });

  it('is seen without the final state too', () => {
    const more = [...history, write('r0', 9, [40, 50], 4), read('r0', 3, [51, 60])];
    fails({ ...evidence(more, {}, {}), final: null }, /r0 is not linearizable/, { linearizable: false });
  });
});

describe('everything else that is wrong', () => {
  it('is different hashes at one op, with who had which', () => {
    const hashes = [
      { op: 9, hashes: ['aa', 'aa', 'aa'] },
      { op: 20, hashes: ['bb', 'bb', 'cc'] },
    ];
    const problem = /state hashes differ at op 20: replica 0 bb, replica 1 bb, replica 2 cc/;
    fails(evidence(history, rows, registers, { hashes }), problem, { diverged: 1, linearizable: true });
  });

  it('is a trouble in words, even when nothing else could be judged', () => {
    const given = evidence(history, {}, {}, { final: null, troubles: ['waited in vain for: a primary'] });
    fails(given, /^waited in vain for: a primary$/, { linearizable: true });
  });

  it('is told in a bounded number of lines and counted in full', () => {
    const many = Array.from({ length: 500 }, (_unused, i) => insert(i + 100, [40, 50], i + 100));
    const verdict = judge(evidence([...history, ...many], rows, registers));
    expect(verdict.lost).toBe(500);
    expect(verdict.problems).toHaveLength(20);
  });
});
