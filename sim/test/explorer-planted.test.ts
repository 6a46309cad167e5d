import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type Patch, patchedCopy } from '../canaries/patched-copy.ts';
import type { WorldReport } from '../src/explorer/report.ts';

// Bugs planted in copies of the built packages: the exploration of the copy, by the copy, has to find them.

/** A prepare is acknowledged as soon as its write has begun (pitfall 20). */
const ackBeforeDurable: readonly Patch[] = [
  {
    file: 'packages/vsr/dist/log-writes.js',
    find: "r.out.push({ type: 'write-to-log', prepare });",
    replace: "r.out.push({ type: 'write-to-log', prepare }); onLogWritten(r, op, prepare.header.id);",
  },
];

/** The longest log wins a view change, whichever view it is of (pitfall 8). */
const longestLogWins: readonly Patch[] = [
  {
    file: 'packages/vsr/dist/select.js',
    find: 'const logView = Math.max(...dvcs.map((d) => d.logView));',
    replace: 'const longest = dvcs.reduce((best, d) => (d.head >= best.head ? d : best)); const { logView } = longest;',
  },
  { file: 'packages/vsr/dist/select.js', find: 'dvcs.filter((d) => d.logView === logView)', replace: '[longest]' },
];

/** What a new primary has inherited is never committed, so nothing after it is either. */
const inheritedForEver: readonly Patch[] = [
  {
    file: 'packages/vsr/dist/commit.js',
    find: 'if (op <= r.commit || op > r.head)',
    replace: 'if (op <= r.commit || op > r.head || op <= r.inherited)',
  },
];

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function copyWith(patches: readonly Patch[]): (args: readonly string[]) => { ok: boolean; text: string } {
  const directory = mkdtempSync(join(tmpdir(), 'kimberlite-explorer-'));
  directories.push(directory);
  const bin = patchedCopy(directory, patches);
  return (args) => {
    const run = spawnSync(process.execPath, [bin, 'sim', 'explore', ...args], { encoding: 'utf8', timeout: 280_000 });
    expect(run.stderr).not.toContain('error:');
    return { ok: run.status === 0, text: run.stdout };
  };
}

function violationIn(text: string): NonNullable<WorldReport['violation']> {
  const { reports } = JSON.parse(text) as { reports: readonly WorldReport[] };
  const violation = reports[0]?.violation ?? null;
  if (violation === null) throw new Error(`nothing was found: ${text}`);
  return violation;
}

test('an acknowledgement before the prepare is durable: seen at once, and by what is lost', {
  timeout: 300_000,
}, () => {
  const run = copyWith(ackBeforeDurable);
  const world = ['--world', 'one-op-crash'];
  const early = run([...world, '--json']);
  expect(early.ok).toBe(false);
  expect(violationIn(early.text)).toMatchObject({ property: 'acked-durable' });
  expect(violationIn(early.text).events.length).toBe(2);

  const ignored = [...world, '--ignore', 'acked-durable'];
  const lost = run([...ignored, '--json']);
  const violation = violationIn(lost.text);
  expect(violation).toMatchObject({ property: 'nothing-lost' });
  // A request, a prepare, an ack; a crash that loses the write; a view change by the two that never had it.
  expect(violation.events.length).toBeLessThanOrEqual(7);

  const replayed = run([...ignored, '--replay', violation.schedule]);
  expect(replayed.ok).toBe(false);
  expect(replayed.text).toContain(violation.message);
  expect(replayed.text).toContain('crash and restart: write of op 2 lost');
});

test('the longest log wins instead of the one of the highest log view', { timeout: 300_000 }, () => {
  const run = copyWith(longestLogWins);
  const found = run(['--world', 'two-ops-two-views', '--json']);
  expect(found.ok).toBe(false);
  const violation = violationIn(found.text);
  expect(violation).toMatchObject({ property: 'nothing-lost' });
  expect(violation.events.length).toBeLessThanOrEqual(13);
  const replayed = run(['--world', 'two-ops-two-views', '--replay', violation.schedule]);
  expect(replayed.text).toContain(violation.message);
});

test('a log that never commits is one on which the replicas cannot agree', { timeout: 300_000 }, () => {
  const run = copyWith(inheritedForEver);
  const world = ['--requests', '1', '--view-changes', '1', '--prompt-log', '--prompt-superblock', '--json'];
  // Nothing is lost or wrong: every property of single states holds, and only the search for a way on sees it.
  expect(run(world).ok).toBe(true);
  const found = run([...world, '--converge']);
  expect(found.ok).toBe(false);
  expect(violationIn(found.text)).toMatchObject({ property: 'converges' });
});
