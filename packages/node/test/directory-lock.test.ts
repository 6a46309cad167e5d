import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isDirectoryLocked, lockDirectory } from '../src/directory-lock.ts';

// The other process runs the built file, as a second node would.
const built = fileURLToPath(new URL('../dist/directory-lock.js', import.meta.url));
const program = `
  const { lockDirectory } = await import(process.argv[1]);
  const locked = await lockDirectory(process.argv[2]);
  console.log(locked.ok ? 'locked' : locked.error.kind + ' ' + locked.error.pid);
  setInterval(() => {}, 1000);
`;

describe('directory lock', () => {
  let directory: string;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kimberlite-lock-'));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await rm(directory, { recursive: true });
  });

  function otherProcess(): Promise<{ readonly child: ChildProcess; readonly said: string }> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, built, directory]);
    children.push(child);
    return new Promise((resolve, reject) => {
      let errors = '';
      child.stderr.on('data', (text) => {
        errors += text;
      });
      child.on('exit', () => reject(new Error(errors)));
      child.stdout.on('data', (text) => resolve({ child, said: `${text}`.trim() }));
    });
  }

  const killed = (child: ChildProcess): Promise<void> =>
    new Promise((resolve) => {
      child.removeAllListeners('exit');
      child.on('exit', () => resolve());
      child.kill('SIGKILL');
    });

  const kindOf = async (place: string): Promise<string> => {
    const locked = await lockDirectory(place);
    if (!locked.ok) return locked.error.kind;
    await locked.value.release();
    return 'ok';
  };

  it('a second taker runs into it and learns who holds it; release frees it', async () => {
    const first = await lockDirectory(directory);
    if (!first.ok) throw new Error(first.error.message);
    const second = await lockDirectory(directory);
    expect(second.ok ? null : second.error).toMatchObject({ kind: 'in-use', pid: process.pid });
    expect(await isDirectoryLocked(directory)).toBe(true);
    const other = await otherProcess();
    expect(other.said).toBe(`in-use ${process.pid}`);
    await first.value.release();
    expect(await isDirectoryLocked(directory)).toBe(false);
    expect(await kindOf(directory)).toBe('ok');
  });

  it('kill -9 of the holder frees it at once', async () => {
    const { child, said } = await otherProcess();
    expect(said).toBe('locked');
    const refused = await lockDirectory(directory);
    expect(refused.ok ? null : refused.error.pid).toBe(child.pid);
    await killed(child);
    expect(await kindOf(directory)).toBe('ok');
  });

  it('no second path leads around it', async () => {
    const first = await lockDirectory(directory);
    const link = `${directory}-link`;
    await symlink(directory, link);
    try {
      expect(await kindOf(link)).toBe('in-use');
    } finally {
      await rm(link);
    }
    if (first.ok) await first.value.release();
  });

  it('says what is wrong with the directory', async () => {
    expect(await kindOf(join(directory, 'none'))).toBe('missing-directory');
    expect(await kindOf(built)).toBe('not-a-directory');
  });

  it('elsewhere than on Linux, a file with the process id does it', async () => {
    const place = join(directory, 'd');
    await mkdir(place);
    const first = await lockDirectory(place, { platform: 'darwin' });
    const second = await lockDirectory(place, { platform: 'darwin' });
    expect(second.ok ? null : second.error).toMatchObject({ kind: 'in-use', pid: process.pid });
    if (first.ok) await first.value.release();
    const third = await lockDirectory(place, { platform: 'darwin' });
    expect(third.ok).toBe(true);
  });
});
