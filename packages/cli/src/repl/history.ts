import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Lines kept between sessions. */
export const historyLinesMax = 1000;

export function historyFile(env: Readonly<Record<string, string | undefined>>): string {
  const state = env['XDG_STATE_HOME'];
  const base = state !== undefined && state.startsWith('/') ? state : join(homedir(), '.local', 'state');
  return join(base, 'kimberlite', 'repl-history');
}

/** Newest first, as readline wants it. */
export function readHistory(file: string): string[] {
  try {
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter((text) => text !== '');
    return lines.slice(-historyLinesMax).reverse();
  } catch {
    return [];
  }
}

/** A home that cannot be written to costs the history and nothing else. */
export function writeHistory(file: string, newestFirst: readonly string[]): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const lines = newestFirst.slice(0, historyLinesMax).reverse();
    writeFileSync(file, lines.map((text) => `${text}\n`).join(''), { mode: 0o600 });
  } catch {
    // See above.
  }
}
