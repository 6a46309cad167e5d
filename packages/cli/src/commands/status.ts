import { clusterStatus } from '@kimberlite/client';
import { describeDivergence } from '@kimberlite/wire';
import type { Command } from 'commander';
import { type ClusterOptions, type Context, endpointsOf, examples, printJson, withCluster } from '../context.ts';
import { fail } from '../failure.ts';
import { table } from '../rows-table.ts';
import { type ReplicaRow, type StatusDocument, statusDocument } from '../status-document.ts';
import { line, type Terminal } from '../terminal.ts';

const answerTimeoutMs = 2000;

export function addStatus(program: Command, context: Context): void {
  const command = withCluster(program.command('status'))
    .summary('a row a node, and how many more may be lost')
    .description('Asks every node for its own row. Works without a quorum: it needs one node that answers.')
    .action(async (options: ClusterOptions) => {
      const endpoints = endpointsOf(context, options);
      const status = await clusterStatus(endpoints, { timeoutMs: answerTimeoutMs });
      const document = statusDocument(status);
      if (document === null) {
        const tried = status.unanswered.map(({ endpoint, trouble }) => `  ${endpoint}: ${trouble}`);
        const fix = 'Is the cluster running? `npm start` starts a local one; --endpoints names another.';
        throw fail('ConnectFailed', `No node answered.\n${tried.join('\n')}`, fix);
      }
      if (options.json === true) printJson(context, document);
      else printStatus(context.terminal, document);
    });
  examples(command, [
    ['the local dev cluster', 'kimberlite status'],
    ['another one; the rest of its nodes are found from the first', 'kimberlite status --endpoints ws://10.0.0.1:7001'],
    [
      'for a script: equal hashes at equal ops',
      `kimberlite status --json | jq '.replicas[] | [.stateHashOp, .stateHash]'`,
    ],
  ]);
}

type ReachableRow = Extract<ReplicaRow, { reachable: true }>;

const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;

function diskShown({ colors }: Terminal, row: ReplicaRow & { reachable: true }): string {
  const { diskUsedBytes, diskRoom, damageFound, damageRepaired } = row;
  const used = megabytes(diskUsedBytes);
  const open = damageFound - damageRepaired;
  if (open > 0) return colors.red(`${used}, ${open} damaged`);
  if (diskRoom === 'enough') return used;
  return diskRoom === 'none' ? colors.red(`${used}, full`) : colors.yellow(`${used}, nearly full`);
}

/** Offset of a wall clock from what a majority agrees on; beyond 99 ms in milliseconds. */
function clockShown(offsetUs: number | null): string {
  if (offsetUs === null) return '–';
  const sign = offsetUs > 0 ? '+' : offsetUs < 0 ? '−' : '';
  const size = Math.abs(offsetUs);
  return size < 100_000 ? `${sign}${size} µs` : `${sign}${Math.round(size / 1000)} ms`;
}

/** The version in force, and the newest that the node's release speaks where that is another. */
function protocolShown({ versionInForce, versionNewest }: ReachableRow): string {
  return versionInForce === versionNewest ? String(versionInForce) : `${versionInForce} (speaks ${versionNewest})`;
}

function cells(terminal: Terminal, row: ReplicaRow): string[] {
  const { colors } = terminal;
  if (!row.reachable) {
    return [
      String(row.replica),
      row.endpoint ?? '?',
      '–',
      colors.red('unreachable'),
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      row.trouble,
    ];
  }
  const good = row.status === 'normal' ? colors.green : row.status === 'quarantined' ? colors.red : colors.yellow;
  return [
    String(row.replica),
    row.endpoint ?? '?',
    row.role === 'primary' ? colors.bold('primary') : (row.role ?? '–'),
    good(row.status),
    String(row.view),
    String(row.op),
    String(row.commit),
    String(row.checkpoint),
    String(row.lag ?? ''),
    clockShown(row.clockOffsetUs),
    diskShown(terminal, row),
    `${row.stateHash.slice(0, 8)}@${row.stateHashOp}`,
    row.version,
    protocolShown(row),
  ];
}

const head = [
  '#',
  'endpoint',
  'role',
  'status',
  'view',
  'op',
  'commit',
  'checkpoint',
  'lag',
  'clock',
  'disk',
  'state hash',
  'version',
  'protocol',
];

/** Null: every node that answers speaks nothing newer than what is in force. */
function upgradeShown({ replicas }: StatusDocument): string | null {
  const rows = replicas.flatMap((row) => (row.reachable ? [row] : []));
  const inForce = Math.max(0, ...rows.map((row) => row.versionInForce));
  const newest = Math.max(0, ...rows.map((row) => row.versionNewest));
  if (inForce === 0 || newest <= inForce) return null;
  const behind = replicas.filter((row) => !row.reachable || row.versionNewest < newest).map((row) => row.replica);
  const wait =
    behind.length === 0 ? 'it is about to be' : `node ${behind.join(', ')} has yet to be upgraded or started`;
  return `Protocol version ${newest} is not in force yet: ${wait}. After that no node can go back to an older release.`;
}

export function printStatus(terminal: Terminal, document: StatusDocument): void {
  const { colors } = terminal;
  line(terminal.out, `cluster ${document.cluster}, view ${document.view}`);
  line(
    terminal.out,
    table(
      terminal,
      head,
      document.replicas.map((row) => cells(terminal, row)),
    ),
  );
  for (const row of document.replicas) {
    if (!row.reachable || row.divergence === null) continue;
    line(terminal.out, colors.red(`Replica ${row.replica} is quarantined: ${describeDivergence(row.divergence)}.`));
  }
  const pending = upgradeShown(document);
  if (pending !== null) line(terminal.out, colors.yellow(pending));
  if (document.primary === null) {
    line(terminal.out, colors.red('No primary now: writes wait until a majority of the nodes has agreed on one.'));
  } else if (document.canLose === 0) {
    line(terminal.out, colors.yellow('No further node may be lost: writes would stop.'));
  } else {
    const nodes = document.canLose === 1 ? 'One more node' : `${document.canLose} more nodes`;
    line(terminal.out, colors.green(`${nodes} may be lost and writes go on.`));
  }
}
