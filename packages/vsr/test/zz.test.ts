import { writeFileSync } from 'node:fs';
import { test } from 'vitest';
import { optionsFor, Walk } from './walk.ts';
test('x', () => {
  for (const seed of (process.env.SEEDS ?? '').split(',').map(Number)) {
    const lines: string[] = [];
    const w = new Walk(optionsFor(seed));
    w.trace = (l) => void lines.push(l);
    try {
      w.run();
    } catch (e) {
      lines.push(String((e as Error).stack));
    }
    writeFileSync(`/tmp/walk.${seed}`, JSON.stringify(optionsFor(seed)) + '\n' + lines.join('\n'));
  }
}, 100000);
