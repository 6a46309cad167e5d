import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import type * as Sim from '@kimberlite/sim';
import type { World } from './canary.ts';
import { canaryOf } from './canaries.ts';
import { tooDear } from './degraded.ts';
import { platformHasher } from './platform-hasher.ts';
import { runOptionsOf } from './run-options.ts';

// A process of its own for one build: `node seed-process.js ROOT CANARY`. A line with a seed comes in, a line with
// what became of its run goes out.

export interface SeedVerdict {
  readonly seed: number;
  /** Null: it passed. */
  readonly kind: string | null;
  readonly message: string;
  readonly seconds: number;
}

type Verdict = Pick<SeedVerdict, 'kind' | 'message'>;

function runWorld(sim: typeof Sim, world: World, seed: number): Verdict {
  switch (world.type) {
    case 'run': {
      const { failure } = sim.runSeed(seed, runOptionsOf(world), platformHasher);
      return { kind: failure?.kind ?? null, message: failure?.message ?? '' };
    }
    case 'degraded': {
      const { nodes, fault } = world;
      const report = sim.compareDegraded({ seed, nodes, fault, delays: 'fixed', hasher: platformHasher });
      const failure = sim.degradedFailure(report);
      const message = failure?.message ?? tooDear(report);
      return { kind: failure?.kind ?? (message === null ? null : 'performance'), message: message ?? '' };
    }
  }
}

const [, , root, id] = process.argv;
if (root === undefined || id === undefined) throw new Error('give the root of the build and the canary');
const { world } = canaryOf(id);
// Of that build, whatever it is: this very import is what makes the process run the planted code.
const sim = (await import(pathToFileURL(join(root, 'sim/dist/index.js')).href)) as typeof Sim;
for await (const line of createInterface({ input: process.stdin })) {
  const seed = Number(line);
  const startedMs = performance.now();
  const { kind, message } = runWorld(sim, world, seed);
  const verdict: SeedVerdict = { seed, kind, message, seconds: (performance.now() - startedMs) / 1000 };
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
