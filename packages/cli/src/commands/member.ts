import { replicasMax } from '@kimberlite/base';
import { formatAddress, formatJoining, type NodeConfig } from '@kimberlite/node';
import type { Command } from 'commander';
import {
  type ClusterOptions,
  type Context,
  endpointsOf,
  examples,
  printJson,
  wholeNumber,
  withCluster,
} from '../context.ts';
import type { Endpoints } from '../endpoints.ts';
import { fail, UsageFailure } from '../failure.ts';
import { configFrom, type NodeFlags } from '../node-process.ts';
import { askPrimary, pause, statusOf } from '../operate.ts';
import { table } from '../rows-table.ts';
import { line } from '../terminal.ts';
import { expectEmpty } from './recover.ts';
import { withConfigFlags } from './start.ts';

interface ChangeOptions extends ClusterOptions {
  readonly dryRun?: boolean;
  readonly wait: number;
}

/** The group after a change, as the primary answers it. */
interface Changed {
  readonly epoch: number;
  readonly voters: readonly number[];
  readonly standbys: readonly number[];
  readonly canLose: number;
  readonly checkpointInterval: number;
  readonly membership: string;
}

const attemptPauseMs = 500;
const waitDefaultSeconds = 60;
const waitMaxSeconds = 3600;

const replicaNumber = wholeNumber('the replica', 0, replicasMax - 1);
const dryRunHelp = 'only say what the cluster would be, and whether it may be done now';
const waitHelp = 'how long to try again while it cannot be done yet';

const withChange = (command: Command): Command =>
  withCluster(command)
    .option('--dry-run', dryRunHelp)
    .option('--wait <seconds>', waitHelp, wholeNumber('--wait', 0, waitMaxSeconds), waitDefaultSeconds);

export function addMember(program: Command, context: Context): void {
  const command = program
    .command('member')
    .summary('who belongs to the cluster: list, add, promote, replace, remove')
    .description(
      'A cluster grows and shrinks one step at a time, while clients write. A new node first joins as a standby: it\n' +
        'receives everything and has no vote. Once it has caught up it is promoted, or takes the place of another in a\n' +
        'single step. What would cost the cluster its quorum is refused, with the reason and what to do first.',
    );
  addList(command, context);
  addAdd(command, context);
  addPromote(command, context);
  addReplace(command, context);
  addRemove(command, context);
  examples(command, [
    ['from three nodes to five: on each new machine', 'kimberlite member add --config node-3.yaml'],
    ['start it; then, from anywhere', 'kimberlite member promote 3'],
    ['move a node to another machine in one step', 'kimberlite member replace 1 --by 3'],
    ['back to three', 'kimberlite member remove 4'],
  ]);
}

function addList(member: Command, context: Context): void {
  const command = withCluster(member.command('list'))
    .summary('the members, and how far each is')
    .action(async (options: ClusterOptions) => list(context, endpointsOf(context, options), options.json === true));
  examples(command, [['the local dev cluster', 'kimberlite member list']]);
}

async function list(context: Context, endpoints: Endpoints, json: boolean): Promise<void> {
  const { replicas, primary } = await statusOf(endpoints);
  const answering = replicas.flatMap((row) => (row.reachable ? [row] : []));
  const newest = answering.reduce((best, row) => (row.epoch > best.epoch ? row : best));
  const { epoch, voters } = newest;
  const members = replicas.map((row) => ({
    replica: row.replica,
    votes: voters.includes(row.replica),
    role: row.replica === primary ? 'primary' : voters.includes(row.replica) ? 'backup' : 'standby',
    status: row.reachable ? row.status : 'unreachable',
    lag: row.lag,
    endpoint: row.endpoint,
  }));
  if (json) return printJson(context, { epoch, members });
  line(context.terminal.out, `epoch ${epoch}: ${voters.length} of ${members.length} members vote`);
  const rows = members.map(({ replica, role, status, lag, endpoint }) => [
    String(replica),
    role,
    status,
    lag === null ? '' : String(lag),
    endpoint ?? '?',
  ]);
  line(context.terminal.out, table(context.terminal, ['#', 'role', 'status', 'lag', 'endpoint'], rows));
}

function addAdd(member: Command, context: Context): void {
  const command = withConfigFlags(withChange(member.command('add')))
    .summary('on a new machine: join as a standby')
    .description(
      'For a new node, on its own machine. Its configuration is that of the others with its own peer address at the end\n' +
        'of `replicas` (or in the place of a replica that was removed) and `replica` the index of that. The cluster is\n' +
        'told, and the empty directory is prepared; `kimberlite start` fetches the state, and `member promote` gives it\n' +
        'a vote.',
    )
    .action(async (flags: NodeFlags & ChangeOptions) => {
      const { endpoints: _endpoints, dryRun, wait, ...keys } = flags;
      const { config } = configFrom(context, keys);
      await add(context, config, endpointsOf(context, flags), flags);
    });
  examples(command, [
    [
      'on the new machine',
      'kimberlite member add --config node-3.yaml --endpoints ws://10.0.0.1:7001,ws://10.0.0.2:7001',
    ],
    ['then', 'kimberlite start --config node-3.yaml'],
    ['and, from anywhere', 'kimberlite member promote 3'],
  ]);
}

async function add(context: Context, config: NodeConfig, endpoints: Endpoints, options: ChangeOptions): Promise<void> {
  const { replica, replicas, dataDir, clusterId } = config;
  expectEmpty(config);
  const { cluster } = await statusOf(endpoints);
  if (cluster !== clusterId) {
    throw fail('WrongCluster', `The nodes at ${endpoints.join(', ')} are of cluster ${cluster}, not ${clusterId}.`);
  }
  const address = replicas[replica];
  if (address === undefined) throw new UsageFailure('The peer address of this node is missing in `replicas`.');
  const query = `address=${encodeURIComponent(formatAddress(address))}`;
  const changed = await change(context, endpoints, `/members/${replica}/add`, query, options);
  if (options.dryRun !== true) await formatJoining(config, changed);
  if (options.json === true) return print(context, changed, options);
  print(context, changed, options);
  if (options.dryRun === true) return;
  line(context.terminal.out, `${dataDir} is ready. Start the node with \`kimberlite start\`; when it has caught up,`);
  line(context.terminal.out, `\`kimberlite member promote ${replica}\` gives it a vote.`);
}

function addPromote(member: Command, context: Context): void {
  const command = withChange(member.command('promote'))
    .argument('<replica>', 'a standby', replicaNumber)
    .summary('give a standby a vote')
    .description(
      'Waits until the standby has caught up. An even number of voters survives no more losses than one less.',
    )
    .action(async (replica: number, options: ChangeOptions) => {
      print(context, await changeBy(context, options, `/members/${replica}/promote`), options);
    });
  examples(command, [['when it has caught up', 'kimberlite member promote 3']]);
}

function addReplace(member: Command, context: Context): void {
  const command = withChange(member.command('replace'))
    .argument('<replica>', 'a replica with a vote, up or down', replicaNumber)
    .requiredOption('--by <standby>', 'a standby that has caught up', replicaNumber)
    .summary('let a standby vote instead of another replica, which leaves')
    .description('In one step, so that the cluster is at no time smaller. The node that left stops by itself.')
    .action(async (replica: number, options: ChangeOptions & { readonly by: number }) => {
      print(context, await changeBy(context, options, `/members/${replica}/hand-over`, `to=${options.by}`), options);
    });
  examples(command, [['replica 3 instead of replica 1', 'kimberlite member replace 1 --by 3']]);
}

function addRemove(member: Command, context: Context): void {
  const command = withChange(member.command('remove'))
    .argument('<replica>', 'any but the primary', replicaNumber)
    .summary('a replica leaves')
    .description('Its node serves the others until they have all it has, and then stops by itself.')
    .action(async (replica: number, options: ChangeOptions) => {
      print(context, await changeBy(context, options, `/members/${replica}/remove`), options);
    });
  examples(command, [
    ['what would be left', 'kimberlite member remove 4 --dry-run'],
    ['do it', 'kimberlite member remove 4'],
  ]);
}

const changeBy = (context: Context, options: ChangeOptions, path: string, query = ''): Promise<Changed> =>
  change(context, endpointsOf(context, options), path, query, options);

/** Asks the primary, and again for a while where it says that it cannot be done yet. */
async function change(
  context: Context,
  endpoints: Endpoints,
  path: string,
  query: string,
  { dryRun, wait }: ChangeOptions,
): Promise<Changed> {
  const parameters = [query, dryRun === true ? 'dryRun=1' : ''].filter((text) => text !== '').join('&');
  const until = Date.now() + wait * 1000;
  let said = '';
  for (;;) {
    const answer = await askPrimary(endpoints, parameters === '' ? path : `${path}?${parameters}`);
    const changed = readChanged(answer);
    if (changed !== null) return changed;
    const reason = String(answer['reason']);
    if (answer['again'] === undefined) throw unknown(reason);
    if (answer['again'] !== true || dryRun === true || Date.now() >= until) throw refused(reason);
    if (reason !== said) line(context.terminal.err, `not yet: ${reason}; trying again …`);
    said = reason;
    await pause(attemptPauseMs);
  }
}

const isNumbers = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'number');

/** Null: it is none of a change that was made. */
function readChanged(answer: Readonly<Record<string, unknown>>): Changed | null {
  const { ok, epoch, voters, standbys, canLose, checkpointInterval, membership } = answer;
  if (ok !== true || typeof epoch !== 'number' || typeof canLose !== 'number') return null;
  if (!isNumbers(voters) || !isNumbers(standbys)) return null;
  if (typeof checkpointInterval !== 'number' || typeof membership !== 'string') return null;
  return { epoch, voters, standbys, canLose, checkpointInterval, membership };
}

/** Only a primary's word says that nothing was done. */
const unknown = (reason: string): Error =>
  fail('NotKnown', `It is not known whether the members have changed: ${reason}.`, 'See `kimberlite member list`.');

const refused = (reason: string): Error =>
  fail('NotChanged', `The members stay as they are: ${reason}.`, '`kimberlite member list` shows them.');

function print(context: Context, changed: Changed, { json, dryRun }: ChangeOptions): void {
  const { epoch, voters, standbys, canLose } = changed;
  const sorted = [...voters].sort((a, b) => a - b);
  if (json === true) {
    return printJson(context, { ok: true, dryRun: dryRun === true, epoch, voters: sorted, standbys, canLose });
  }
  const { out } = context.terminal;
  const waiting = standbys.length === 0 ? '' : `; standby: ${standbys.join(', ')}`;
  const begins = dryRun === true ? 'would begin' : 'begins';
  line(out, `Epoch ${epoch} ${begins}. Voting: ${sorted.join(', ')}${waiting}. ${lossesText(canLose)}`);
}

const lossesText = (canLose: number): string =>
  canLose === 0 ? 'None of them may be lost.' : `${canLose} of the voting may be lost.`;
