import type { Journal } from '@kimberlite/host';
import { explainProblems, type ConfigProblem } from './config-problem.ts';
import type { NodeConfig } from './config.ts';
import { ListenError } from './listen.ts';
import { StartError } from './start-error.ts';
import { type RunningNode, startNode } from './start-node.ts';

export interface RunOptions {
  readonly config: NodeConfig;
  readonly warnings?: readonly ConfigProblem[];
  readonly page?: string;
  /** Where the line goes that says the node is up (stdout). */
  readonly say: (line: string) => void;
  /** Where it goes why it is not (stderr). */
  readonly complain: (line: string) => void;
}

/** Signals of one key press, from the terminal and from a parent that passes it on, count once. */
const samePressMs = 200;

/** From this signal on patience is over: the second within the grace is somebody who did not see the first's effect. */
const killAtSignal = 3;

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * One node as a process of its own: runs until it is told to stop, its parent vanishes or the replica cannot go on.
 * Resolves to the exit code: 0 after a stop, 1 when it could not start or had to give up.
 */
export async function runNode(options: RunOptions): Promise<number> {
  const { config, warnings = [], say, complain } = options;
  if (warnings.length > 0) complain(explainProblems(warnings));
  // Nobody reads any more: no reason to die.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  // From the first moment on: a stop that comes while the ports open is a stop, not a crash.
  const { asked, release } = stopAsked();
  let node: RunningNode;
  try {
    node = await startNode({ config, ...(options.page === undefined ? {} : { page: options.page }) });
  } catch (error) {
    release();
    if (!(error instanceof StartError) && !(error instanceof ListenError)) throw error;
    complain(error.message);
    return 1;
  }
  endOnUnexpected(node.journal);
  void node.opened.then(() => announce(node, config, say));
  const removed = node.left.then(() => 'it was removed from the cluster: stopping');
  const end = await Promise.race([asked, removed, node.failed]);
  if (typeof end === 'string') {
    node.journal.write('info', end, {});
    await node.stop();
    release();
    if (end === (await Promise.race([removed, '']))) say(leftText(config));
    return 0;
  }
  release();
  complain(end.message);
  // The directory stays locked until the process is gone; the log has been told to stop.
  return 1;
}

const leftText = ({ replica, dataDir }: NodeConfig): string =>
  `replica ${replica} was removed from the cluster, which goes on without it; ${dataDir} is not needed any more`;

function announce(node: RunningNode, config: NodeConfig, say: (line: string) => void): void {
  const { replica, replicas } = config;
  say(`replica ${replica} of ${replicas.length} is up: clients ${node.endpoint}, dashboard ${node.adminUrl}`);
  process.send?.({ type: 'up', replica, endpoint: node.endpoint, adminUrl: node.adminUrl });
}

/** Resolves with the reason as soon as somebody wants this process to end. */
function stopAsked(): { readonly asked: Promise<string>; readonly release: () => void } {
  let ask: (why: string) => void = () => {};
  const asked = new Promise<string>((resolve) => {
    ask = resolve;
  });
  let presses = 0;
  let lastMs = -samePressMs;
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (now - lastMs < samePressMs) return;
    lastMs = now;
    presses += 1;
    if (presses >= killAtSignal) process.exit(1);
    ask(`${signal}: stopping`);
  };
  const onParentGone = (): void => ask('the parent process has gone: stopping');
  for (const signal of stopSignals) process.on(signal, onSignal);
  // Only a process that was started with an IPC channel ever gets this.
  process.on('disconnect', onParentGone);
  const release = (): void => {
    for (const signal of stopSignals) process.off(signal, onSignal);
    process.off('disconnect', onParentGone);
  };
  return { asked, release };
}

/** An error nobody expected means that state may be half changed: the process ends, and the log gives the state back. */
function endOnUnexpected(journal: Journal): void {
  const end = (error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error);
    journal.write('error', `unexpected: ${message}`, { stack: error instanceof Error ? error.stack : undefined });
    process.exit(1);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}
