import { availableParallelism } from 'node:os';
import { type Canary, pitfallOf } from './canary.ts';
import { canaries } from './canaries.ts';
import { type Hunt, hunt } from './hunt.ts';
import { type NotPlanted, notPlanted } from './not-planted.ts';

/** One row of the table. */
export interface CanaryResult {
  readonly pitfall: string;
  readonly canary: string;
  readonly name: string;
  /** Who had to find it. */
  readonly checker: string;
  /** Found in every hunt. */
  readonly caught: boolean;
  /** Seeds until found, the middle one of all hunts; null unless caught. */
  readonly medianSeeds: number | null;
  readonly hunts: readonly Hunt[];
  readonly seconds: number;
}

export interface CanaryReport {
  readonly results: readonly CanaryResult[];
  readonly caught: number;
  readonly of: number;
  readonly notPlanted: readonly NotPlanted[];
  readonly seconds: number;
}

export interface CanaryOptions {
  /** Ids of canaries or pitfalls, or the number of a pitfall for all that it holds; left out: all. */
  readonly only?: readonly string[];
  /** Only those that run with every test. */
  readonly fast?: boolean;
  /** Hunts a canary, each from other seeds. */
  readonly repeat?: number;
  /** Canaries at a time. */
  readonly jobs?: number;
  readonly seedsMax?: number;
  readonly onResult?: (result: CanaryResult, done: number, of: number) => void;
  readonly onSeed?: (canary: Canary, seed: number, kind: string | null, message: string) => void;
}

/** Seeds between the beginnings of two hunts: more than any hunt takes. */
const huntStride = 10_000;

const isCalled = (id: string, name: string): boolean =>
  id === name || pitfallOf(id) === name || `${Number.parseInt(id, 10)}` === name;

/** Of these names those that no canary has. */
export const unknownCanaries = (names: readonly string[]): readonly string[] =>
  names.filter((name) => !canaries.some(({ id }) => isCalled(id, name)));

function wanted({ only, fast }: CanaryOptions): readonly Canary[] {
  const named = only === undefined ? canaries : canaries.filter(({ id }) => only.some((name) => isCalled(id, name)));
  const unknown = unknownCanaries(only ?? []);
  if (unknown.length > 0) throw new Error(`no canary is called ${unknown.join(', ')}`);
  return fast === true ? named.filter((canary) => canary.fast === true) : named;
}

function resultOf(canary: Canary, hunts: readonly Hunt[]): CanaryResult {
  const caught = hunts.length > 0 && hunts.every(({ found }) => found !== null);
  const seeds = hunts.map((one) => one.seeds).sort((a, b) => a - b);
  return {
    pitfall: pitfallOf(canary.id),
    canary: canary.id,
    name: canary.name,
    checker:
      canary.caughtBy.message === undefined
        ? canary.caughtBy.kind
        : `${canary.caughtBy.kind} (${canary.caughtBy.message})`,
    caught,
    medianSeeds: caught ? (seeds[Math.floor((seeds.length - 1) / 2)] ?? null) : null,
    hunts,
    seconds: hunts.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}

/** Hunts every canary that is wanted, several at a time, each in processes of its own. */
export async function runCanaries(options: CanaryOptions = {}): Promise<CanaryReport> {
  const startedMs = performance.now();
  const list = wanted(options);
  const results = new Map<string, CanaryResult>();
  const waiting = [...list];
  const firstSeeds = Array.from({ length: options.repeat ?? 1 }, (_, i) => 1 + i * huntStride);
  const { seedsMax, onSeed } = options;
  const worker = async (): Promise<void> => {
    for (let canary = waiting.shift(); canary !== undefined; canary = waiting.shift()) {
      const hunts = await hunt(canary, {
        firstSeeds,
        ...(seedsMax === undefined ? {} : { seedsMax }),
        ...(onSeed === undefined ? {} : { onSeed }),
      });
      const result = resultOf(canary, hunts);
      results.set(canary.id, result);
      options.onResult?.(result, results.size, list.length);
    }
  };
  await Promise.all(Array.from({ length: options.jobs ?? availableParallelism() }, worker));
  const ordered = list.flatMap(({ id }) => results.get(id) ?? []);
  return {
    results: ordered,
    caught: ordered.filter(({ caught }) => caught).length,
    of: ordered.length,
    notPlanted: options.only === undefined && options.fast !== true ? notPlanted : [],
    seconds: (performance.now() - startedMs) / 1000,
  };
}
