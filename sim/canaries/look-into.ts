import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canaryOf } from './canaries.ts';
import { patchesOf } from './canary.ts';
import { patchedCopy } from './patched-copy.ts';
import { repositoryRoot } from './repository.ts';

/** What to do with a planted build: explain, shrink and write down a seed that fails in it, or run a schedule again. */
export type LookTask =
  | { readonly type: 'seed'; readonly seed: number; readonly out?: string; readonly shrinkSeconds?: number }
  | { readonly type: 'replay'; readonly file: string; readonly out?: string };

/** Plants one canary and looks into one run of it, in a process of its own; gives that process's exit code. */
export async function lookInto(id: string, task: LookTask): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'kimberlite-canary-'));
  try {
    const root = join(scratch, 'sick');
    patchedCopy(root, patchesOf(canaryOf(id)));
    const out = task.type === 'seed' ? (task.out ?? join(tmpdir(), 'kimberlite-sim', `canary-${id}`)) : task.out;
    const script = join(repositoryRoot(), 'sim/canaries/dist/failure-process.js');
    const text = JSON.stringify(out === undefined ? task : { ...task, out });
    const child = spawn(process.execPath, [script, root, id, text], { stdio: ['ignore', 'inherit', 'inherit'] });
    return await new Promise((done, failed) => {
      child.once('error', failed);
      child.once('exit', (code) => done(code ?? 1));
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
