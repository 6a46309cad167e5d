import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// A disk that fails or is slow, for processes that know nothing of it: a library in front of libc, compiled here.

export type TroubleRule =
  | {
      readonly what: 'fail';
      readonly call: 'read' | 'write' | 'sync';
      readonly file: string;
      readonly error: 'EIO' | 'EROFS';
      readonly from?: number;
      readonly to?: number;
    }
  | { readonly what: 'slow'; readonly call: 'read' | 'write' | 'sync'; readonly file: string; readonly us: number };

const numbers: Readonly<Record<'EIO' | 'EROFS', number>> = { EIO: 5, EROFS: 30 };
const everywhere = 1e15;

/** One for each node: what its disk does can be changed while it runs. */
export class Preload {
  readonly directory = mkdtempSync(join(tmpdir(), 'kimberlite-preload-'));
  private readonly library = join(this.directory, 'trouble.so');

  constructor() {
    const source = fileURLToPath(new URL('preload.c', import.meta.url));
    const { status, stderr, error } = spawnSync(
      'gcc',
      ['-shared', '-fPIC', '-O1', '-o', this.library, source, '-ldl'],
      { encoding: 'utf8' },
    );
    if (error !== undefined || status !== 0) throw new Error(error?.message ?? stderr);
  }

  private rulesFile(replica: number): string {
    return join(this.directory, `rules-${replica}`);
  }

  environment(replica: number): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.library, TROUBLE_RULES: this.rulesFile(replica) };
  }

  set(replica: number, rules: readonly TroubleRule[]): void {
    const lines = rules.map((rule) => {
      const [from, to] = rule.what === 'fail' ? [rule.from ?? 0, rule.to ?? everywhere] : [0, everywhere];
      return `${rule.what} ${rule.call} ${rule.file} ${from} ${to} ${rule.what === 'fail' ? numbers[rule.error] : rule.us}\n`;
    });
    writeFileSync(this.rulesFile(replica), lines.join(''));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Why no library can be put in front of libc here; null: it can. */
export function whyNoPreload(): string | null {
  if (process.platform !== 'linux') return 'LD_PRELOAD is used on Linux alone';
  try {
    new Preload().remove();
    return null;
  } catch (error) {
    return `no library can be compiled: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`;
  }
}
