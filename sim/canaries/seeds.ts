import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { repositoryRoot } from './repository.ts';
import type { SeedVerdict } from './seed-process.ts';

/** A planted bug may also make a seed run for ever. */
const seedMsMax = 180_000;

/** Seeds of one canary's world on one build, one after the other, in a process of their own. */
export class Seeds {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private ended = false;

  constructor(root: string, canary: string) {
    const script = join(repositoryRoot(), 'sim/canaries/dist/seed-process.js');
    this.process = spawn(process.execPath, [script, root, canary]);
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    this.process.stderr.pipe(process.stderr);
    this.process.once('exit', () => {
      this.ended = true;
    });
    // A process that died shows as a missing answer.
    this.process.stdin.on('error', () => {});
  }

  async run(seed: number): Promise<SeedVerdict> {
    if (this.ended) return { seed, kind: 'died', message: 'the process is gone', seconds: 0 };
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.process.kill('SIGKILL');
    }, seedMsMax);
    this.process.stdin.write(`${seed}\n`);
    const next = await this.lines.next();
    clearTimeout(timer);
    if (next.done !== true) return JSON.parse(next.value) as SeedVerdict;
    this.ended = true;
    const kind = late ? 'endless' : 'died';
    return { seed, kind, message: `seed ${seed} has no result`, seconds: late ? seedMsMax / 1000 : 0 };
  }

  stop(): void {
    this.process.kill('SIGKILL');
  }
}
