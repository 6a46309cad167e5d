import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type FaultKind, faultKinds, type RunOptions } from '../src/options.ts';
import { runSeed } from '../src/run.ts';
import { platformHasher } from './hasher.ts';

// Each file is a seed that once found a real bug: its name, what was wrong, and the options of the run.
interface Regression {
  readonly bug: string;
  readonly seed: number;
  readonly nodes?: number;
  readonly faults?: readonly string[];
  readonly seconds?: number;
  /** Of the run that found it, where its draws must not change any more. */
  readonly plan?: RunOptions['plan'];
  readonly script?: RunOptions['script'];
}

const folder = fileURLToPath(new URL('../regressions/', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
const isFault = (name: string): name is FaultKind => faultKinds.some((kind) => kind === name);

test.skipIf(files.length === 0).each(files)('%s stays fixed', (name) => {
  const { bug, seed, nodes, faults, seconds, plan, script }: Regression = JSON.parse(
    readFileSync(`${folder}${name}`, 'utf8'),
  );
  expect(bug).not.toBe('');
  const options = {
    ...(nodes === undefined ? {} : { nodes }),
    ...(faults === undefined ? {} : { faults: faults.filter(isFault) }),
    ...(seconds === undefined ? {} : { seconds }),
    ...(plan === undefined ? {} : { plan }),
    ...(script === undefined ? {} : { script }),
  };
  expect(runSeed(seed, options, platformHasher).failure).toBeNull();
});

test('the folder is there', () => {
  expect(Array.isArray(files)).toBe(true);
});
