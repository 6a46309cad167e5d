import { resolve } from 'node:path';
import { type ClusterId, err, ok, type ReplicaId, type Result } from '@kimberlite/base';
import { scrubSecondsDefault } from '@kimberlite/host';
import type { Address } from './address.ts';
import { configKeys, type ConfigKeyName, flagOf, nearestName, variableOf } from './config-keys.ts';
import type { ConfigProblem } from './config-problem.ts';
import { checkRelations } from './config-relations.ts';
import { configSchema, type ConfigValues, fixOf } from './config-schema.ts';
import { type RawValues, readConfigFile, readEnvironment, readFlags, strangeVariables } from './config-sources.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One node's configuration, complete and checked. Nothing in it can change the outcome of a command. */
export interface NodeConfig {
  readonly clusterId: ClusterId;
  readonly replica: ReplicaId;
  /** Absolute. */
  readonly dataDir: string;
  /** Peer addresses by replica. */
  readonly replicas: readonly Address[];
  readonly client: Address;
  readonly peer: Address;
  readonly admin: Address;
  /** Null: derived from where the port listens. */
  readonly advertisedClient: string | null;
  readonly advertisedAdmin: string | null;
  /** Origins as browsers send them. Null: the cluster's own dashboards. */
  readonly allowedOrigins: readonly string[] | null;
  readonly allowedHosts: readonly string[];
  /** Null: peers are believed. */
  readonly peerSecret: string | null;
  readonly logLevel: LogLevel;
  readonly peerQueueBytes: number;
  readonly clientQueueBytes: number;
  readonly clientQueueBytesTotal: number;
  readonly clientsMax: number;
  /** Ops between two checkpoints: fixed by `format`, and the same on all nodes. Null: the default, or as it was formatted. */
  readonly checkpointInterval: number | null;
  /** Seconds in which the whole disk is read once. */
  readonly scrubSeconds: number;
  readonly stopGraceMs: number;
}

export interface LoadedConfig {
  readonly config: NodeConfig;
  readonly warnings: readonly ConfigProblem[];
}

export interface ConfigSources {
  /** Path of a YAML or JSON file. */
  readonly file?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** By key, as the command line parser names them: `{ dataDir: 'd', replica: '1' }`. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
}

/** Flag before variable before file before default. All problems at once, not the first one only. */
export function loadConfig(sources: ConfigSources): Result<LoadedConfig, readonly ConfigProblem[]> {
  const env = sources.env ?? {};
  let fromFile: RawValues = {};
  if (sources.file !== undefined) {
    const read = readConfigFile(sources.file);
    if (!read.ok) return read;
    fromFile = read.value;
  }
  const merged: RawValues = { ...fromFile, ...readEnvironment(env), ...readFlags(sources.flags ?? {}) };
  const checked = checkConfig(merged);
  const strange = strangeVariables(env);
  if (!checked.ok) return err([...checked.error, ...strange]);
  return ok({ config: checked.value.config, warnings: [...checked.value.warnings, ...strange] });
}

/** Checks values from any source; exported for `config check` and for those who start a node from a program. */
export function checkConfig(values: RawValues): Result<LoadedConfig, readonly ConfigProblem[]> {
  const parsed = configSchema.safeParse(values);
  const problems: ConfigProblem[] = [];
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      if (issue.code === 'unrecognized_keys') problems.push(...issue.keys.map(unknownKey));
      else problems.push(fromIssue(issue.path, issue.message, fixOf(issue)));
    }
    return err(problems);
  }
  const config = withDefaults(parsed.data);
  problems.push(...checkRelations(config));
  if (problems.some((problem) => problem.severity === 'error')) return err(problems);
  return ok({ config, warnings: problems });
}

function unknownKey(key: string): ConfigProblem {
  const near = nearestName(
    key,
    configKeys.map((entry) => entry.key),
  );
  const known = configKeys.map((entry) => entry.key).join(', ');
  const fix = near === undefined ? `Remove it. Known keys: ${known}.` : `Did you mean "${near}"?`;
  return { severity: 'error', key, message: 'is not a key of the configuration', fix };
}

function fromIssue(path: readonly PropertyKey[], message: string, fix: string | undefined): ConfigProblem {
  const [name, index] = path;
  const key = typeof index === 'number' ? `${String(name)}[${index}]` : String(name ?? 'configuration');
  const entry = configKeys.find((known) => known.key === name);
  const where =
    entry === undefined
      ? ''
      : `Set it in the file, with ${flagOf(entry.key)} or ${variableOf(entry.key)}: ${entry.about}.`;
  return { severity: 'error', key, message, fix: fix ?? where };
}

const loopback = '127.0.0.1';
const mebibyte = 1_048_576;

function withDefaults(values: ConfigValues): NodeConfig {
  const own = values.replicas[values.replica];
  return {
    clusterId: values.clusterId,
    replica: values.replica,
    dataDir: resolve(values.dataDir),
    replicas: values.replicas,
    client: values.client ?? { host: loopback, port: 7001 + values.replica },
    // Without an own entry the relations report the replica as out of range.
    peer: values.peer ?? own ?? { host: loopback, port: 7011 + values.replica },
    admin: values.admin ?? { host: loopback, port: 7021 + values.replica },
    advertisedClient: values.advertisedClient ?? null,
    advertisedAdmin: values.advertisedAdmin ?? null,
    allowedOrigins: values.allowedOrigins ?? null,
    allowedHosts: values.allowedHosts ?? [],
    peerSecret: values.peerSecret ?? null,
    logLevel: values.logLevel ?? 'info',
    // Two full pipelines of the largest prepares.
    peerQueueBytes: values.peerQueueBytes ?? 24 * mebibyte,
    // What the answers to one burst of questions may take up before a client that reads has had a turn to read them.
    clientQueueBytes: values.clientQueueBytes ?? 64 * mebibyte,
    clientQueueBytesTotal: values.clientQueueBytesTotal ?? 256 * mebibyte,
    clientsMax: values.clientsMax ?? 2048,
    checkpointInterval: values.checkpointInterval ?? null,
    scrubSeconds: values.scrubSeconds ?? scrubSecondsDefault,
    stopGraceMs: values.stopGraceMs ?? 5000,
  };
}

export type { ConfigKeyName };
