import { describe, expect, it, vi } from 'vitest';
import { cli, kimberlite, until } from './support/dev-cluster.ts';

// Real processes and threads: a busy machine takes its time.
vi.setConfig({ testTimeout: 180_000 });

interface Report {
  readonly runs: number;
  readonly passed: number;
  readonly jobs: number;
  readonly traceHash: string;
  readonly summary: { readonly faults: Record<string, { readonly runs: number }> };
}

const small = ['--seed', '100', '--nodes', '1', '--faults', 'crash,pause', '--json'];

describe('kimberlite sim', () => {
  it('gives the same report on one thread and on three', async () => {
    const [one, three] = await Promise.all(
      ['1', '3'].map(async (jobs) => {
        const { code, out, err } = await cli(['sim', ...small, '--runs', '7', '--jobs', jobs]);
        expect(code, err).toBe(0);
        return JSON.parse(out) as Report;
      }),
    );
    expect(three).toMatchObject({ runs: 7, passed: 7, jobs: 3, traceHash: one?.traceHash });
    expect({ ...three?.summary, slowest: null }).toEqual({ ...one?.summary, slowest: null });
    expect(Object.keys(three?.summary.faults ?? {})).toEqual(['crash', 'pause']);
  });

  it('prints what there is on Ctrl-C', async () => {
    const campaign = kimberlite(['sim', ...small, '--minutes', '10', '--jobs', '2']);
    await until('the campaign has begun', () => campaign.err.includes('at once; Ctrl-C'), 60_000);
    campaign.signalGroup('SIGINT');
    const { code } = await campaign.ended;
    const report = JSON.parse(campaign.out) as Report;
    expect([code, report.passed]).toEqual([0, report.runs]);
    expect(report.runs).toBeLessThan(1000);
  });

  it('names the kinds of fault when it knows one of them not', async () => {
    const { code, err } = await cli(['sim', '--faults', 'crash,earthquake']);
    expect(code).not.toBe(0);
    expect(err).toMatch(/earthquake.*crash-mid-turn/s);
  });
});
