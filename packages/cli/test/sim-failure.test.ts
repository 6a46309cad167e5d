import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeHasher } from '@kimberlite/node';
import { type Execute, parseRunSchedule, runSeed } from '@kimberlite/sim';
import picocolors from 'picocolors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { viewBeforeDurable } from '../../../sim/test/plants.ts';
import { replaySchedule, reportFailure } from '../src/commands/sim-failure.ts';
import type { Context } from '../src/context.ts';
import { run } from './harness.ts';

// A bug that any seed meets within its first hundred events, so that everything after it is quick.
const sick: Execute = (seed, options) => runSeed(seed, { ...options, plants: viewBeforeDurable }, nodeHasher);
const sound: Execute = (seed, options) => runSeed(seed, options, nodeHasher);
const directory = mkdtempSync(join(tmpdir(), 'kimberlite-failure-'));

interface Written {
  readonly context: Context;
  readonly out: () => string;
  readonly err: () => string;
}

function collecting(): Written {
  let out = '';
  let err = '';
  const terminal = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    interactive: false,
    width: 100,
    colors: picocolors.createColors(false),
  };
  const context = { terminal, env: {}, directory, readStdin: async () => '' };
  return { context, out: () => out, err: () => err };
}

afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('a failed run', () => {
  const { context, out, err } = collecting();
  const replay = 'kimberlite sim --seed 7 --runs 1 --nodes 5';
  const base = join(directory, 'left/seed-7-persistence');

  beforeAll(async () => {
    const failing = { seed: 7, options: { nodes: 5 }, execute: sick, replay };
    await reportFailure(context, failing, { out: 'left', shrinkSeconds: 20 });
  });

  test('prints the seed, the command, the last events, and where everything is', () => {
    const text = err();
    expect(text).toMatch(/^seed 7: persistence: replica \d sends /);
    expect(text).toContain(`\nreplay: ${replay}\n`);
    expect(text).toMatch(/the last \d+ of \d+ events of the shrunk run:\n {2}0\.\d{6} /);
    const read = parseRunSchedule(readFileSync(`${base}.json`, 'utf8'));
    const message = read.ok ? read.value.failure.message : '';
    expect(message).toMatch(/^replica \d /);
    // The failure is the last line of the trace that is printed.
    expect(text).toMatch(/ {2}0\.\d{6} failure persistence: .*\nshrunk from \d+ events, /);
    expect(text).toContain(` failure persistence: ${message}\nshrunk from `);
    for (const name of ['.json', '.txt', '.html', '-original.html']) expect(text).toContain(`${base}${name} (`);
    expect(out()).toBe('');
  });

  test('leaves a smaller run behind, which fails in the same way', () => {
    const read = parseRunSchedule(readFileSync(`${base}.json`, 'utf8'));
    expect(read).toMatchObject({ ok: true, value: { failure: { kind: 'persistence' }, original: { seed: 7 } } });
    if (!read.ok) return;
    const { size, original } = read.value;
    expect(original.size.nodes).toBe(5);
    expect(size.nodes).toBeLessThan(5);
    expect(size.events).toBeLessThan(original.size.events);
  });

  test('leaves the whole trace and pages that name the command', () => {
    expect(readdirSync(join(directory, 'left'))).toHaveLength(4);
    const trace = readFileSync(`${base}.txt`, 'utf8').trimEnd().split('\n');
    expect(trace.filter((line) => !/^\d+\.\d{6} [a-z-]+ ./.test(line))).toEqual([]);
    expect(readFileSync(`${base}.html`, 'utf8')).toContain(`<code>kimberlite sim --replay ${base}.json</code>`);
    expect(readFileSync(`${base}-original.html`, 'utf8')).toContain(`<code>${replay}</code>`);
  });

  test('is run again from its file, event for event', () => {
    const again = collecting();
    expect(replaySchedule(again.context, `${base}.json`, sick, { out: 'again' })).toBe(1);
    expect(again.out()).toMatch(/^✗ persistence: .*\ntrace [0-9a-f]{16}, the same as in the file\n$/);
    expect(readdirSync(join(directory, 'again'))).toEqual([expect.stringMatching(/^seed-\d+-persistence\.html$/)]);
  });

  test('passes without the bug, and the file says what it had', () => {
    const healed = collecting();
    expect(replaySchedule(healed.context, `${base}.json`, sound, {})).toBe(0);
    expect(healed.out()).toMatch(
      /^✓ passed\ntrace [0-9a-f]{16}, not [0-9a-f]{16} in the file\nthe file has persistence/,
    );
  });
});

test('a run that passes the second time says so', async () => {
  const { context, err } = collecting();
  const failing = { seed: 1, options: { nodes: 3, seconds: 1, faults: [] }, execute: sound, replay: '' };
  await reportFailure(context, failing, { out: 'none' });
  expect(err()).toContain('seed 1 passed this time');
});

describe('kimberlite sim --replay', () => {
  test('says which file it cannot read', async () => {
    const { code, err } = await run(['sim', '--replay', 'nothing.json'], { directory });
    expect(code).toBe(1);
    expect(err).toContain(`${join(directory, 'nothing.json')} cannot be read`);
  });

  test('says what is wrong with a file, and where', async () => {
    writeFileSync(join(directory, 'bad.json'), '{"format": "kimberlite-schedule-1", "seed": "x"}');
    const { code, err } = await run(['sim', '--replay', 'bad.json'], { directory });
    expect(code).toBe(1);
    expect(err).toContain('is no schedule of a run: seed is not a whole number');
  });
});
