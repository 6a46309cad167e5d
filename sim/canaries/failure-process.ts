import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as Sim from '@kimberlite/sim';
import type { Execute, RunOptions } from '@kimberlite/sim';
import { canaryOf } from './canaries.ts';
import type { LookTask } from './look-into.ts';
import { platformHasher } from './platform-hasher.ts';
import { runOptionsOf } from './run-options.ts';

// A process of its own for one build: `node failure-process.js ROOT CANARY TASK`. It does with the planted build what
// `kimberlite sim` does with a run that failed, and what `kimberlite sim --replay` does; the exit code is theirs.

/** As much of that build's command line as is used here. */
interface Commands {
  readonly reportFailure: (
    context: object,
    run: {
      readonly seed: number;
      readonly options: RunOptions;
      readonly execute: Execute;
      readonly replay: string;
      readonly replayFile: (file: string) => string;
    },
    options: { readonly out?: string; readonly shrinkSeconds?: number },
  ) => Promise<void>;
  readonly replaySchedule: (
    context: object,
    file: string,
    execute: Execute,
    options: { readonly out?: string; readonly replayFile: (file: string) => string },
  ) => 0 | 1;
}

const [, , root, id, taskText] = process.argv;
if (root === undefined || id === undefined || taskText === undefined) throw new Error('give ROOT, CANARY and TASK');
const { world } = canaryOf(id);
if (world.type !== 'run') throw new Error(`canary ${id} compares what commands cost: it has no run to look into`);
const task = JSON.parse(taskText) as LookTask;
const built = async (file: string): Promise<unknown> => import(pathToFileURL(join(root, file)).href);
// Of that build, whatever it is: these very imports are what makes the process run the planted code.
const sim = (await built('sim/dist/index.js')) as typeof Sim;
const commands = (await built('packages/cli/dist/commands/sim-failure.js')) as Commands;
const terminals = (await built('packages/cli/dist/terminal.js')) as { readonly processTerminal: () => object };

const options = runOptionsOf(world);
const { ploy } = options;
// A ploy is no part of a schedule: it goes with the canary.
const execute: Execute = (seed, of) => sim.runSeed(seed, ploy === undefined ? of : { ...of, ploy }, platformHasher);
const context = {
  terminal: terminals.processTerminal(),
  env: process.env,
  directory: process.cwd(),
  readStdin: async () => '',
};
const again = `kimberlite sim canaries --only ${id}`;
const replayFile = (file: string): string => `${again} --replay ${file}`;
const left = task.out === undefined ? {} : { out: task.out };

async function look(): Promise<0 | 1> {
  if (task.type === 'replay') return commands.replaySchedule(context, task.file, execute, { ...left, replayFile });
  const { seed, shrinkSeconds } = task;
  if (execute(seed, options).failure === null) {
    process.stderr.write(`seed ${seed} passes with this bug in it\n`);
    return 0;
  }
  const run = { seed, options, execute, replay: `${again} --seed ${seed}`, replayFile };
  await commands.reportFailure(context, run, { ...left, ...(shrinkSeconds === undefined ? {} : { shrinkSeconds }) });
  return 1;
}

process.exitCode = await look();
