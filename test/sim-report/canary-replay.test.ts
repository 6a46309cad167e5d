import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseRunSchedule } from '@kimberlite/sim';
import { afterAll, expect, test } from 'vitest';

// What `kimberlite sim canaries` prints about a canary it found, typed again as it is printed. Needs a build.

const bin = fileURLToPath(new URL('../../packages/cli/bin/kimberlite.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'kimberlite-canary-replay-'));

/** Exit code and everything written, of a command as a person would type it. */
function type(command: string): { readonly code: number | null; readonly text: string } {
  const [name, ...words] = command.split(' ');
  if (name !== 'kimberlite') throw new Error(`not a command of ours: ${command}`);
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words], { encoding: 'utf8' });
  return { code: status, text: `${stderr}\n${stdout}` };
}

const found = (text: string, pattern: RegExp): string => pattern.exec(text)?.[1] ?? `no ${pattern.source}`;

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test('the printed commands of a canary give the same traces again, of the run as found and of the shrunk one', () => {
  // Pitfall 42: a request sent again is another request. A seed that finds it late: a short run has little to lose.
  const first = type(`kimberlite sim canaries --only 42 --seed 2 --shrink 90 --out ${directory}`);
  expect(first.code).toBe(1);
  expect(first.text).toMatch(/^seed 2: exactly-once: /);
  const trace = found(first.text, /^trace ([0-9a-f]{16})$/m);
  const again = type(`${found(first.text, /^replay: (.*)$/m)} --shrink 0 --out ${join(directory, 'again')}`);
  expect(found(again.text, /^trace ([0-9a-f]{16})$/m)).toBe(trace);

  const schedule = parseRunSchedule(readFileSync(join(directory, 'seed-2-exactly-once.json'), 'utf8'));
  if (!schedule.ok) throw new Error(schedule.error);
  const { size, original, traceHash } = schedule.value;
  expect(size.events).toBeLessThanOrEqual(original.size.events / 10);
  expect(original.traceHash).toBe(trace);
  const shrunk = type(found(first.text, /^replay the shrunk run: (.*)$/m));
  expect(shrunk.code).toBe(1);
  expect(shrunk.text).toContain(`✗ exactly-once: ${schedule.value.failure.message}\ntrace ${traceHash}, the same as`);
}, 240_000);

test('only one canary is looked into at a time', () => {
  const { code, text } = type('kimberlite sim canaries --only 42,49 --seed 1');
  expect(code).not.toBe(0);
  expect(text).toContain('name it with --only');
});
