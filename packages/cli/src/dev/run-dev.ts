import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Context } from '../context.ts';
import { chooseEndpoints } from '../endpoints.ts';
import { configOfFile, formatNode } from '../node-process.ts';
import { line } from '../terminal.ts';
import { type DevCluster, type DevNode, nodesOf, planStart, wipe, writeCluster, writeConfigs } from './layout.ts';
import { takeLock } from './lock.ts';
import { showLine } from './node-lines.ts';
import { requireFreePorts } from './ports.ts';
import { onSignals } from './stop-signals.ts';
import { Supervisor } from './supervisor.ts';
import { clusterAnswers } from './wait.ts';

export interface DevOptions {
  readonly nodes: 3 | 5 | undefined;
  /** Absolute. */
  readonly directory: string;
  readonly basePort: number;
  readonly fresh: boolean;
  readonly restart: boolean;
  readonly verbose: boolean;
}

/** The nodes' own grace is five seconds; past this they are ended. */
const stopTimeoutMs = 15_000;
const answerTimeoutMs = 60_000;
const bin = fileURLToPath(new URL('../../bin/kimberlite.js', import.meta.url));

/** Runs until stopped. Resolves to the exit code: 0 after a clean stop. */
export async function runDev(context: Context, options: DevOptions): Promise<0 | 1> {
  const { directory } = options;
  const lock = takeLock(directory);
  try {
    if (options.fresh) wipe(directory);
    const plan = planStart(directory, options.nodes);
    const before = plan.type === 'start' ? plan.cluster : null;
    const count = before?.nodes ?? options.nodes ?? 3;
    const nodes = nodesOf(directory, options.basePort, count);
    await requireFreePorts(nodes, lock.stale);
    const clusterId = before?.clusterId ?? randomBytes(16).toString('hex');
    const cluster: DevCluster = { clusterId, nodes: count, basePort: options.basePort, formatted: before !== null };
    if (before === null) await formatAll(context, directory, cluster, nodes);
    writeCluster(directory, { ...cluster, formatted: true });
    writeConfigs(cluster, nodes);
    return await supervise(context, options, nodes);
  } finally {
    lock.release();
  }
}

/** Nothing ran yet, so what an interrupted first start left behind may be deleted. */
async function formatAll(
  context: Context,
  directory: string,
  cluster: DevCluster,
  nodes: readonly DevNode[],
): Promise<void> {
  line(context.terminal.err, `Preparing ${nodes.length} nodes in ${directory} …`);
  wipe(directory);
  writeCluster(directory, cluster);
  writeConfigs(cluster, nodes);
  for (const node of nodes) await formatNode(configOfFile(node.configFile));
}

async function supervise(context: Context, options: DevOptions, nodes: readonly DevNode[]): Promise<0 | 1> {
  const { terminal } = context;
  const say = (text: string): void => line(terminal.err, terminal.colors.yellow(text));
  let ended = false;
  let resolveEnd: (code: 0 | 1) => void = () => undefined;
  const end = new Promise<0 | 1>((resolve) => {
    resolveEnd = (code) => {
      ended = true;
      resolve(code);
    };
  });
  // While the nodes come up one after the other, that one cannot reach another yet is no news.
  let levelMin = options.verbose ? 0 : 50;
  const supervisor = new Supervisor({
    nodes,
    bin,
    restart: options.restart,
    say,
    onLine: (node, text, stream) => {
      // What a node says on stdout is that it is up; the welcome below says so for all of them.
      if (stream === 'stdout' && !options.verbose) return;
      const shown = showLine(node.replica, text, { levelMin, colors: terminal.colors });
      if (shown !== null && !ended) line(terminal.err, shown);
    },
    onAllDown: () => {
      say('All nodes are down.');
      resolveEnd(1);
    },
  });
  const stop = async (): Promise<void> => {
    ended = true;
    line(terminal.err, 'Stopping …');
    const timer = setTimeout(() => {
      say('The nodes took too long; ending them.');
      supervisor.kill();
    }, stopTimeoutMs);
    await supervisor.stop();
    clearTimeout(timer);
    line(terminal.err, 'Stopped. The data stays; start again to go on with it.');
    resolveEnd(0);
  };
  const release = onSignals({
    onStop: () => void stop(),
    onKill: () => {
      say('Ending the nodes at once; what was acknowledged is on disk.');
      supervisor.kill();
    },
  });
  try {
    supervisor.start();
    const answers = await clusterAnswers(nodes, { timeoutMs: answerTimeoutMs, giveUp: () => ended });
    if (!options.verbose) levelMin = 40;
    if (answers) printWelcome(context, options, nodes);
    else if (!ended) say('The cluster does not answer yet; `kimberlite status` shows what each node says.');
    return await end;
  } finally {
    release();
  }
}

/** Client endpoints alone are shown as ws://: what is printed can be copied into a program. */
function printWelcome(context: Context, options: DevOptions, nodes: readonly DevNode[]): void {
  const { out, colors } = { out: context.terminal.out, colors: context.terminal.colors };
  const endpoints = nodes.map((node) => `ws://127.0.0.1:${node.client}`);
  // From here the other commands find this cluster by themselves.
  const found = chooseEndpoints(undefined, {}, context.directory).join() === endpoints.join();
  const flag = found ? '' : ` --endpoints ${endpoints.join(',')}`;
  const quoted = endpoints.map((endpoint) => `'${endpoint}'`).join(', ');
  line(out, colors.green(`Kimberlite is up: ${nodes.length} nodes, data in ${options.directory}`));
  line(out);
  for (const node of nodes) {
    line(
      out,
      `  node ${node.replica}  ${endpoints[node.replica] ?? ''}  ${colors.dim(`admin http://127.0.0.1:${node.admin}/`)}`,
    );
  }
  line(out);
  line(out, 'Talk to it from another terminal:');
  line(out, `  npx kimberlite exec '{"type":"CreateTenant","tenantId":1,"name":"clinic"}'${flag}`);
  line(out, `  npx kimberlite query '{"tenantId":0,"table":"$tenants"}'${flag}`);
  line(out, `  npx kimberlite repl${flag}      ${colors.dim('(type help)')}`);
  line(out, `  npx kimberlite status${flag}`);
  line(out);
  line(out, 'or from a program:');
  line(out, `  import { connect } from '@kimberlite/client';`);
  line(out, `  const db = await connect({ endpoints: [${quoted}] });`);
  line(out);
  line(out, colors.dim('Ctrl-C stops it; the data stays.'));
}
