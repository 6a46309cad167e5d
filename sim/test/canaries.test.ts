import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  applyPatch,
  canaries,
  groundOf,
  notPlanted,
  patchesOf,
  patchTexts,
  pitfallOf,
  runCanaries,
  unknownCanaries,
} from '../canaries/index.ts';

// Bugs planted in copies of the built output (`npm run build` comes before the tests). All of them take too long for
// every change: `pnpm sim canaries` runs those. Here are the ones that the first few seeds find.

const pitfalls = (): readonly string[] => {
  const text = readFileSync(fileURLToPath(new URL('../PITFALLS.md', import.meta.url)), 'utf8');
  return [...text.matchAll(/^- \*\*(\d+[a-z]?)\*\*/gm)].map((match) => match[1] ?? '');
};

describe('the list', () => {
  test('every pitfall has a canary or a reason why not, and every canary a pitfall', () => {
    const known = pitfalls();
    expect(new Set(known).size).toBe(known.length);
    expect(new Set(known.map((id) => Number.parseInt(id, 10))).size).toBe(68);
    const planted = new Set(canaries.map(({ id }) => pitfallOf(id)));
    const excused = new Set(notPlanted.map(({ pitfall }) => pitfall));
    expect(known.filter((id) => planted.has(id) === excused.has(id))).toEqual([]);
    expect([...planted, ...excused].filter((id) => !known.includes(id))).toEqual([]);
    expect(new Set(canaries.map(({ id }) => id)).size).toBe(canaries.length);
  });

  test('every patch applies exactly once', () => {
    const failures = canaries.flatMap((canary) => {
      try {
        patchTexts(patchesOf(canary));
        patchTexts(groundOf(canary));
        return [];
      } catch (error) {
        return [`${canary.id}: ${error instanceof Error ? error.message : String(error)}`];
      }
    });
    expect(failures).toEqual([]);
  });

  test('a canary is called by its id, its pitfall or the number of that', () => {
    expect(unknownCanaries(['12a', '20b', '20b.1', '60', '9c', '69', ''])).toEqual(['9c', '69', '']);
  });

  test('a patch that applies twice, or not at all, is an error', () => {
    const patch = { file: 'some.js', find: 'a', replace: 'b' };
    expect(applyPatch('cat', patch)).toBe('cbt');
    expect(() => applyPatch('data', patch)).toThrow('applies 2 times');
    expect(() => applyPatch('dot', patch)).toThrow('applies 0 times');
  });
});

const fast = canaries.filter((canary) => canary.fast === true);

test.each(fast)(
  'pitfall $id is caught by $caughtBy.kind: $name',
  async ({ id }) => {
    const { results } = await runCanaries({ only: [id], jobs: 1 });
    const [result] = results;
    expect(result?.hunts[0]?.others, 'how the seeds ended that did not count').toBeDefined();
    expect(result).toMatchObject({ canary: id, caught: true });
  },
  240_000,
);
