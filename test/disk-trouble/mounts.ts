import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// File systems of the tests' own: small ones that can be filled. Mounting takes rights that not every machine gives.

const mount = (...args: readonly string[]): string | null => {
  const { status, stderr, error } = spawnSync('mount', args, { encoding: 'utf8' });
  if (error !== undefined) return error.message;
  return status === 0 ? null : stderr.trim();
};

/** Directories below one of its own, each a file system of its own; `remove` leaves nothing mounted. */
export class Mounts {
  readonly directory = mkdtempSync(join(tmpdir(), 'kimberlite-mounts-'));
  private readonly mounted: string[] = [];

  /** A tmpfs of that size. Throws where mounting is refused. */
  small(name: string, mebibytes: number): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true });
    const problem = mount('-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'kimberlite-test', path);
    if (problem !== null) throw new Error(problem);
    this.mounted.push(path);
    return path;
  }

  readOnly(path: string, readOnly: boolean): void {
    const problem = mount('-o', `remount,${readOnly ? 'ro' : 'rw'}`, path);
    if (problem !== null) throw new Error(problem);
  }

  remove(): void {
    for (const path of this.mounted.splice(0)) spawnSync('umount', ['-l', path]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Why nothing can be mounted here; null: it can. */
export function whyNoMounts(): string | null {
  if (process.platform !== 'linux') return 'tmpfs is mounted on Linux alone';
  const mounts = new Mounts();
  try {
    mounts.small('probe', 1);
    return null;
  } catch (error) {
    return `mount is refused: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    mounts.remove();
  }
}

/** The name of the file that takes up room in a full file system. */
const ballast = 'ballast';

export const freeBytes = (path: string): number => {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
};

/** Leaves that many bytes free. */
export function fill(path: string, leaveBytes: number): void {
  empty(path);
  writeFileSync(join(path, ballast), new Uint8Array(Math.max(0, freeBytes(path) - leaveBytes)));
}

export const empty = (path: string): void => rmSync(join(path, ballast), { force: true });
