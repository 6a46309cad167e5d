import { describe, expect, test } from 'vitest';
import { type Mark, markOf, markTable } from '../src/marks.ts';
import { type RestartFacts, restartTable } from '../src/recovery.ts';
import { type SessionFacts, sessionRow, sessionTable } from '../src/sessions.ts';
import { type StartViewFacts, startViewTable } from '../src/view-change.ts';

/** Every combination of the given values. */
function combinations<T extends object>(values: { readonly [K in keyof T]: readonly T[K][] }): T[] {
  let all: object[] = [{}];
  for (const [key, choices] of Object.entries(values)) {
    all = all.flatMap((one) => (choices as readonly unknown[]).map((choice) => ({ ...one, [key]: choice })));
  }
  return all as T[];
}

const both = [false, true] as const;

describe('Table A, row 4', () => {
  const all = combinations<Mark>({ here: ['durable', 'memory', 'none', 'blank'], faulty: both });

  test('exactly one row matches', () => {
    for (const mark of all) expect(markTable.filter((row) => row.matches(mark))).toHaveLength(1);
  });
  test('as specified', () => {
    expect(markOf({ here: 'durable', faulty: false })).toMatchObject({ present: true, nack: false });
    expect(markOf({ here: 'memory', faulty: false })).toMatchObject({ present: true, nack: true });
    expect(markOf({ here: 'none', faulty: false })).toMatchObject({ present: false, nack: true });
    expect(markOf({ here: 'none', faulty: true })).toMatchObject({ present: false, nack: false });
    expect(markOf({ here: 'blank', faulty: false })).toMatchObject({ present: false, nack: true });
    expect(markOf({ here: 'blank', faulty: true })).toMatchObject({ present: false, nack: false });
  });
  test('what is durable or was damaged is never nacked', () => {
    for (const mark of all) if (mark.faulty || mark.here === 'durable') expect(markOf(mark).nack).toBe(false);
  });
});

describe('Table C', () => {
  const all = combinations<StartViewFacts>({
    status: ['normal', 'view-change', 'recovering-head'],
    sameView: both,
    longer: both,
    thisBoot: both,
    coversFound: both,
  });
  const actionOf = (facts: StartViewFacts) => startViewTable.find((row) => row.matches(facts))?.action;

  test('exactly one row matches', () => {
    for (const facts of all) expect(startViewTable.filter((row) => row.matches(facts))).toHaveLength(1);
  });
  test('a normal replica never installs a log of its own view (pitfall 49)', () => {
    for (const facts of all) {
      if (facts.status === 'normal' && facts.sameView) expect(actionOf(facts)).not.toBe('install');
    }
  });
  test('recovering head takes its own view only from this boot and only whole', () => {
    for (const facts of all) {
      if (facts.status !== 'recovering-head' || !facts.sameView) continue;
      expect(actionOf(facts)).toBe(facts.thisBoot && facts.coversFound ? 'install' : 'ignore');
    }
  });
});

describe('Table E', () => {
  const all = combinations<RestartFacts>({ alone: both, settled: both, headCertain: both, primary: both });

  test('exactly one row matches', () => {
    for (const facts of all) expect(restartTable.filter((row) => row.matches(facts))).toHaveLength(1);
  });
  test('no primary resumes its view (pitfall 16)', () => {
    for (const facts of all) {
      const action = restartTable.find((row) => row.matches(facts))?.action;
      if (facts.primary) expect(action).not.toBe('normal');
    }
  });
});

describe('Table G', () => {
  const nothing: SessionFacts = {
    register: false,
    clientKnown: true,
    sessionKnown: true,
    reached: true,
    belowFloor: false,
    outcome: 'none',
    inFlight: false,
    beyondWindow: false,
    queueFull: false,
  };
  const rowFor = (facts: Partial<SessionFacts>) => sessionRow({ ...nothing, ...facts });

  test('is total: the last row matches everything, and no row is out of reach', () => {
    const reached = new Set<string>();
    const all = combinations<SessionFacts>({
      register: both,
      clientKnown: both,
      sessionKnown: both,
      reached: both,
      belowFloor: both,
      outcome: ['none', 'same', 'other'],
      inFlight: both,
      beyondWindow: both,
      queueFull: both,
    });
    for (const facts of all) reached.add(sessionRow(facts).name);
    expect([...reached].sort()).toEqual(sessionTable.map((row) => row.name).sort());
  });
  test.each([
    [{ register: true }, 'resend-session', 'same-session'],
    [{ register: true, clientKnown: false, inFlight: true }, 'ignore', 'none'],
    [{ register: true, clientKnown: false }, 'admit', 'insert'],
    [{ sessionKnown: false, reached: false }, 'silence', 'skip-evicted'],
    [{ sessionKnown: false }, 'evicted', 'skip-evicted'],
    [{ belowFloor: true, outcome: 'same' }, 'silence', 'skip'],
    [{ outcome: 'same', inFlight: true }, 'resend-outcome', 'skip'],
    [{ outcome: 'other' }, 'mismatch', 'skip'],
    [{ inFlight: true, beyondWindow: true }, 'ignore', 'none'],
    [{ beyondWindow: true, queueFull: true }, 'window-full', 'skip-window-full'],
    [{ queueFull: true }, 'overloaded', 'none'],
    [{}, 'admit', 'run'],
  ] as const)('%o', (facts, primary, apply) => {
    expect(rowFor(facts)).toMatchObject({ primary, apply });
  });
});
