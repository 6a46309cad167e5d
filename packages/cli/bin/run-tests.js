// What `npm test` runs after the build, and its one line of total.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './tools.js';

const node = process.execPath;
const lintPaths = ['packages', 'sim', 'test', 'vitest.config.ts'];

/** Each must end with 0. They are not counted as tests that passed, but a failing one counts as a failure. */
const checks = [
  { name: 'types of the tests', args: ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json'] },
  { name: 'lint', args: ['node_modules/oxlint/bin/oxlint', '--ignore-pattern', 'test/probe/**', ...lintPaths] },
  { name: 'format', args: ['node_modules/@biomejs/biome/bin/biome', 'format', 'packages', 'sim', 'test'] },
];

/** Counts of vitest's JSON report. A file that did not load has no test to its name, so it counts itself. */
export function countTests(report) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report.testResults ?? []) {
    const failedBefore = total.failed;
    for (const test of file.assertionResults ?? []) {
      if (test.status === 'passed') total.passed += 1;
      else if (test.status === 'failed') total.failed += 1;
      else total.skipped += 1;
    }
    if (file.status === 'failed' && total.failed === failedBefore) total.failed += 1;
  }
  return total;
}

export function totalLine({ passed, failed, skipped }) {
  return `tests: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {}; // vitest died before it could write one; its exit code tells.
  }
}

/** Returns the exit code: vitest's own, or 1 when a check or the report says otherwise. */
export async function runTests(vitestArgs) {
  let failedChecks = 0;
  for (const check of vitestArgs.length > 0 ? [] : checks) {
    process.stdout.write(`kimberlite: ${check.name} …\n`);
    if (run(node, check.args, {}) !== 0) {
      failedChecks += 1;
      process.stdout.write(`kimberlite: ${check.name} FAILED\n`);
    }
  }
  const directory = mkdtempSync(join(tmpdir(), 'kimberlite-report-'));
  try {
    const report = join(directory, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const code = run(node, ['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...vitestArgs], {});
    const total = countTests(readReport(report));
    // An error outside every test (an unhandled rejection, a crash of the runner) shows in the exit code only.
    if (code !== 0 && total.failed === 0) total.failed += 1;
    total.failed += failedChecks;
    process.stdout.write(`\n${totalLine(total)}\n`);
    return code === 0 && total.failed > 0 ? 1 : code;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
