import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { kimberlite, type Spoken, temporaryDirectory, until } from './support/dev-cluster.ts';

// Real processes, several a test: a busy machine takes its time.
vi.setConfig({ testTimeout: 180_000 });

// `kimberlite drill` as an operator or a script would type it.

let directory: ReturnType<typeof temporaryDirectory>;
let temporary = '';

beforeEach(() => {
  directory = temporaryDirectory();
  temporary = join(directory.path, 'tmp');
  mkdirSync(temporary);
});
afterEach(() => directory.remove());

/** Whatever it puts into a temporary directory can be seen. */
const drill = (...args: string[]): Spoken =>
  kimberlite(['drill', ...args], { env: { ...process.env, TMPDIR: temporary } });

/** Processes whose command line names a file below the test's directory: its nodes, running or stopped. */
function nodePids(): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const isNode = readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(directory.path);
      // One that has ended and was not waited for yet has no command line any more.
      return isNode ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

const isStopped = (pid: number): boolean => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

describe('a drill', () => {
  it('ends with a report, as one document for a script, and leaves nothing behind', async () => {
    const run = drill('kill-all', '--rounds', '1', '--acknowledged', '200', '--json');
    expect((await run.ended).code).toBe(0);
    const report = JSON.parse(run.out) as Record<string, unknown>;
    expect(report).toMatchObject({
      scenario: 'kill-all',
      verdict: 'pass',
      lost: 0,
      duplicated: 0,
      linearizable: true,
      faults: [{ kind: 'kill-all', replicas: [0, 1, 2] }],
      problems: [],
    });
    expect(report['acknowledged']).toBeGreaterThan(800);
    expect(report['unknown']).toBeTypeOf('number');
    const { p50, max } = report['writeGapMs'] as { p50: number; max: number };
    expect(p50).toBeGreaterThan(0);
    expect(max).toBeGreaterThanOrEqual(p50);
    expect(run.err).toMatch(/kill-all: 3 nodes are up\n.*kill-all 1\/1: gap \d+ ms/s);
    expect(nodePids()).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('keeps data and logs where it was told to, and starts with nothing of somebody else', async () => {
    const out = join(directory.path, 'kept');
    const run = drill('kill-primary', '--rounds', '1', '--acknowledged', '200', '--out', out);
    expect((await run.ended).code).toBe(0);
    expect(run.out).toMatch(
      /^kill-primary: PASS after 1 faults\n.*lost 0 .*\n.*linearizable yes.*\n.*write gap: median/,
    );
    expect(run.err).toContain(`data and node logs: ${out}`);
    expect(readdirSync(out).sort()).toEqual(expect.arrayContaining(['node-0', 'node-0.json', 'node-0.log']));
    const again = drill('kill-primary', '--out', out, '--json');
    expect((await again.ended).code).toBe(1);
    expect(JSON.parse(again.out)).toMatchObject({ ok: false, error: { code: 'OutNotEmpty' } });
  });

  it('is no verdict when there can be no cluster', async () => {
    writeFileSync(join(directory.path, 'file'), '');
    const run = drill('kill-all', '--out', join(directory.path, 'file', 'below'), '--json');
    expect((await run.ended).code).toBe(1);
    expect(JSON.parse(run.out)).toMatchObject({ ok: false, error: { code: 'DrillFailed' } });
  });
});

describe('Ctrl-C', () => {
  const interrupt = async (when: string, press: (run: Spoken) => void, ...args: string[]): Promise<Spoken> => {
    const run = drill(...args);
    await until(`"${when}" is said`, () => run.err.includes(when) || run.child.exitCode !== null, 60_000);
    expect(run.err).toContain(when);
    press(run);
    const pressedAt = performance.now();
    expect((await run.ended).code).toBe(1);
    expect(performance.now() - pressedAt).toBeLessThan(10_000);
    expect(nodePids()).toEqual([]);
    return run;
  };

  it('ends it, its nodes and its directory, as a terminal sends it: to all of them', async () => {
    const run = await interrupt(
      'nodes are up',
      (r) => r.signalGroup('SIGINT'),
      'kill-primary',
      '--rounds',
      '50',
      '--json',
    );
    expect(JSON.parse(run.out)).toMatchObject({ ok: false, error: { code: 'Interrupted' } });
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('ends a node that stands still too', async () => {
    const press = (run: Spoken): void => {
      expect(nodePids().filter((pid) => pid !== run.pid && isStopped(pid))).toHaveLength(1);
      run.child.kill('SIGINT');
    };
    await interrupt('pause-primary hit replica', press, 'pause-primary', '--acknowledged', '100');
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('before there is a cluster is a stop as well', async () => {
    const run = drill('kill-all', '--rounds', '1');
    await until('its directory is there', () => readdirSync(temporary).length > 0);
    run.signalGroup('SIGINT');
    expect((await run.ended).code).toBe(1);
    expect(run.err).toContain('interrupted');
    expect(nodePids()).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  });
});
