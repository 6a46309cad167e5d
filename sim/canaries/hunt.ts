import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Canary, groundOf, patchesOf } from './canary.ts';
import { patchedCopy } from './patched-copy.ts';
import { repositoryRoot } from './repository.ts';
import { Seeds } from './seeds.ts';

/** What one search for one canary came to. */
export interface Hunt {
  readonly firstSeed: number;
  /** The seed that counts: found by the named checker, and passing without the bug. Null: none within the bound. */
  readonly found: number | null;
  /** Seeds run, the one that counts included. */
  readonly seeds: number;
  /** What the named checker said. */
  readonly message: string;
  /** How the other seeds ended; `passed` for those in which nobody saw anything. */
  readonly others: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface HuntOptions {
  readonly firstSeeds: readonly number[];
  readonly seedsMax?: number;
  readonly onSeed?: (canary: Canary, seed: number, kind: string | null, message: string) => void;
}

/** Runs seeds of the canary's world until the named checker fails on one that passes without the bug. */
export async function hunt(canary: Canary, options: HuntOptions): Promise<readonly Hunt[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'kimberlite-canary-'));
  const sickRoot = join(scratch, 'sick');
  const soundRoot = groundOf(canary).length === 0 ? repositoryRoot() : join(scratch, 'sound');
  const builds: Seeds[] = [];
  try {
    patchedCopy(sickRoot, patchesOf(canary));
    if (soundRoot !== repositoryRoot()) patchedCopy(soundRoot, groundOf(canary));
    const hunts: Hunt[] = [];
    for (const firstSeed of options.firstSeeds) {
      const sick = new Seeds(sickRoot, canary.id);
      const sound = new Seeds(soundRoot, canary.id);
      builds.push(sick, sound);
      hunts.push(await huntFrom(canary, firstSeed, { sick, sound }, options));
      sick.stop();
      sound.stop();
    }
    return hunts;
  } finally {
    for (const build of builds) build.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function huntFrom(
  canary: Canary,
  firstSeed: number,
  { sick, sound }: { readonly sick: Seeds; readonly sound: Seeds },
  options: HuntOptions,
): Promise<Hunt> {
  const { kind: wanted, message: part = '' } = canary.caughtBy;
  const startedMs = performance.now();
  const others: Record<string, number> = {};
  const seedsMax = options.seedsMax ?? canary.seedsMax;
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  for (let tried = 1; tried <= seedsMax; tried++) {
    const seed = firstSeed + tried - 1;
    const { kind, message } = await sick.run(seed);
    options.onSeed?.(canary, seed, kind, message);
    const caught = kind === wanted && message.includes(part);
    const healthy = caught ? await sound.run(seed) : null;
    if (healthy !== null && healthy.kind === null) {
      return { firstSeed, found: seed, seeds: tried, message, others, seconds: seconds() };
    }
    const end = healthy !== null ? `${healthy.kind} also without the bug` : (kind ?? 'passed');
    others[end] = (others[end] ?? 0) + 1;
    // A process that is gone answers nothing any more.
    if (kind === 'died' || kind === 'endless') break;
  }
  const seeds = Object.values(others).reduce((sum, count) => sum + count, 0);
  return { firstSeed, found: null, seeds, message: '', others, seconds: seconds() };
}
