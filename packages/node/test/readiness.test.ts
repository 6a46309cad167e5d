import { describe, expect, it } from 'vitest';
import { liveChecks, type NodeCondition, readyChecks, startedChecks } from '../src/readiness.ts';
import { reportHealth } from '../src/health.ts';

const well: NodeCondition = {
  phase: 'running',
  status: 'normal',
  loading: null,
  divergence: null,
  fatal: null,
  stopping: false,
  replica: 0,
  voters: [0, 1, 2],
  peers: new Map([
    [1, null],
    [2, null],
  ]),
};
const ready = (changes: Partial<NodeCondition>): string => reportHealth(readyChecks({ ...well, ...changes })).text;

describe('readiness', () => {
  it('is a line a check', () => {
    expect(ready({})).toBe('[+]ports ok\n[+]log ok\n[+]state ok\n[+]replica ok\n[+]peers ok\n[+]serving ok\n');
  });

  it.each<[string, Partial<NodeCondition>, RegExp]>([
    [
      'the log is being opened',
      { phase: 'opening', status: undefined },
      /\[-\]log is being opened\n\[\+\]state ok\n\[-\]replica has not booted/,
    ],
    [
      'a state that is being read',
      { loading: { op: 32_768, done: 12, parts: 400 } },
      /\[-\]state is being read from the checkpoint at op 32768: 12 of 400 parts\n/,
    ],
    ['a view change', { status: 'view-change' }, /\[-\]replica is in view-change\n/],
    [
      'a quarantine',
      { status: 'quarantined', divergence: 'its state differs at op 64' },
      /\[-\]replica is in quarantined: its state differs at op 64\n/,
    ],
    ['a stop', { stopping: true }, /\[-\]serving this node is being stopped\n/],
    [
      'no majority',
      {
        peers: new Map([
          [1, 'ECONNREFUSED'],
          [2, 'wrong-cluster:\nx'],
        ]),
      },
      /\[-\]peers connects 1 of 3 replicas, less than a majority \(replica 1: ECONNREFUSED; replica 2: wrong-cluster: x\)\n/,
    ],
  ])('says so of %s', (_, changes, line) => expect(ready(changes)).toMatch(line));

  it('a majority is enough', () => {
    expect(
      ready({
        peers: new Map([
          [1, 'ECONNREFUSED'],
          [2, null],
        ]),
      }),
    ).toContain('[+]peers ok');
    expect(ready({ voters: [0], peers: new Map() })).toContain('[+]peers ok');
    expect(
      ready({
        voters: [0, 1, 2, 3],
        peers: new Map([
          [1, 'x'],
          [2, 'x'],
          [3, null],
        ]),
      }),
    ).toContain('[-]peers');
  });

  it('a replica that cannot go on is not alive; one that waits for others is', () => {
    expect(reportHealth(liveChecks({ ...well, fatal: new Error('sync failed') })).healthy).toBe(false);
    expect(reportHealth(liveChecks({ ...well, status: 'view-change' })).healthy).toBe(true);
    expect(reportHealth(startedChecks({ ...well, status: 'view-change' })).healthy).toBe(true);
  });
});
