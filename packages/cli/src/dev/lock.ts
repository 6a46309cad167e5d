import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail } from '../failure.ts';

/** Who runs the dev cluster of a directory. The nodes lock their own directories; this gives the clearer message. */
interface Owner {
  readonly pid: number;
  /** When that process was started, as the system counts: a pid alone may have been given to somebody else since. */
  readonly started: string;
}

const lockFile = (directory: string): string => join(directory, 'dev.lock');

/** Field 22 of /proc/PID/stat; empty where there is no /proc. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isAlive(owner: Owner): boolean {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it lives and is somebody else's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return owner.started === '' || startTime(owner.pid) === owner.started;
}

function readOwner(file: string): Owner | null {
  try {
    const { pid, started } = JSON.parse(readFileSync(file, 'utf8')) as { pid?: unknown; started?: unknown };
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null;
  } catch {
    return null;
  }
}

export interface DevLock {
  /** True when an earlier owner died without leaving: its nodes may take a moment to notice. */
  readonly stale: boolean;
  readonly release: () => void;
}

export function takeLock(directory: string): DevLock {
  mkdirSync(directory, { recursive: true });
  const file = lockFile(directory);
  const stale = existsSync(file);
  const owner: Owner = { pid: process.pid, started: startTime(process.pid) };
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, `${JSON.stringify(owner)}\n`, { flag: 'wx' });
      return { stale, release: () => rmSync(file, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const other = readOwner(file);
      if (other !== null && isAlive(other)) {
        throw fail(
          'DataDirectoryInUse',
          `A dev cluster runs in ${directory} already (process ${other.pid}).`,
          'Use that one, stop it with Ctrl-C in its terminal, or name another --data-dir and --base-port.',
        );
      }
      rmSync(file, { force: true });
    }
  }
  throw fail('DataDirectoryInUse', `Somebody else is just starting a dev cluster in ${directory}.`, 'Try again.');
}
