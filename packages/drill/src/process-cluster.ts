import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, openSync, closeSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

export interface ProcessClusterOptions {
  /** The `kimberlite.js` whose `format` and `start` are run: the shipped one, or a patched copy's. */
  readonly bin: string;
  readonly nodes: number;
  /** An empty directory: data, configuration and logs go below it. */
  readonly directory: string;
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
  { timeoutMs = 30_000, everyMs = 20 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/**
 * A cluster of real processes on loopback, started as an operator would start it. Faults come from outside:
 * signals. Owns the processes; `close` leaves none behind.
 */
export class ProcessCluster {
  readonly members: readonly Member[];
  private readonly options: ProcessClusterOptions;

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
    for (const member of members) {
      const formatted = spawnSync(process.execPath, [options.bin, 'format', '--config', member.config], {
        encoding: 'utf8',
      });
      if (formatted.status !== 0) throw new Error(`format failed: ${formatted.stderr}${formatted.stdout}`);
    }
    return cluster;
  }

  get endpoints(): string[] {
    return this.members.map((member) => `ws://127.0.0.1:${member.client}`);
  }

  start(replica: number): void {
    const member = this.member(replica);
    if (member.process !== null) throw new Error(`node ${replica} runs already`);
    const log = openSync(member.logFile, 'a');
    const child = spawn(process.execPath, [this.options.bin, 'start', '--config', member.config], {
      stdio: ['ignore', log, log, 'ipc'],
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
      { timeoutMs },
    );
  }

  /**
   * Waits until every node is normal and has applied the same op with the same state hash; gives that op and hash.
   * Two hashes at one op are a failure at any moment.
   */
  async converged(timeoutMs = 60_000): Promise<{ op: number; hash: string }> {
    let last: (NodeStatus | undefined)[] = [];
    try {
      return await waitFor(
        'all nodes normal with equal ops and state hashes',
        async () => {
          last = await this.statuses();
          const [first] = last;
          const equalOps = last.every((row) => row !== undefined && row.stateHashOp === first?.stateHashOp);
          // A node that is still opening its log has no state, and so no hash, yet.
          if (first === undefined || !equalOps || last.some((row) => row?.stateHash === '')) return undefined;
          if (last.some((row) => row?.stateHash !== first.stateHash)) throw new Error('state hashes differ at one op');
          const idle = last.every(
            (row) => row?.status === 'normal' && row.commit === first.stateHashOp && row.op === row.commit,
          );
          return idle ? { op: first.stateHashOp, hash: first.stateHash } : undefined;
        },
        { timeoutMs },
      );
    } catch (error) {
      throw new Error(`${String(error)}; last seen: ${JSON.stringify(last)}`);
    }
  }

  /** The end of a node's log, for a failure message. */
  logTail(replica: number, lines = 20): string {
    return readFileSync(this.member(replica).logFile, 'utf8').split('\n').slice(-lines).join('\n');
  }

  /** Ends every process, however it is. */
  async close(): Promise<void> {
    await Promise.all(
      this.members.map(async (member) => {
        if (member.process !== null) await this.signal(member.replica, 'SIGKILL');
      }),
    );
  }

  private member(replica: number): Member {
    const member = this.members[replica];
    if (member === undefined) throw new Error(`there is no node ${replica}`);
    return member;
  }
}
