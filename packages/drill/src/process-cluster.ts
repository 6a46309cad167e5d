import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareHashes, type HashesAtOp, isDiverged } from './hashes.ts';

export interface ProcessClusterOptions {
  /** The `kimberlite.js` whose `format` and `start` are run: the shipped one, or a patched copy's. */
  readonly bin: string;
  readonly nodes: number;
  /** An empty directory: data, configuration and logs go below it. */
  readonly directory: string;
  /** Further keys of every node's configuration. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Further variables of a node's environment. */
  readonly environment?: (replica: number) => Readonly<Record<string, string>>;
  /** Ends every wait. */
  readonly signal?: AbortSignal;
}

/** The part of `/status` that drills look at. */
export interface NodeStatus {
  readonly role: string | null;
  readonly status: string;
  readonly view: number;
  readonly op: number;
  readonly commit: number;
  readonly position: number;
  readonly stateHash: string;
  readonly stateHashOp: number;
  readonly versionInForce: number;
  readonly versionNewest: number;
}

interface Member {
  readonly replica: number;
  readonly client: number;
  readonly peer: number;
  readonly admin: number;
  readonly config: string;
  readonly logFile: string;
  process: ChildProcess | null;
}

/** Below the range from which the system takes ports for outgoing connections, so that none of those is in the way later. */
const portsFrom = 12_000;
const portsTo = 32_000;

/** A port nobody listens on now. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(portsFrom, portsTo);
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** Waits until `condition` gives something other than undefined; asks again every `everyMs`. */
export async function waitFor<T>(
  what: string,
  condition: () => Promise<T | undefined>,
  options: { readonly timeoutMs?: number; readonly everyMs?: number; readonly signal?: AbortSignal } = {},
): Promise<T> {
  const { timeoutMs = 30_000, everyMs = 20, signal } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const value = await condition();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await sleep(everyMs);
  }
}

/** The files say it all; a variable meant for one node would make all of them the same node. */
function nodeEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('KIMBERLITE_')));
}

function format(bin: string, config: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = [bin, 'format', '--config', config];
    execFile(process.execPath, args, { env: nodeEnvironment() }, (error, stdout, stderr) => {
      if (error === null) resolve();
      else reject(new Error(`a data directory cannot be formatted: ${stderr}${stdout}`));
    });
  });
}

/**
 * A cluster of real processes on loopback, started as an operator would start it. Faults come from outside:
 * signals. Owns the processes; `close` leaves none behind.
 */
export class ProcessCluster {
  readonly members: readonly Member[];
  private readonly options: ProcessClusterOptions;
  private closed = false;

  private constructor(options: ProcessClusterOptions, members: readonly Member[]) {
    this.options = options;
    this.members = members;
  }

  /** Writes configurations and formats the data directories; starts nothing. */
  static async create(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const clusterId = randomBytes(16).toString('hex');
    const ports: number[] = [];
    while (ports.length < options.nodes * 3) {
      const port = await freePort();
      if (!ports.includes(port)) ports.push(port);
    }
    const replicas = Array.from({ length: options.nodes }, (_, i) => `127.0.0.1:${ports[i * 3 + 1]}`);
    mkdirSync(options.directory, { recursive: true });
    const members = replicas.map((peerAddress, replica): Member => {
      const [client, peer, admin] = ports.slice(replica * 3, replica * 3 + 3) as [number, number, number];
      const config = join(options.directory, `node-${replica}.json`);
      const contents = {
        clusterId,
        replica,
        dataDir: join(options.directory, `node-${replica}`),
        client: `127.0.0.1:${client}`,
        peer: peerAddress,
        admin: `127.0.0.1:${admin}`,
        replicas,
        ...options.settings,
      };
      writeFileSync(config, JSON.stringify(contents, null, 2));
      return {
        replica,
        client,
        peer,
        admin,
        config,
        logFile: join(options.directory, `node-${replica}.log`),
        process: null,
      };
    });
    const cluster = new ProcessCluster(options, members);
    await Promise.all(members.map((member) => format(options.bin, member.config)));
    return cluster;
  }

  get endpoints(): string[] {
    return this.members.map((member) => `ws://127.0.0.1:${member.client}`);
  }

  /** `bin`: of another build than the cluster's own. */
  start(replica: number, bin = this.options.bin): void {
    const member = this.member(replica);
    if (this.closed) throw new Error('the cluster is closed');
    if (member.process !== null) throw new Error(`node ${replica} runs already`);
    const log = openSync(member.logFile, 'a');
    const child = spawn(process.execPath, [bin, 'start', '--config', member.config], {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...nodeEnvironment(), ...this.options.environment?.(replica) },
    });
    closeSync(log);
    member.process = child;
    child.once('exit', () => {
      if (member.process === child) member.process = null;
    });
  }

  startAll(): void {
    for (const member of this.members) if (member.process === null) this.start(member.replica);
  }

  pid(replica: number): number | undefined {
    return this.member(replica).process?.pid;
  }

  /** Sends the signal; for KILL, TERM and INT waits until the process is gone. */
  async signal(replica: number, signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const child = this.member(replica).process;
    if (child === null) throw new Error(`node ${replica} does not run`);
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await gone;
  }

  /** Undefined while the node does not answer. */
  async status(replica: number): Promise<NodeStatus | undefined> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.member(replica).admin}/status`, {
        signal: AbortSignal.timeout(1000),
      });
      return (await response.json()) as NodeStatus;
    } catch {
      return undefined;
    }
  }

  async statuses(): Promise<(NodeStatus | undefined)[]> {
    return Promise.all(this.members.map((member) => this.status(member.replica)));
  }

  /** The replica that is normal and primary in the highest view. */
  async primary(timeoutMs = 30_000): Promise<number> {
    return waitFor(
      'a primary in normal status',
      async () => {
        const rows = await this.statuses();
        let best: number | undefined;
        rows.forEach((row, replica) => {
          if (row?.role !== 'primary' || row.status !== 'normal') return;
          if (best === undefined || row.view > (rows[best]?.view ?? -1)) best = replica;
        });
        return best;
      },
      this.patience(timeoutMs),
    );
  }

  /**
   * Waits until every node is normal and has applied the same op, and gives their state hashes. Hashes that differ at
   * one op are given at once, whatever else goes on: waiting longer makes them no better.
   */
  async settled(timeoutMs = 60_000): Promise<HashesAtOp> {
    let last: (NodeStatus | undefined)[] = [];
    try {
      return await waitFor(
        'all nodes normal, with nothing left to apply',
        async () => {
          last = await this.statuses();
          return compareHashes(last);
        },
        this.patience(timeoutMs),
      );
    } catch (error) {
      this.options.signal?.throwIfAborted();
      throw new Error(`${String(error)}; last seen: ${JSON.stringify(last)}`);
    }
  }

  /** The op at which all came to rest, and their hash; throws when there are two. */
  async converged(timeoutMs = 60_000): Promise<{ op: number; hash: string }> {
    const found = await this.settled(timeoutMs);
    if (isDiverged(found)) throw new Error(`state hashes differ at one op: ${JSON.stringify(found)}`);
    return { op: found.op, hash: found.hashes[0] ?? '' };
  }

  /** The end of a node's log, for a failure message. */
  logTail(replica: number, lines = 20): string {
    return readFileSync(this.member(replica).logFile, 'utf8').split('\n').slice(-lines).join('\n');
  }

  /** Ends every process, however it is; none can be started any more. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all(
      this.members.map(async (member) => {
        if (member.process !== null) await this.signal(member.replica, 'SIGKILL');
      }),
    );
  }

  private patience(timeoutMs: number): { timeoutMs: number; signal?: AbortSignal } {
    const { signal } = this.options;
    return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
  }

  private member(replica: number): Member {
    const member = this.members[replica];
    if (member === undefined) throw new Error(`there is no node ${replica}`);
    return member;
  }
}
