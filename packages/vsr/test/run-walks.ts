import { optionsFor, Walk } from './walk.ts';

// By hand: npx tsx is not needed; vitest runs it with WALK_FROM and WALK_COUNT (see walk.test.ts).
export function runWalks(
  from: number,
  count: number,
): { passed: number; failed: string[]; acknowledged: number; marks: Map<string, number> } {
  const failed: string[] = [];
  let passed = 0;
  let acknowledged = 0;
  const marks = new Map<string, number>();
  for (let seed = from; seed < from + count; seed++) {
    try {
      const walk = new Walk(optionsFor(seed));
      acknowledged += walk.run().acknowledged;
      for (const [mark, times] of walk.marks) marks.set(mark, (marks.get(mark) ?? 0) + times);
      passed++;
    } catch (error) {
      failed.push(
        `seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message).slice(0, 1500) : String(error)}`,
      );
    }
  }
  return { passed, failed, acknowledged, marks };
}
