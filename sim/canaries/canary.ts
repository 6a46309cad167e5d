import type { FailureKind, FaultKind, Ploy, RunOptions, WorkloadOptions } from '@kimberlite/sim';
import type { Patch } from './patched-copy.ts';

/** The world a seed is run in. The same one with the bug and without. */
export type World =
  | {
      readonly type: 'run';
      readonly nodes: number;
      readonly faults: readonly FaultKind[];
      /** Virtual seconds of faults. */
      readonly seconds: number;
      readonly plan?: RunOptions['plan'];
      /** A schedule that leads to where the bug hurts, for what random faults would take too many seeds to meet. */
      readonly ploy?: Ploy;
    }
  /** The cost of a command with a backup gone, against that of the healthy and unpatched cluster. */
  | { readonly type: 'degraded'; readonly nodes: number; readonly fault: 'dead' | 'stopped' };

/** Who has to find it, named beforehand. What another one finds does not count. */
export interface CaughtBy {
  readonly kind: FailureKind;
  /** Part of the message: only where the kind says too little, as with an assertion somewhere else. */
  readonly message?: string;
}

export interface Canary {
  /** Of the pitfall (`PITFALLS.md`); behind a dot a number, where one pitfall has several canaries. */
  readonly id: string;
  /** What was done to the code. */
  readonly name: string;
  readonly patches: readonly Patch[];
  /** Applied to both builds: shrinks a limit, say, so that a run reaches it. */
  readonly ground?: readonly Patch[];
  /**
   * silent: broken invariants go unnoticed inside, so that only what can be seen from outside counts. on: the named
   * checker is an assertion elsewhere than in the patched function, since nothing outside can see the bug.
   */
  readonly assertions: 'silent' | 'on';
  readonly caughtBy: CaughtBy;
  readonly world: World;
  /** The bug has to be found within so many seeds. */
  readonly seedsMax: number;
  /** Found by the first few seeds: one of those that run with every test. */
  readonly fast?: true;
}

export const pitfallOf = (id: string): string => id.split('.')[0] ?? id;

const patchOf =
  (directory: string) =>
  (module: string, find: string, replace: string): Patch => ({ file: `${directory}/dist/${module}.js`, find, replace });

export const base: ReturnType<typeof patchOf> = patchOf('packages/base');
export const kernel: ReturnType<typeof patchOf> = patchOf('packages/kernel');
export const vsr: ReturnType<typeof patchOf> = patchOf('packages/vsr');
export const log: ReturnType<typeof patchOf> = patchOf('packages/log');
export const wire: ReturnType<typeof patchOf> = patchOf('packages/wire');
export const host: ReturnType<typeof patchOf> = patchOf('packages/host');
export const client: ReturnType<typeof patchOf> = patchOf('packages/client');
export const sim: ReturnType<typeof patchOf> = patchOf('sim');

/** Broken invariants are not noticed by the code itself. */
const silence: Patch = base('assert', 'if (!condition)', 'if (false)');

/** Patches of the build without the bug. */
export const groundOf = ({ ground }: Canary): readonly Patch[] => ground ?? [];

/** Patches of the build with the bug. */
export const patchesOf = ({ ground, patches, assertions }: Canary): readonly Patch[] => [
  ...(ground ?? []),
  ...(assertions === 'silent' ? [silence] : []),
  ...patches,
];

/** Three replicas under random faults of these kinds. */
export const faults = (...kinds: readonly FaultKind[]): Extract<World, { readonly type: 'run' }> => ({
  type: 'run',
  nodes: 3,
  faults: kinds,
  seconds: 4,
});

/** Three replicas without random faults, on which a ploy is played. */
export const ploy = (
  steps: Ploy,
  workload: Partial<WorkloadOptions> = {},
  plan: RunOptions['plan'] = {},
): Extract<World, { readonly type: 'run' }> => ({
  type: 'run',
  nodes: 3,
  faults: [],
  seconds: 2,
  plan: {
    clients: ['sdk', 'plain', 'sdk', 'plain', 'sdk'],
    weak: [],
    broken: [],
    finalBlackout: false,
    giveUpUs: 8_000_000,
    acknowledgedMin: 40,
    simulatedSecondsMin: 2,
    workload: { keys: 4, window: 1, thinkUs: 30_000, plenty: 100, readRate: 0.3, sharedRate: 0, ...workload },
    ...plan,
  },
  ploy: steps,
});

/** As `ploy`, and replica 0 is not expected back: in these runs it is the last in the order of views. */
export const lostForGood = (steps: Ploy): World => {
  const world = ploy(steps);
  return { ...world, plan: { ...world.plan, weak: [0], broken: [{ replica: 0, how: 'down' }], mendsBroken: false } };
};

/** Clients that fill the pipeline. */
export const busy: Partial<WorkloadOptions> = { window: 4, thinkUs: 5_000, readRate: 0.1 };

export const seedsMax = 60;

/** What most canaries have in common. */
export const plain = { assertions: 'silent', seedsMax } as const;
