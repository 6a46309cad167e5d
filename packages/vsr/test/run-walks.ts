import { optionsFor, Walk } from './walk.ts';

// By hand: npx tsx is not needed; vitest runs it with WALK_FROM and WALK_COUNT (see walk.test.ts).
export function runWalks(from: number, count: number): { passed: number; failed: string[]; acknowledged: number } {
  const failed: string[] = [];
  let passed = 0;
  let acknowledged = 0;
  for (let seed = from; seed < from + count; seed++) {
    try {
      acknowledged += new Walk(optionsFor(seed)).run().acknowledged;
      passed++;
    } catch (error) {
      failed.push(
        `seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message).slice(0, 1500) : String(error)}`,
      );
    }
  }
  return { passed, failed, acknowledged };
}
