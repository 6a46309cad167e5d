import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { err, ok, type Result } from '@kimberlite/base';

// Two processes on one directory would each overwrite what the other acknowledged. The lock has to be gone the moment
// its holder is, however that ended, and Node has no flock. On Linux a listening socket in the abstract namespace does
// it: the kernel gives the name to one process and frees it with the process. The name is made of the directory's
// device and inode, so no second path leads around it. The namespace is per network namespace: containers that share a
// volume and not their network do not see each other's lock (the docs say so).

export interface DirectoryLock {
  readonly release: () => Promise<void>;
}

export interface DirectoryLockError {
  readonly kind: 'in-use' | 'missing-directory' | 'not-a-directory' | 'unwritable' | 'io';
  readonly message: string;
  /** Process that holds the lock, when it answered. */
  readonly pid?: number;
}

/** How long the holder may take to say who it is; a stopped one never does. */
const answerTimeoutMs = 500;
const lockFile = 'lock';

type LockResult = Result<DirectoryLock, DirectoryLockError>;

function inUse(directory: string, pid: number | null): LockResult {
  const holder = pid === null ? 'another process' : `process ${pid}`;
  const message = `${directory} is in use by ${holder}. Stop that node first, or give this one a data directory of its own.`;
  return err(pid === null ? { kind: 'in-use', message } : { kind: 'in-use', message, pid });
}

function failure(directory: string, cause: NodeJS.ErrnoException): LockResult {
  if (cause.code === 'ENOENT') {
    return err({
      kind: 'missing-directory',
      message: `${directory} does not exist. Prepare it once with "kimberlite format".`,
    });
  }
  if (cause.code === 'EACCES' || cause.code === 'EPERM' || cause.code === 'EROFS') {
    return err({
      kind: 'unwritable',
      message: `${directory} cannot be written: ${cause.message}. Check its owner and mount.`,
    });
  }
  return err({ kind: 'io', message: `${directory} cannot be locked: ${cause.message}` });
}

const abstractName = (stats: fs.BigIntStats): string => `\0kimberlite-${stats.dev}-${stats.ino}`;

function askHolder(name: string): Promise<number | null> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: name });
    let text = '';
    const finish = (): void => {
      socket.destroy();
      const pid = Number(text);
      resolve(Number.isInteger(pid) && pid > 0 ? pid : null);
    };
    socket.setEncoding('utf8');
    socket.setTimeout(answerTimeoutMs, finish);
    socket.on('data', (piece: string) => {
      // A process id has few digits; whoever sends more is not one of ours.
      text = (text + piece).slice(0, 16);
    });
    socket.on('end', finish);
    socket.on('error', finish);
  });
}

function listen(name: string): Promise<Result<net.Server, NodeJS.ErrnoException>> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.end(`${process.pid}`);
    });
    server.once('error', (cause: NodeJS.ErrnoException) => resolve(err(cause)));
    // Exclusive: otherwise the workers of a node cluster would share the name.
    server.listen({ path: name, exclusive: true }, () => {
      server.unref();
      resolve(ok(server));
    });
  });
}

async function lockBySocket(directory: string, stats: fs.BigIntStats): Promise<LockResult> {
  const name = abstractName(stats);
  const listening = await listen(name);
  if (listening.ok) {
    const server = listening.value;
    return ok({ release: () => new Promise((resolve) => void server.close(() => resolve())) });
  }
  if (listening.error.code === 'EADDRINUSE') return inUse(directory, await askHolder(name));
  return failure(directory, listening.error);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return cause instanceof Error && 'code' in cause && cause.code === 'EPERM';
  }
}

/** Elsewhere: a file with the holder's process id, taken over when that process is gone. */
async function lockByFile(directory: string): Promise<LockResult> {
  const file = path.join(directory, lockFile);
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await fs.promises.writeFile(file, `${process.pid}`, { flag: 'wx' });
      return ok({ release: () => fs.promises.rm(file, { force: true }) });
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
      const failed: NodeJS.ErrnoException = cause;
      if (failed.code !== 'EEXIST') return failure(directory, failed);
      const pid = Number(await fs.promises.readFile(file, 'utf8').catch(() => ''));
      if (Number.isInteger(pid) && pid > 0 && isAlive(pid)) return inUse(directory, pid);
      await fs.promises.rm(file, { force: true });
    }
  }
  return inUse(directory, null);
}

/** Takes the directory for this process until it releases it or ends, in whichever way. */
export async function lockDirectory(
  directory: string,
  options: { readonly platform?: NodeJS.Platform } = {},
): Promise<LockResult> {
  try {
    const stats = await fs.promises.stat(directory, { bigint: true });
    if (!stats.isDirectory()) return err({ kind: 'not-a-directory', message: `${directory} is not a directory.` });
    await fs.promises.access(directory, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
    return (options.platform ?? os.platform()) === 'linux'
      ? await lockBySocket(directory, stats)
      : await lockByFile(directory);
  } catch (cause) {
    if (cause instanceof Error) return failure(directory, cause);
    throw cause;
  }
}

/** Whether the name is taken, without taking it: nobody who starts meanwhile runs into the question. */
function isListening(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: name });
    // The system takes the connection for its listener, so a stopped holder counts too.
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Whether some process holds the directory now: `verify` and `inspect` say so, and are lenient about what is half written. */
export async function isDirectoryLocked(
  directory: string,
  options: { readonly platform?: NodeJS.Platform } = {},
): Promise<boolean> {
  if ((options.platform ?? os.platform()) === 'linux') {
    const stats = await fs.promises.stat(directory, { bigint: true }).catch(() => null);
    return stats !== null && (await isListening(abstractName(stats)));
  }
  const pid = Number(await fs.promises.readFile(path.join(directory, lockFile), 'utf8').catch(() => ''));
  return Number.isInteger(pid) && pid > 0 && isAlive(pid);
}
