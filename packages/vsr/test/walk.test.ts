import { expect, test } from 'vitest';
import { runWalks } from './run-walks.ts';

const from = Number(process.env.WALK_FROM ?? 1);
const count = Number(process.env.WALK_COUNT ?? 150);

test('random walks: no fork, nothing lost or doubled, no stale read, and calm in the end', {
  timeout: 3_600_000,
}, () => {
  const { failed, acknowledged, marks } = runWalks(from, count);
  for (const line of failed.slice(0, 5)) console.log(line);
  if (failed.length > 5) console.log(failed.map((line) => line.split('\n')[0]?.slice(0, 160)).join('\n'));
  expect(failed.map((line) => line.split(':')[0])).toEqual([]);
  if (process.env.WALK_MARKS) console.log(marks);
  expect(acknowledged).toBeGreaterThan(count);
});
