import { mkdirSync } from 'node:fs';
import {
  acknowledgedMore,
  type FaultKind,
  type Inject,
  killAll,
  killTwo,
  pausePrimary,
  pauseThenKill,
  type Stage,
} from './faults.ts';
import { type HashesAtOp, isDiverged } from './hashes.ts';
import { Load, longestGap } from './load.ts';
import { Probe } from './probe.ts';
import { ProcessCluster } from './process-cluster.ts';
import { type FinalState, judge, type Verdict } from './verdict.ts';

export interface ScenarioOptions {
  /** The `kimberlite.js` to start nodes with. */
  readonly bin: string;
  /** Empty or new; data, configurations and logs go below it. */
  readonly directory: string;
  readonly nodes: number;
  readonly rounds: number;
  /** Acknowledged writes and reads, each, before and after every fault. */
  readonly acknowledgedMin: number;
  readonly clients?: number;
  readonly concurrency?: number;
  /** How long a stopped process stays stopped at least. */
  readonly pauseMs?: number;
  /** One line for a person. */
  readonly onProgress?: (line: string) => void;
  /** Ends the drill, with everything it started; its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface Fault {
  readonly kind: FaultKind;
  readonly replicas: readonly number[];
  /** Longest interval around the fault without any acknowledgement, over all clients. */
  readonly writeGapMs: number;
}

export interface DrillReport extends Verdict {
  readonly scenario: ScenarioName;
  readonly writeGapMs: { readonly p50: number; readonly max: number };
  readonly faults: readonly Fault[];
  /** Of all replicas, after the last round. */
  readonly stateHash: string;
  /** Answers from single nodes that were asked whatever they think of themselves. */
  readonly probeReads: number;
}

interface Scenario {
  readonly inject: Inject;
  /** Fewer cannot go on after the fault. */
  readonly nodesMin: 3 | 5;
  readonly about: string;
}

export const scenarios = {
  'kill-primary': {
    inject: pauseThenKill,
    nodesMin: 3,
    about: 'kill -9 of the primary, after it was paused and deposed',
  },
  'kill-all': { inject: killAll, nodesMin: 3, about: 'kill -9 of all nodes at once' },
  'kill-two': { inject: killTwo, nodesMin: 5, about: 'kill -9 of the primary and the node after it, of five' },
  'pause-primary': { inject: pausePrimary, nodesMin: 3, about: 'the primary stands still for ten seconds' },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof scenarios;

export const isScenario = (name: string): name is ScenarioName => Object.hasOwn(scenarios, name);

const registers = 24;

/** A cluster of its own, load, faults in rounds, and in the end what clients were told held against what is there. */
export async function runScenario(name: ScenarioName, options: ScenarioOptions): Promise<DrillReport> {
  const { signal } = options;
  const aborted = signal === undefined ? {} : { signal };
  mkdirSync(options.directory, { recursive: true });
  signal?.throwIfAborted();
  const cluster = await ProcessCluster.create(options);
  const { endpoints } = cluster;
  const { clients = 4, concurrency = 8, pauseMs } = options;
  const load = new Load({ endpoints, clients, concurrency, registers, ...aborted });
  const probes = endpoints.map((endpoint) => new Probe(endpoint, registers));
  const stage: Stage = { cluster, load, probes, registers, ...aborted, ...(pauseMs === undefined ? {} : { pauseMs }) };
  try {
    return await untilAborted(drillOn(stage, name, options), signal);
  } finally {
    for (const probe of probes) probe.close();
    // The nodes first: a client's goodbye would wait for one that stands still.
    await cluster.close();
    await load.close().catch(() => {});
  }
}

/** Rejects as soon as the signal fires. What `work` waits for then ends by itself, with everything closed under it. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

interface Rounds {
  readonly faults: Fault[];
  readonly hashes: HashesAtOp[];
}

async function drillOn(stage: Stage, name: ScenarioName, options: ScenarioOptions): Promise<DrillReport> {
  const { cluster, load, probes } = stage;
  cluster.startAll();
  await cluster.primary();
  await load.prepare();
  options.onProgress?.(`${name}: ${cluster.members.length} nodes are up`);
  for (const probe of probes) probe.start();
  const done: Rounds = { faults: [], hashes: [] };
  const troubles: string[] = [];
  let final: FinalState | null = null;
  try {
    await runRounds(stage, name, options, done);
    final = { rows: await load.readAll('rows'), registers: await load.readAll('registers') };
  } catch (error) {
    stage.signal?.throwIfAborted();
    // A cluster that does not come back, or does not answer, is a verdict too.
    troubles.push(error instanceof Error ? error.message : String(error));
    // Calls in flight may have taken effect: the history has to say so before it is judged.
    await load.close();
    await load.stop();
  }
  const probed = probes.flatMap((probe) => probe.history);
  troubles.push(...probes.flatMap((probe) => probe.problems));
  const { faults, hashes } = done;
  const gaps = faults.map((fault) => fault.writeGapMs).sort((a, b) => a - b);
  return {
    scenario: name,
    ...judge({ history: [...load.history, ...probed], final, hashes, troubles }),
    writeGapMs: { p50: gaps[Math.floor((gaps.length - 1) / 2)] ?? 0, max: gaps.at(-1) ?? 0 },
    faults,
    stateHash: hashes.at(-1)?.hashes[0] ?? '',
    probeReads: probed.length,
  };
}

/** Adds to `done` as it goes. Ends early when states differ: there is no one cluster any more to go on with. */
async function runRounds(stage: Stage, name: ScenarioName, options: ScenarioOptions, done: Rounds): Promise<void> {
  const { rounds, acknowledgedMin, onProgress } = options;
  for (let round = 1; round <= rounds; round++) {
    const say = (what: string): void => onProgress?.(`${name} ${round}/${rounds}: ${what}`);
    const fault = await runRound(stage, scenarios[name].inject, acknowledgedMin, say);
    done.faults.push(fault);
    const hashes = await stage.cluster.settled();
    done.hashes.push(hashes);
    say(`gap ${fault.writeGapMs.toFixed(0)} ms, ${stage.load.acknowledged} acknowledged`);
    if (isDiverged(hashes)) return;
  }
}

async function runRound(
  stage: Stage,
  inject: Inject,
  acknowledgedMin: number,
  say: (what: string) => void,
): Promise<Fault> {
  const { load } = stage;
  load.start();
  await acknowledgedMore(stage, acknowledgedMin);
  const { kind, replicas, at, repair } = await inject(stage);
  say(`${kind} hit replica ${replicas.join(', ')}`);
  await acknowledgedMore(stage, acknowledgedMin);
  const writeGapMs = longestGap(load.acknowledgedAt, at - 500, performance.now());
  await repair();
  await acknowledgedMore(stage, 100);
  await load.stop();
  return { kind, replicas, writeGapMs };
}
