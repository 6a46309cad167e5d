import { test } from 'vitest';
import { writeFileSync } from 'node:fs';
import { optionsFor, Walk } from './walk.ts';
test('one', { timeout: 600000 }, () => {
  for (const text of (process.env.SEEDS ?? '').split(',')) {
    const seed = Number(text);
    const walk = new Walk(optionsFor(seed));
    const lines: string[] = [JSON.stringify(optionsFor(seed))];
    walk.trace = (l) => lines.push(l);
    try {
      walk.run();
      console.log(seed, 'ok');
    } catch (e) {
      console.log(seed, String((e as Error).stack).slice(0, 3300));
    }
    writeFileSync(`/tmp/walk.${seed}`, lines.join('\n'));
  }
});
