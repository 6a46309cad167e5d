import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const command = fileURLToPath(new URL('flips.mjs', import.meta.url));

// The campaign of ten thousand flips a kind is the same command with its defaults.
test('bits turned over in a real data directory are found and named, and a replay gives the state the node had', async () => {
  const seed = String(1 + Math.floor(Math.random() * 1e6));
  const args = ['--flips', '60', '--ops', '800', '--command-runs', '3', '--seed', seed, '--json'];
  const { stdout } = await run(process.execPath, [command, ...args]);
  const report: unknown = JSON.parse(stdout);
  expect(report).toMatchObject({ failures: [], commands: { runs: 3, found: 3 } });
  const row = (kind: string) => expect.objectContaining({ kind, flips: 60, found: 60 });
  expect(report).toHaveProperty('table', expect.arrayContaining([row('headers'), row('segment'), row('superblock')]));
}, 180_000);
