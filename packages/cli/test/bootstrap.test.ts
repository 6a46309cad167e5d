import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
// Plain JavaScript without declarations: it runs before anything is installed.
// @ts-expect-error see above
import { countTests, totalLine } from '../bin/run-tests.js';
// @ts-expect-error see above
import { currentStamp, pendingWork, readStamp, writeStamp } from '../bin/stamp.js';
// @ts-expect-error see above
import { npmEnvironment } from '../bin/tools.js';

let root = '';
const put = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kimberlite-stamp-'));
  put('package.json', '{}');
  put('pnpm-lock.yaml', 'a: 1\n');
  put('tsconfig.json', '{}');
  put('packages/cli/package.json', '{}');
  put('packages/cli/src/index.ts', 'export {};\n');
  put('packages/cli/dist/index.js', '');
  put('packages/client/dist/index.js', '');
  put('sim/dist/report-page/main.js', '');
  put('node_modules/.bin/tsc', '');
  put('test/package.json', '{}');
  writeStamp(root, currentStamp(root));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const pending = (): { install: boolean; build: boolean } => pendingWork(root, readStamp(root), currentStamp(root));

describe('the stamp', () => {
  it('asks for nothing when nothing changed', () => {
    expect(pending()).toEqual({ install: false, build: false });
  });

  it.each([
    ['packages/cli/src/index.ts', 'export const x = 1;\n', { install: false, build: true }],
    ['packages/cli/src/new.ts', 'export {};\n', { install: false, build: true }],
    ['tsconfig.json', '{ }', { install: false, build: true }],
    ['pnpm-lock.yaml', 'a: 2\n', { install: true, build: true }],
    ['packages/cli/package.json', '{ }', { install: true, build: true }],
    ['packages/cli/test/some.test.ts', 'x', { install: false, build: false }],
    ['packages/cli/dist/other.js', 'x', { install: false, build: false }],
    ['.kimberlite/cluster.json', '{}', { install: false, build: false }],
  ])('after a change of %s', (path, text, wanted) => {
    put(path, text);
    expect(pending()).toEqual(wanted);
  });

  it('is not believed without what it speaks of', () => {
    rmSync(join(root, 'packages/client/dist'), { recursive: true });
    expect(pending()).toEqual({ install: false, build: true });
    rmSync(join(root, 'node_modules/.bin'), { recursive: true });
    expect(pending()).toEqual({ install: true, build: true });
  });

  it('survives a damaged stamp file and a missing one', () => {
    writeFileSync(join(root, 'node_modules/.kimberlite-stamp'), '{');
    expect(pending()).toEqual({ install: true, build: true });
    rmSync(join(root, 'node_modules'), { recursive: true });
    expect(pending()).toEqual({ install: true, build: true });
  });

  it('tells a moved file from an unmoved one', () => {
    cpSync(join(root, 'packages/cli/src/index.ts'), join(root, 'packages/cli/src/moved.ts'));
    rmSync(join(root, 'packages/cli/src/index.ts'));
    expect(pending().build).toBe(true);
  });
});

describe('the environment of the package manager', () => {
  it('keeps what leads to a registry and drops what npm adds for its script', () => {
    const env = npmEnvironment({
      HOME: tmpdir(),
      PATH: '/bin',
      NODE_ENV: 'production',
      npm_config_registry: 'http://r/',
      npm_config_prefix: '/x',
      npm_config_local_prefix: '/y',
      npm_lifecycle_event: 'start',
      npm_package_json: '/z',
      HTTPS_PROXY: 'http://p',
    });
    expect(env).toEqual({
      HOME: tmpdir(),
      PATH: '/bin',
      HTTPS_PROXY: 'http://p',
      npm_config_registry: 'http://r/',
      npm_config_update_notifier: 'false',
    });
  });
});

describe('the total', () => {
  const file = (status: string, ...tests: string[]) => ({
    status,
    assertionResults: tests.map((s) => ({ status: s })),
  });

  it('counts tests, and a file that did not load as one failure', () => {
    const total = countTests({
      testResults: [file('passed', 'passed', 'passed', 'skipped'), file('failed', 'passed', 'failed'), file('failed')],
    });
    expect(total).toEqual({ passed: 3, failed: 2, skipped: 1 });
    expect(totalLine(total)).toBe('tests: 3 passed, 2 failed, 1 skipped');
  });

  it('leaves skipped out when there are none', () => {
    expect(totalLine(countTests({ testResults: [file('passed', 'passed')] }))).toBe('tests: 1 passed, 0 failed');
  });

  it('takes a missing report for nothing run', () => {
    expect(countTests({})).toEqual({ passed: 0, failed: 0, skipped: 0 });
  });
});

it('the committed entry says what to run when there is no build', () => {
  expect(readFileSync(new URL('../bin/kimberlite.js', import.meta.url), 'utf8')).toContain('npm run build');
});
