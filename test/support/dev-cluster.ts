import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../..', import.meta.url));
export const bin = join(repository, 'packages/cli/bin/kimberlite.js');

/** Waits until `condition` is true, asking every 50 ms; the message names what was waited for in vain. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export const portsOf = (basePort: number, nodes: number): number[] =>
  [0, 10, 20].flatMap((offset) => Array.from({ length: nodes }, (_, i) => basePort + offset + i));

/** A base port whose whole block is free now. Below the range from which the system hands out ports by itself. */
export async function freeBasePort(nodes = 3): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const base = 12_000 + Math.floor(Math.random() * 600) * 30;
    const free = await Promise.all(portsOf(base, nodes).map(portIsFree));
    if (free.every(Boolean)) return base;
  }
  throw new Error('no block of free ports was found');
}

export function temporaryDirectory(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'kimberlite-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process with everything it said. */
export class Spoken {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  out = '';
  err = '';

  constructor(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: NodeJS.ProcessEnv; stdin?: string } = {},
  ) {
    const { cwd = repository, env = process.env, stdin } = options;
    // A group of its own, so that a test can press Ctrl-C as a terminal does: for everybody in the group.
    this.child = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.out += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.err += chunk.toString();
    });
    this.child.stdin?.end(stdin ?? '');
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve({ code, signal })));
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error('the process was not started');
    return pid;
  }

  /** To every process of the group, as a terminal does with Ctrl-C. */
  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  async says(text: string, timeoutMs = 60_000): Promise<void> {
    let over = false;
    void this.ended.then(() => {
      over = true;
    });
    try {
      await until(`"${text}" is said`, () => this.out.includes(text) || over, timeoutMs);
      if (!this.out.includes(text)) throw new Error(`the process ended without saying "${text}"`);
    } catch (error) {
      throw new Error(`${String(error)}\nstdout: ${this.out}\nstderr: ${this.err}`);
    }
  }
}

export const kimberlite = (
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; stdin?: string } = {},
): Spoken => new Spoken(process.execPath, [bin, ...args], options);

/** Runs a command of the CLI to its end. */
export async function cli(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; stdin?: string } = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const process = kimberlite(args, options);
  const { code } = await process.ended;
  return { code, out: process.out, err: process.err };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Said last when a dev cluster is up. */
export const upLine = 'Ctrl-C stops it';

export interface DevCluster {
  readonly process: Spoken;
  readonly basePort: number;
  readonly endpoints: string;
  readonly directory: string;
  readonly stop: () => Promise<void>;
}

/** `kimberlite dev` in `directory`, up. */
export async function startDev(
  directory: string,
  basePort: number,
  flags: readonly string[] = [],
): Promise<DevCluster> {
  const process = kimberlite(['dev', '--data-dir', directory, '--base-port', String(basePort), ...flags]);
  await process.says(upLine);
  const endpoints = [0, 1, 2].map((i) => `ws://127.0.0.1:${basePort + i}`).join(',');
  const stop = async (): Promise<void> => {
    if (process.child.exitCode === null && process.child.signalCode === null) process.child.kill('SIGTERM');
    await process.ended;
  };
  return { process, basePort, endpoints, directory, stop };
}
