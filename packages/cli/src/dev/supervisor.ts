import { type ChildProcess, spawn } from 'node:child_process';
import type { DevNode } from './layout.ts';

/** Delays before a dead node is started again; the last one repeats. */
const backoffMs = [200, 500, 1000, 2000, 5000, 10_000] as const;
/** A node that lived this long is taken for healthy: its next death starts the backoff over. */
const healthyAfterMs = 30_000;

export interface SupervisorOptions {
  readonly nodes: readonly DevNode[];
  /** `bin/kimberlite.js`. */
  readonly bin: string;
  readonly restart: boolean;
  readonly say: (text: string) => void;
  /** A line a node wrote, without its end. Logs and complaints come on stderr. */
  readonly onLine: (node: DevNode, line: string, stream: 'stdout' | 'stderr') => void;
  /** Every node is down and none will be started again. */
  readonly onAllDown: () => void;
}

interface Slot {
  readonly node: DevNode;
  child: ChildProcess | null;
  startedMs: number;
  deaths: number;
  timer: NodeJS.Timeout | null;
}

/** Owns one child process a node. */
export class Supervisor {
  private readonly options: SupervisorOptions;
  private readonly slots: readonly Slot[];
  private stopping = false;

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.slots = options.nodes.map((node) => ({ node, child: null, startedMs: 0, deaths: 0, timer: null }));
  }

  start(): void {
    for (const slot of this.slots) this.launch(slot);
  }

  get running(): number {
    return this.slots.filter((slot) => slot.child !== null).length;
  }

  /** Asks every node to stop and hands out a promise for the last of them. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(
      this.slots.map((slot) => {
        if (slot.timer !== null) clearTimeout(slot.timer);
        const { child } = slot;
        if (child === null) return undefined;
        const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
        child.kill('SIGTERM');
        return gone;
      }),
    );
  }

  kill(): void {
    this.stopping = true;
    for (const slot of this.slots) slot.child?.kill('SIGKILL');
  }

  private launch(slot: Slot): void {
    const { bin, say, onLine } = this.options;
    slot.timer = null;
    slot.startedMs = performance.now();
    // A process group of its own, so that Ctrl-C in the terminal reaches only us; the IPC channel is how the node
    // notices that we are gone, however that came.
    const child = spawn(process.execPath, [bin, 'start', '--config', slot.node.configFile], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: childEnvironment(),
    });
    slot.child = child;
    eachLine(child.stdout, (text) => onLine(slot.node, text, 'stdout'));
    eachLine(child.stderr, (text) => onLine(slot.node, text, 'stderr'));
    child.once('error', (error) => say(`node ${slot.node.replica} cannot be started: ${error.message}`));
    child.once('exit', (code, signal) => this.died(slot, code, signal));
  }

  private died(slot: Slot, code: number | null, signal: NodeJS.Signals | null): void {
    slot.child = null;
    if (this.stopping) return;
    const { restart, say } = this.options;
    const how = signal === null ? `with exit code ${code ?? 'unknown'}` : `by ${signal}`;
    if (!restart) {
      say(`node ${slot.node.replica} ended ${how}; it stays down (--no-restart)`);
      if (this.running === 0) this.options.onAllDown();
      return;
    }
    if (performance.now() - slot.startedMs > healthyAfterMs) slot.deaths = 0;
    const delay = backoffMs[Math.min(slot.deaths, backoffMs.length - 1)] ?? 0;
    slot.deaths += 1;
    say(`node ${slot.node.replica} ended ${how}; starting it again in ${delay} ms`);
    slot.timer = setTimeout(() => this.launch(slot), delay);
  }
}

/** The files say it all; a variable meant for one node would make all of them the same node. */
function childEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith('KIMBERLITE_') || name === 'KIMBERLITE_LOG_LEVEL') env[name] = value;
  }
  return env;
}

const lineLengthMax = 65_536;

function eachLine(stream: NodeJS.ReadableStream | null, take: (line: string) => void): void {
  if (stream === null) return;
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = (lines.pop() ?? '').slice(0, lineLengthMax);
    for (const text of lines) take(text);
  });
  stream.on('end', () => {
    if (rest !== '') take(rest);
  });
}
