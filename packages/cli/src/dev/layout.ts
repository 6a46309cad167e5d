import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isHex128 } from '@kimberlite/base';
import { fail } from '../failure.ts';

// What lies in the directory of a dev cluster:
//   cluster.json        the cluster's id, how many nodes, the base port of the last start
//   node-i.json         configuration of node i, written anew at each start
//   node-i/             data of node i
//   dev.lock            who runs it now

/** `cluster.json`. */
export interface DevCluster {
  readonly clusterId: string;
  readonly nodes: number;
  /** Port of the last start; `kimberlite status` and its like look here for their default endpoints. */
  readonly basePort: number;
  /** False until every node's directory has been formatted: then nothing ever ran, and formatting may begin again. */
  readonly formatted: boolean;
}

export interface DevNode {
  readonly replica: number;
  readonly dataDir: string;
  readonly configFile: string;
  readonly client: number;
  readonly peer: number;
  readonly admin: number;
}

export const nodesOf = (directory: string, basePort: number, nodes: number): readonly DevNode[] =>
  Array.from({ length: nodes }, (_, replica) => ({
    replica,
    dataDir: join(directory, `node-${replica}`),
    configFile: join(directory, `node-${replica}.json`),
    client: basePort + replica,
    peer: basePort + 10 + replica,
    admin: basePort + 20 + replica,
  }));

const clusterFile = (directory: string): string => join(directory, 'cluster.json');

export function readCluster(directory: string): DevCluster | null {
  let text: string;
  try {
    text = readFileSync(clusterFile(directory), 'utf8');
  } catch {
    return null;
  }
  const cluster = parseCluster(text);
  if (cluster === null) {
    throw fail(
      'DataDirectoryDamaged',
      `${clusterFile(directory)} cannot be read as the description of a dev cluster.`,
      'Restore it from a copy, or start over with --fresh, which deletes all data of this cluster.',
    );
  }
  return cluster;
}

function parseCluster(text: string): DevCluster | null {
  try {
    const value = JSON.parse(text) as Partial<Record<keyof DevCluster, unknown>>;
    const { clusterId, nodes, basePort, formatted } = value;
    if (!isHex128(clusterId) || (nodes !== 3 && nodes !== 5) || typeof basePort !== 'number') return null;
    return { clusterId, nodes, basePort, formatted: formatted === true };
  } catch {
    return null;
  }
}

/** Whole or not at all: written beside and renamed. */
export function writeCluster(directory: string, cluster: DevCluster): void {
  mkdirSync(directory, { recursive: true });
  const file = clusterFile(directory);
  writeFileSync(`${file}.new`, `${JSON.stringify(cluster, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** Everything a dev cluster may have put there; anything else makes the directory somebody else's. */
const ours = /^(cluster\.json(\.new)?|dev\.lock|node-\d+|node-\d+\.json)$/;

export function foreignEntries(directory: string): readonly string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => !ours.test(name));
}

/** `--fresh`: deletes what a dev cluster put there, and nothing where anything else lies too. */
export function wipe(directory: string): void {
  const foreign = foreignEntries(directory);
  if (foreign.length > 0) {
    throw fail(
      'DataDirectoryForeign',
      `${directory} holds more than a dev cluster: ${foreign.slice(0, 5).join(', ')}. --fresh deletes nothing there.`,
      'Name another --data-dir, or clear that one by hand.',
    );
  }
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory)) {
    if (name !== 'dev.lock') rmSync(join(directory, name), { recursive: true, force: true });
  }
}

/** What a start finds, decided before anything is written. */
export type Plan = { readonly type: 'format' } | { readonly type: 'start'; readonly cluster: DevCluster };

export function planStart(directory: string, wantedNodes: number | undefined): Plan {
  const cluster = readCluster(directory);
  const present = existsSync(directory) ? readdirSync(directory).filter((name) => /^node-\d+$/.test(name)) : [];
  if (cluster === null) {
    if (present.length > 0) {
      throw fail(
        'DataDirectoryDamaged',
        `${directory} holds data of nodes (${present.join(', ')}) but no cluster.json that says which cluster they are.`,
        'Only a wholly new directory is formatted. Name another --data-dir, or start over with --fresh.',
      );
    }
    const foreign = foreignEntries(directory);
    if (foreign.length === 0) return { type: 'format' };
    throw fail(
      'DataDirectoryForeign',
      `${directory} is not empty and is no dev cluster's: ${foreign.slice(0, 5).join(', ')}.`,
      'Name another --data-dir.',
    );
  }
  if (!cluster.formatted) return { type: 'format' };
  if (wantedNodes !== undefined && wantedNodes !== cluster.nodes) {
    throw fail(
      'WrongNodeCount',
      `The cluster in ${directory} has ${cluster.nodes} nodes, not ${wantedNodes}.`,
      `Start it without --nodes, or name another --data-dir for one of ${wantedNodes}.`,
    );
  }
  requireEveryNode(directory, cluster, present);
  return { type: 'start', cluster };
}

/** A node that lost its disk must not come back empty and vote as if it remembered (pitfall 25). */
function requireEveryNode(directory: string, cluster: DevCluster, present: readonly string[]): void {
  for (let replica = 0; replica < cluster.nodes; replica++) {
    if (present.includes(`node-${replica}`)) continue;
    throw fail(
      'NodeDirectoryMissing',
      `The data of node ${replica} is missing: there is no ${join(directory, `node-${replica}`)}.`,
      'It is not formatted anew: a node without its memory could undo what it once acknowledged. Put the directory\n' +
        'back; a node whose disk is lost for good comes back through `kimberlite recover`, which this version does\n' +
        'not have yet. To start over without any of the data: kimberlite dev --fresh.',
    );
  }
}

/** The same keys an operator would write. */
export function nodeConfig(
  cluster: DevCluster,
  node: DevNode,
  all: readonly DevNode[],
): Readonly<Record<string, unknown>> {
  return {
    clusterId: cluster.clusterId,
    replica: node.replica,
    dataDir: node.dataDir,
    client: `127.0.0.1:${node.client}`,
    peer: `127.0.0.1:${node.peer}`,
    admin: `127.0.0.1:${node.admin}`,
    replicas: all.map(({ peer }) => `127.0.0.1:${peer}`),
  };
}

export function writeConfigs(cluster: DevCluster, nodes: readonly DevNode[]): void {
  for (const node of nodes) {
    writeFileSync(node.configFile, `${JSON.stringify(nodeConfig(cluster, node, nodes), null, 2)}\n`);
  }
}
