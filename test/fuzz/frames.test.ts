import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const command = fileURLToPath(new URL('frames.mjs', import.meta.url));

// The campaign of a million frames is the same command with its default; here a few thousand, on real processes.
test('nodes under bad frames on all ports live, agree, and serve an ordinary client', async () => {
  const seed = String(1 + Math.floor(Math.random() * 1e6));
  const { stdout } = await run(process.execPath, [command, '--frames', '6000', '--seed', seed, '--json']);
  const report: unknown = JSON.parse(stdout);
  expect(report).toMatchObject({ problems: [] });
  expect(report).toHaveProperty(
    'frames',
    expect.toSatisfy((frames: number) => frames >= 6000),
  );
  // A campaign that never reached the other side would pass everything.
  expect(report).toHaveProperty(
    'witness.writes',
    expect.toSatisfy((writes: number) => writes > 500),
  );
  expect(report).toHaveProperty(
    ['peerFrames', 'replayed'],
    expect.toSatisfy((n: number) => n > 0),
  );
  expect(report).toHaveProperty(
    ['peerFrames', 'bits flipped'],
    expect.toSatisfy((n: number) => n > 0),
  );
}, 180_000);
