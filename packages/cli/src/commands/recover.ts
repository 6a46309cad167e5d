import { existsSync, readdirSync } from 'node:fs';
import { formatReplacement, type NodeConfig } from '@kimberlite/node';
import type { Command } from 'commander';
import { type ClusterOptions, type Context, endpointsOf, examples, printJson, withCluster } from '../context.ts';
import type { Endpoints } from '../endpoints.ts';
import { fail, UsageFailure } from '../failure.ts';
import { configFrom, type NodeFlags } from '../node-process.ts';
import { askPrimary, pause, statusOf } from '../operate.ts';
import { line } from '../terminal.ts';
import { withConfigFlags } from './start.ts';

type Flags = NodeFlags & ClusterOptions & { readonly oldMachineIsGone?: boolean };

interface Fenced {
  readonly view: number;
  readonly incarnation: number;
  readonly checkpointInterval: number;
  readonly membership: string | null;
}

/** How often a primary is asked, and the pause between: a view change takes less. */
const attemptsMax = 20;
const attemptPauseMs = 500;

export function addRecover(program: Command, context: Context): void {
  const command = withConfigFlags(withCluster(program.command('recover')))
    .summary('give an empty machine the place of a lost one')
    .option('--old-machine-is-gone', 'you vouch that the machine and its disk never come back under this identity')
    .description(
      'For a node whose data directory is lost for good. The other nodes, a majority of which must be up, agree that\n' +
        'nothing the lost machine said counts any more; then the empty directory is prepared, and `kimberlite start`\n' +
        'fetches the state from them. Until it has, the node acknowledges nothing.\n\n' +
        'A directory that is only damaged needs no recover: start the node, and it repairs itself from the others.',
    )
    .action(async (flags: Flags) => {
      const { endpoints: _endpoints, oldMachineIsGone, ...keys } = flags;
      const { config } = configFrom(context, keys);
      if (oldMachineIsGone !== true) throw new UsageFailure(vouch(config));
      await recover(context, config, endpointsOf(context, flags), flags.json === true);
    });
  examples(command, [
    [
      'on the new machine, with the configuration of the lost one',
      'kimberlite recover --config node-2.yaml --old-machine-is-gone --endpoints ws://10.0.0.1:7001,ws://10.0.0.2:7001',
    ],
    ['then', 'kimberlite start --config node-2.yaml'],
  ]);
}

const vouch = ({ replica }: NodeConfig): string =>
  `If the old machine of replica ${replica} ever ran again beside the new one, the cluster could lose what it acknowledged.\n` +
  'Make sure that it never does (switched off, disk wiped), and add --old-machine-is-gone.';

export function expectEmpty({ dataDir }: NodeConfig): void {
  if (!existsSync(dataDir) || readdirSync(dataDir).length === 0) return;
  throw fail(
    'DirectoryNotEmpty',
    `${dataDir} is not empty.`,
    'If only some of its files are damaged, `kimberlite start` repairs them. To start over, move it away first.',
  );
}

async function recover(context: Context, config: NodeConfig, endpoints: Endpoints, json: boolean): Promise<void> {
  const { replica, replicas, dataDir, clusterId } = config;
  if (replicas.length < 3) {
    const fix =
      replicas.length === 1 ? 'Restore a backup.' : 'Start the node with its old directory, or restore a backup.';
    throw fail('NoQuorum', `Of ${replicas.length} node(s) none can be lost: the others are no majority.`, fix);
  }
  expectEmpty(config);
  const { cluster, replicas: rows } = await statusOf(endpoints);
  if (cluster !== clusterId) {
    throw fail('WrongCluster', `The nodes at ${endpoints.join(', ')} are of cluster ${cluster}, not ${clusterId}.`);
  }
  const running = rows.find((row) => row.replica === replica);
  if (running?.reachable === true) {
    const fix = 'If it is the machine you mean, stop it for good first; otherwise check `replica`.';
    throw fail('NotLost', `Replica ${replica} runs, and answers at ${running.endpoint}.`, fix);
  }
  const fenced = await fence(context, endpoints, replica);
  await formatReplacement(config, fenced);
  if (json) return printJson(context, { ok: true, dataDir, replica, ...fenced });
  line(context.terminal.out, `${dataDir} is ready: replica ${replica}, machine number ${fenced.incarnation + 1}.`);
  line(context.terminal.out, 'Start it with `kimberlite start`; `kimberlite status` shows how it catches up.');
}

async function fence(context: Context, endpoints: Endpoints, replica: number): Promise<Fenced> {
  let reason = '';
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    if (attempt > 0) await pause(attemptPauseMs);
    const answer = await askPrimary(endpoints, `/members/${replica}/replace`);
    const { view, incarnation, checkpointInterval } = answer;
    const membership = typeof answer['membership'] === 'string' ? answer['membership'] : null;
    if (typeof view === 'number' && typeof incarnation === 'number' && typeof checkpointInterval === 'number') {
      return { view, incarnation, checkpointInterval, membership };
    }
    reason = String(answer['reason']);
    if (attempt === 0) line(context.terminal.err, `not yet: ${reason}; trying again …`);
  }
  throw fail(
    'NotFenced',
    `The others have not agreed to replace replica ${replica}: ${reason}.`,
    'A majority of the nodes must be up and in touch. Nothing was changed here; run it again.',
  );
}
