import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('a cluster of real nodes grows to five and shrinks to three others while clients write, and nothing is lost', async () => {
  const script = fileURLToPath(new URL('grow-and-shrink.mjs', import.meta.url));
  const options = ['--clients', '4', '--seconds-between', '0.2', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...options]);
  const { epoch, acknowledged, lost, failures } = JSON.parse(stdout) as Record<string, unknown>;
  expect({ epoch, lost, failures }).toEqual({ epoch: 6, lost: 0, failures: [] });
  expect(acknowledged).toBeGreaterThan(100);
}, 240_000);
