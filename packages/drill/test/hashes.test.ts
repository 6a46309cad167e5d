import { describe, expect, it } from 'vitest';
import { compareHashes, type HashStatus, isDiverged } from '../src/index.ts';

const row = (stateHashOp: number, stateHash: string, more: Partial<HashStatus> = {}): HashStatus => ({
  status: 'normal',
  op: stateHashOp,
  stateHash,
  stateHashOp,
  ...more,
});

describe('the hashes of a cluster', () => {
  it('are given once all are at rest at one op', () => {
    const found = compareHashes([row(7, 'aa'), row(7, 'aa'), row(7, 'aa')]);
    expect(found).toEqual({ op: 7, hashes: ['aa', 'aa', 'aa'] });
    expect(found === undefined ? null : isDiverged(found)).toBe(false);
  });

  it.each([
    ['a node does not answer', [row(7, 'aa'), undefined, row(7, 'aa')]],
    ['a node still opens its log', [row(7, 'aa'), row(7, ''), row(7, 'aa')]],
    ['one is behind', [row(7, 'aa'), row(6, 'bb'), row(7, 'aa')]],
    ['something is not applied yet', [row(7, 'aa', { op: 8 }), row(7, 'aa'), row(7, 'aa')]],
    ['a view change is under way', [row(7, 'aa', { status: 'view-change' }), row(7, 'aa'), row(7, 'aa')]],
    ['there are none', []],
  ])('are not there yet while %s', (_name, rows) => {
    expect(compareHashes(rows)).toBeUndefined();
  });

  it('are given at once when they differ at one op, whatever goes on', () => {
    const found = compareHashes([row(7, 'aa', { op: 9 }), row(7, 'bb'), row(7, 'aa', { status: 'view-change' })]);
    expect(found).toEqual({ op: 7, hashes: ['aa', 'bb', 'aa'] });
    expect(found === undefined ? null : isDiverged(found)).toBe(true);
  });
});
