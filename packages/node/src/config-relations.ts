import { replicasMax } from '@kimberlite/base';
import { type Address, formatAddress, isLoopback, isWildcard } from './address.ts';
import type { NodeConfig } from './config.ts';
import type { ConfigProblem } from './config-problem.ts';

// What must hold between keys, each of which is fine by itself.

const error = (key: string, message: string, fix: string): ConfigProblem => ({ severity: 'error', key, message, fix });
const warning = (key: string, message: string, fix: string): ConfigProblem => ({
  severity: 'warning',
  key,
  message,
  fix,
});

export function checkRelations(config: NodeConfig): readonly ConfigProblem[] {
  return [
    ...checkReplicas(config),
    ...checkOwnAddress(config),
    ...checkPorts(config),
    ...checkExposure(config),
    ...checkQueues(config),
  ];
}

function checkReplicas({ replica, replicas }: NodeConfig): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const count = replicas.length;
  if (count === 0) {
    return [error('replicas', 'is empty', "List the peer addresses of all replicas, this node's own among them.")];
  }
  if (count > replicasMax)
    problems.push(
      error('replicas', `has ${count} entries; a cluster has at most ${replicasMax}`, 'Use three or five.'),
    );
  if (replica >= count) {
    const fix = `Use a number from 0 to ${count - 1}, or list this node's peer address in \`replicas\`.`;
    problems.push(error('replica', `is ${replica}, but \`replicas\` has ${count} entries, counted from 0`, fix));
  }
  const seen = new Map<string, number>();
  replicas.forEach((address, index) => {
    const name = formatAddress(address);
    const first = seen.get(name);
    if (first !== undefined) {
      const fix = 'Give every replica a peer address of its own; the order is the same on all nodes.';
      problems.push(error(`replicas[${index}]`, `is ${name}, which replica ${first} has already`, fix));
    } else seen.set(name, index);
    if (isWildcard(address.host))
      problems.push(
        error(
          `replicas[${index}]`,
          `is ${name}, which nobody can connect to`,
          'Write the name or address the other nodes reach it by.',
        ),
      );
    if (address.port === 0)
      problems.push(
        error(`replicas[${index}]`, 'has port 0, which nobody can connect to', 'Write the port it listens on.'),
      );
  });
  if (count > 1 && count % 2 === 0 && count <= replicasMax) {
    const message = `has ${count} entries: an even number survives no more losses than ${count - 1} and costs more`;
    problems.push(warning('replicas', message, 'Use three or five replicas.'));
  }
  if (count === 1) problems.push(warning('replicas', 'has one entry: losing this node loses service', 'Use three.'));
  return problems;
}

function checkOwnAddress({ replica, replicas, peer }: NodeConfig): readonly ConfigProblem[] {
  const own = replicas[replica];
  if (own === undefined) return [];
  const sameHost = own.host === peer.host || isWildcard(peer.host);
  if (sameHost && own.port === peer.port) return [];
  const message = `is ${formatAddress(peer)}, but the others look for replica ${replica} at ${formatAddress(own)}`;
  const fix = `Make both the same (or listen on 0.0.0.0:${own.port}), or correct \`replica\`: is this really node ${replica}?`;
  return [error('peer', message, fix)];
}

const collides = (a: Address, b: Address): boolean =>
  a.port !== 0 && a.port === b.port && (a.host === b.host || isWildcard(a.host) || isWildcard(b.host));

function checkPorts({ client, peer, admin, replicas, replica }: NodeConfig): readonly ConfigProblem[] {
  const own: readonly (readonly [string, Address])[] = [
    ['client', client],
    ['peer', peer],
    ['admin', admin],
  ];
  const problems: ConfigProblem[] = [];
  own.forEach(([key, address], index) => {
    for (const [other, taken] of own.slice(0, index)) {
      if (!collides(address, taken)) continue;
      const message = `is ${formatAddress(address)}, which \`${other}\` uses already`;
      problems.push(error(key, message, 'Give client, peer and admin three different ports.'));
    }
    if (key !== 'peer' && replicas.some((address_, i) => i !== replica && collides(address, address_))) {
      const message = `is ${formatAddress(address)}, which is another replica's peer address`;
      problems.push(error(key, message, 'Choose a port that is in no entry of `replicas`.'));
    }
    if (address.port > 0 && address.port < 1024) {
      const message = `uses port ${address.port}, which only a privileged user may listen on`;
      problems.push(warning(key, message, 'Use a port from 1024, such as the default.'));
    }
  });
  return problems;
}

function checkExposure(config: NodeConfig): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const { peer, peerSecret, client, admin, advertisedClient, advertisedAdmin, replicas } = config;
  if (!isLoopback(peer.host) && peerSecret === null && replicas.length > 1) {
    const fix = 'Set the same `peerSecret` on all nodes, or keep that port inside a private network.';
    problems.push(warning('peerSecret', 'is not set although the peer port is open to the network', fix));
  }
  for (const [key, address, advertised] of [
    ['advertisedClient', client, advertisedClient],
    ['advertisedAdmin', admin, advertisedAdmin],
  ] as const) {
    if (!isWildcard(address.host) || advertised !== null) continue;
    const message = `is not set although the port listens on ${address.host}, which cannot be told to others`;
    problems.push(warning(key, message, 'Set the URL under which this node is reached from outside.'));
  }
  return problems;
}

function checkQueues({ clientQueueBytes, clientQueueBytesTotal }: NodeConfig): readonly ConfigProblem[] {
  if (clientQueueBytesTotal >= clientQueueBytes) return [];
  const message = `is ${clientQueueBytesTotal}, less than one client's ${clientQueueBytes}`;
  return [error('clientQueueBytesTotal', message, 'Make it at least `clientQueueBytes`.')];
}
