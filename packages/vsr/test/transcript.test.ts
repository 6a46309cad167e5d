import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runFile } from './transcript.ts';

// Protocol changes are reviewed as a diff of these files. UPDATE_TRANSCRIPTS=1 writes them anew.

const folder = fileURLToPath(new URL('../../../test/transcripts/', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));

test('there are transcripts', () => expect(files.length).toBeGreaterThan(5));

test.each(files)('%s', (name) => {
  const text = readFileSync(folder + name, 'utf8');
  const written = runFile(text);
  if (process.env.UPDATE_TRANSCRIPTS === '1') writeFileSync(folder + name, written);
  else expect(written).toBe(text);
});
