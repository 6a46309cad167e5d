import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const command = fileURLToPath(new URL('table.mjs', import.meta.url));

// The whole table is the same command without `--only`.
test('damage to the files of a running and of a stopped node is found and repaired while the cluster serves', async () => {
  const cells = ['rot/segment/running', 'torn/checkpoint/running', 'misdirected/headers/stopped'];
  const seed = String(1 + Math.floor(Math.random() * 1e6));
  const args = [command, '--only', cells.join(','), '--seed', seed, '--json'];
  const { stdout } = await run(process.execPath, args);
  const report: unknown = JSON.parse(stdout);
  const clean = cells.map((cell) => expect.objectContaining({ cell, problem: null }));
  expect(report).toMatchObject({ errors: [], lost: [] });
  expect(report).toHaveProperty('table', clean);
}, 240_000);
