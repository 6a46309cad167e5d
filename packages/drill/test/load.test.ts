import { describe, expect, it } from 'vitest';
import { Load, longestGap, type Recorded } from '../src/index.ts';

describe('the longest gap', () => {
  it.each([
    ['lies between two acknowledgements', [0, 10, 50, 60], 0, 60, 40],
    ['is counted in full when it begins before the window', [0, 5, 90, 100], 50, 100, 85],
    ['is counted in full when it ends after the window', [0, 10, 20, 200, 210], 10, 50, 180],
    ['is not looked for before the window', [0, 80, 90, 100], 90, 100, 10],
    ['is not looked for after the window', [0, 10, 20, 30, 900], 0, 20, 10],
    ['ends with the window when nothing comes any more', [0, 10, 20], 0, 100, 80],
    ['is the window when nothing came at all', [], 30, 100, 70],
    ['begins with the window when nothing came before it', [60, 70], 30, 70, 30],
  ])('%s', (_name, acknowledgedAt, from, to, gap) => {
    expect(longestGap(acknowledgedAt, from, to)).toBe(gap);
  });
});

describe('registers written since', () => {
  const load = new Load({ endpoints: [], clients: 1, concurrency: 1, registers: 8 });
  const add = (kind: Recorded['kind'], key: string, times: readonly [number, number], more: Partial<Recorded> = {}) => {
    const [invokedAt, returnedAt] = times;
    load.history.push({ client: 0, kind, key, value: 1, invokedAt, returnedAt, outcome: 'ok', ...more });
  };
  add('write', 'r0', [80, 90]);
  add('write', 'r1', [95, 105]);
  add('write', 'r2', [101, 110]);
  add('write', 'r8', [102, 111]);
  add('read', 'r3', [101, 111]);
  add('insert', 'r4', [101, 112]);
  add('write', 'r5', [101, Number.POSITIVE_INFINITY], { outcome: 'unknown' });
  add('write', 'r6', [101, 113], { outcome: 'not-applied' });
  add('write', 'r2', [112, 114]);
  add('write', 'r7', [102, 115]);

  it('are those whose acknowledged write began after that moment, each once', () => {
    expect(load.writtenSince(100)).toBe(3);
  });

  it('are none after the last', () => {
    expect(load.writtenSince(200)).toBe(0);
  });
});
