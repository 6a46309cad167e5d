import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageFailure } from './failure.ts';

/** Where clients find a cluster: `ws://host:port` each. */
export type Endpoints = readonly string[];

export const endpointsHelp =
  'ws://host:port of one or more nodes, separated by commas (default: KIMBERLITE_ENDPOINTS, else the local dev cluster)';
const devDirectory = '.kimberlite';
const devBasePort = 7001;
const devNodes = 3;

/** Client endpoints of a dev cluster: node i listens at base port + i. */
export const devEndpoints = (basePort: number, nodes: number): Endpoints =>
  Array.from({ length: nodes }, (_, i) => `ws://127.0.0.1:${basePort + i}`);

export function parseEndpoints(text: string, where: string): Endpoints {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0) throw new UsageFailure(`${where} names no endpoint. Example: ws://127.0.0.1:7001`);
  return parts.map((part) => checkEndpoint(part, where));
}

function checkEndpoint(text: string, where: string): string {
  const wanted = 'Example: ws://127.0.0.1:7001';
  if (!/^wss?:\/\//i.test(text)) {
    throw new UsageFailure(`${where}: "${text}" is no ws:// or wss:// URL. ${wanted}`);
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageFailure(`${where}: "${text}" cannot be read as a URL. ${wanted}`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UsageFailure(`${where}: "${text}" has parts that an endpoint does not have. ${wanted}`);
  }
  return url.href.replace(/\/$/, '');
}

/** The dev cluster below `directory` may have been started with a port of its own: it says so there. */
function localDevCluster(directory: string): Endpoints {
  const file = join(directory, devDirectory, 'cluster.json');
  if (existsSync(file)) {
    try {
      const { basePort, nodes } = JSON.parse(readFileSync(file, 'utf8')) as { basePort?: unknown; nodes?: unknown };
      if (Number.isInteger(basePort) && Number.isInteger(nodes)) return devEndpoints(Number(basePort), Number(nodes));
    } catch {
      // Unreadable: the default ports are the better guess.
    }
  }
  return devEndpoints(devBasePort, devNodes);
}

/** The flag, else the variable, else the local dev cluster. */
export function chooseEndpoints(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  directory: string,
): Endpoints {
  if (flag !== undefined) return parseEndpoints(flag, '--endpoints');
  const variable = env['KIMBERLITE_ENDPOINTS'];
  if (variable !== undefined && variable.trim() !== '') return parseEndpoints(variable, 'KIMBERLITE_ENDPOINTS');
  return localDevCluster(directory);
}
