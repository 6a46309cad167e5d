// Every key a node can be given, once: the schema, the flags of the command line, the environment's names and the
// reference in the documentation all come from this list.

export type ConfigKeyKind = 'text' | 'number' | 'list';

export interface ConfigKey {
  readonly key: string;
  readonly kind: ConfigKeyKind;
  /** One line, for `--help` and the reference. */
  readonly about: string;
}

export const configKeys = [
  { key: 'clusterId', kind: 'text', about: 'the same 32 hex digits on every node of the cluster' },
  { key: 'replica', kind: 'number', about: 'which entry of `replicas` this node is, from 0' },
  { key: 'dataDir', kind: 'text', about: 'directory of this node alone, prepared once by `kimberlite format`' },
  { key: 'replicas', kind: 'list', about: 'peer addresses "host:port" of all replicas, in the same order everywhere' },
  { key: 'client', kind: 'text', about: 'where clients connect, "host:port" (default 127.0.0.1:7001 + replica)' },
  { key: 'peer', kind: 'text', about: 'where other replicas connect (default: its own entry of `replicas`)' },
  {
    key: 'admin',
    kind: 'text',
    about: 'health, metrics and dashboard, "host:port" (default 127.0.0.1:7021 + replica)',
  },
  { key: 'advertisedClient', kind: 'text', about: 'ws:// or wss:// URL under which clients reach this node' },
  { key: 'advertisedAdmin', kind: 'text', about: 'http:// or https:// URL under which browsers reach the admin port' },
  {
    key: 'allowedOrigins',
    kind: 'list',
    about: "origins of web pages that may connect (default: the cluster's dashboards)",
  },
  { key: 'allowedHosts', kind: 'list', about: 'further host names under which this node may be addressed' },
  { key: 'peerSecret', kind: 'text', about: 'shared secret by which replicas prove themselves to each other' },
  { key: 'logLevel', kind: 'text', about: 'debug, info, warn or error (default info)' },
  { key: 'peerQueueBytes', kind: 'number', about: 'bytes waiting for one peer before messages to it are dropped' },
  {
    key: 'clientQueueBytes',
    kind: 'number',
    about: 'bytes waiting for one client before it is closed as a slow reader',
  },
  { key: 'clientQueueBytesTotal', kind: 'number', about: 'the same over all clients; the slowest one is closed' },
  { key: 'clientsMax', kind: 'number', about: 'client connections at a time' },
  {
    key: 'checkpointInterval',
    kind: 'number',
    about: 'ops between two checkpoints, the same on all nodes; read by `format` alone (default 16384)',
  },
  {
    key: 'scrubSeconds',
    kind: 'number',
    about: 'time in which the whole disk is read once to find damage; small ones sooner (default 86400, a day)',
  },
  { key: 'stopGraceMs', kind: 'number', about: 'time a primary has to hand over before the node leaves' },
] as const satisfies readonly ConfigKey[];

export type ConfigKeyName = (typeof configKeys)[number]['key'];

const isUpper = /[A-Z]/g;

/** `dataDir` → `--data-dir`. */
export const flagOf = (key: string): string => `--${key.replace(isUpper, (c) => `-${c.toLowerCase()}`)}`;

/** `dataDir` → `KIMBERLITE_DATA_DIR`. */
export const variableOf = (key: string): string => `KIMBERLITE_${key.replace(isUpper, (c) => `_${c}`).toUpperCase()}`;

const byName: ReadonlyMap<string, ConfigKey> = new Map(configKeys.map((entry) => [entry.key, entry]));
export const kindOf = (key: string): ConfigKeyKind | undefined => byName.get(key)?.kind;

/** The known name nearest to a mistyped one, or undefined when none is near. */
export function nearestName(wrong: string, names: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of names) {
    const distance = editDistance(plain(wrong), plain(name));
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  return best !== undefined && best.distance <= Math.max(2, Math.floor(wrong.length / 3)) ? best.name : undefined;
}

/** Levenshtein's distance; names are short, so the plain table will do. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
