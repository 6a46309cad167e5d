import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type Context, examples, wholeNumber } from '../context.ts';
import { nodeCount } from '../dev/node-count.ts';
import { runDev } from '../dev/run-dev.ts';

interface Flags {
  readonly nodes?: 3 | 5;
  readonly dataDir: string;
  readonly basePort: number;
  readonly fresh?: boolean;
  readonly restart: boolean;
  readonly verbose?: boolean;
}

export function addDev(program: Command, context: Context): void {
  const command = program
    .command('dev')
    .summary('a local cluster in one terminal')
    .description(
      'Starts a cluster on loopback, each node a process of its own, and stays until Ctrl-C. A node that dies is\n' +
        'started again. With base port P, node i serves clients at P+i, peers at P+10+i and its admin page at P+20+i.\n' +
        'Run again, it comes back with its data.',
    )
    .option('--nodes <3|5>', 'how many nodes, for a new cluster (default: 3)', nodeCount)
    .option('--data-dir <dir>', 'where the cluster keeps its data', '.kimberlite')
    .option('--base-port <port>', 'port of the first node', wholeNumber('--base-port', 1, 65_500), 7001)
    .option('--fresh', 'delete the data of the cluster in that directory first (only what a dev cluster put there)')
    .option('--no-restart', 'leave a node that died down')
    .option('--verbose', "show the nodes' whole log, not only warnings")
    .action(async (flags: Flags) => {
      process.exitCode = await runDev(context, {
        nodes: flags.nodes,
        directory: resolve(context.directory, flags.dataDir),
        basePort: flags.basePort,
        fresh: flags.fresh === true,
        restart: flags.restart,
        verbose: flags.verbose === true,
      });
    });
  examples(command, [
    ['three nodes at ports 7001 to 7003', 'kimberlite dev'],
    ['five nodes, elsewhere', 'kimberlite dev --nodes 5 --data-dir /tmp/five --base-port 8001'],
    ['to practise: kill a node and watch it come back', 'kill -9 $(kimberlite status --json | jq .replicas[0].pid)'],
  ]);
}
