import { execFileSync } from 'node:child_process';
import { expect, it, vi } from 'vitest';
import { cli, repository } from './support/dev-cluster.ts';

// Whole clusters under all kinds of faults. Long campaigns are a command: `npx kimberlite sim --minutes 60`.
vi.setConfig({ testTimeout: 600_000 });

interface Report {
  readonly passed: number;
  readonly failures: readonly { readonly seed: number; readonly kind: string; readonly message: string }[];
}

async function campaign(seed: number, runs: number): Promise<void> {
  const { out, err } = await cli(['sim', '--seed', `${seed}`, '--runs', `${runs}`, '--json']);
  const { failures, passed } = JSON.parse(out) as Report;
  expect(failures, err).toEqual([]);
  expect(passed).toBe(runs);
}

/** Others for each commit, the same for the same one; without a repository around it, always the same. */
function freshSeed(): number {
  try {
    const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: repository, encoding: 'utf8' });
    return Number.parseInt(commit.slice(0, 7), 16) * 16;
  } catch {
    return 1_000_000;
  }
}

it('twenty fixed seeds pass', async () => {
  await campaign(1, 20);
});

it('ten seeds of this commit pass', async () => {
  const seed = freshSeed();
  process.stdout.write(`seeds of this commit: kimberlite sim --seed ${seed} --runs 10\n`);
  await campaign(seed, 10);
});
