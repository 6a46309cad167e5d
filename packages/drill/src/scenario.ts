import { Load, type LoadOptions, longestGap } from './load.ts';
import { Probe } from './probe.ts';
import { ProcessCluster, waitFor } from './process-cluster.ts';
import { judge, type Verdict } from './verdict.ts';

export interface ScenarioOptions {
  /** The `kimberlite.js` to start nodes with. */
  readonly bin: string;
  /** Empty; data, configurations and logs go below it. */
  readonly directory: string;
  readonly nodes: number;
  readonly rounds: number;
  /** Acknowledged writes and reads, each, before and after every fault. */
  readonly acknowledgedMin: number;
  readonly clients?: number;
  readonly concurrency?: number;
  /** How long a stopped process stays stopped. */
  readonly pauseMs?: number;
  /** One line for a person. */
  readonly onProgress?: (line: string) => void;
}

export interface Fault {
  readonly kind: 'kill-primary' | 'kill-all' | 'kill-two' | 'pause-primary';
  readonly replicas: readonly number[];
  /** Longest interval around the fault without any acknowledgement, over all clients. */
  readonly writeGapMs: number;
}

export interface DrillReport extends Verdict {
  readonly scenario: string;
  readonly verdict: 'pass' | 'fail';
  readonly writeGapMs: { readonly p50: number; readonly max: number };
  readonly faults: readonly Fault[];
  readonly stateHash: string;
  readonly probeReads: number;
}

interface Stage {
  readonly cluster: ProcessCluster;
  readonly load: Load;
  readonly options: ScenarioOptions;
  readonly say: (line: string) => void;
}

/** What one round does to the cluster; gives the replicas it hit, and the moment it hit them. */
type Inject = (
  stage: Stage,
) => Promise<{ kind: Fault['kind']; replicas: number[]; at: number; repair: () => Promise<void> }>;

/** Kill -9 of the primary; it is started again once the others have gone on without it. */
const killPrimary: Inject = async ({ cluster }) => {
  const primary = await cluster.primary();
  const at = performance.now();
  await cluster.signal(primary, 'SIGKILL');
  return { kind: 'kill-primary', replicas: [primary], at, repair: async () => cluster.start(primary) };
};

/** Kill -9 of every node at once; all are started again at once. */
const killAll: Inject = async ({ cluster }) => {
  const at = performance.now();
  const replicas = cluster.members.map((member) => member.replica);
  await Promise.all(replicas.map((replica) => cluster.signal(replica, 'SIGKILL')));
  cluster.startAll();
  return { kind: 'kill-all', replicas, at, repair: async () => {} };
};

/** Kill -9 of the primary and of the replica after it. */
const killTwo: Inject = async ({ cluster }) => {
  const primary = await cluster.primary();
  const replicas = [primary, (primary + 1) % cluster.members.length];
  const at = performance.now();
  await Promise.all(replicas.map((replica) => cluster.signal(replica, 'SIGKILL')));
  const repair = async (): Promise<void> => replicas.forEach((replica) => cluster.start(replica));
  return { kind: 'kill-two', replicas, at, repair };
};

/** SIGSTOP of the primary for a while: it wakes up believing that it still is one. */
const pausePrimary: Inject = async ({ cluster, options }) => {
  const primary = await cluster.primary();
  const at = performance.now();
  await cluster.signal(primary, 'SIGSTOP');
  const repair = async (): Promise<void> => {
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(0, at + (options.pauseMs ?? 10_000) - performance.now())),
    );
    await cluster.signal(primary, 'SIGCONT');
  };
  return { kind: 'pause-primary', replicas: [primary], at, repair };
};

/** Before the kill, a pause: a woken primary with queries in its sockets is where stale reads would come from. */
const pauseThenKill: Inject = async (stage) => {
  const paused = await pausePrimary({
    ...stage,
    options: { ...stage.options, pauseMs: stage.options.pauseMs ?? 1500 },
  });
  await paused.repair();
  await progress(stage, 100);
  return killPrimary(stage);
};

export const scenarios = {
  'kill-primary': pauseThenKill,
  'kill-all': killAll,
  'kill-two': killTwo,
  'pause-primary': pausePrimary,
} as const satisfies Record<string, Inject>;

export type ScenarioName = keyof typeof scenarios;

const countOk = (load: Load): { writes: number; reads: number } => {
  let writes = 0;
  let reads = 0;
  for (const call of load.history) {
    if (call.outcome !== 'ok') continue;
    if (call.kind === 'read') reads++;
    else writes++;
  }
  return { writes, reads };
};

/** Waits until that many more writes and reads have been acknowledged. */
async function progress({ load, cluster }: Stage, more: number): Promise<void> {
  const start = countOk(load);
  try {
    await waitFor(
      `${more} more acknowledged writes and reads`,
      async () => {
        const now = countOk(load);
        return now.writes - start.writes >= more && now.reads - start.reads >= more ? true : undefined;
      },
      { timeoutMs: 60_000, everyMs: 20 },
    );
  } catch (error) {
    const rows = await cluster.statuses();
    throw new Error(
      `${String(error)}; got ${JSON.stringify(countOk(load))} from ${JSON.stringify(start)}; statuses ${JSON.stringify(rows)}`,
    );
  }
}

/** A cluster of its own, load, faults in rounds, and in the end what clients were told held against what is there. */
export async function runScenario(name: ScenarioName, options: ScenarioOptions): Promise<DrillReport> {
  const say = options.onProgress ?? (() => {});
  const registers = 24;
  const cluster = await ProcessCluster.create(options);
  const loadOptions: LoadOptions = {
    endpoints: cluster.endpoints,
    clients: options.clients ?? 4,
    concurrency: options.concurrency ?? 8,
    registers,
  };
  const load = new Load(loadOptions);
  const probes = cluster.endpoints.map((endpoint) => new Probe(endpoint, registers));
  const stage: Stage = { cluster, load, options, say };
  try {
    cluster.startAll();
    await cluster.primary();
    await load.prepare();
    for (const probe of probes) probe.start();
    const faults: Fault[] = [];
    let stateHash = '';
    for (let round = 1; round <= options.rounds; round++) {
      const { fault, hash } = await runRound(stage, scenarios[name]);
      faults.push(fault);
      stateHash = hash;
      say(
        `${name} ${round}/${options.rounds}: replicas ${fault.replicas.join(',')}, gap ${fault.writeGapMs.toFixed(0)} ms, ${load.acknowledged} acknowledged`,
      );
    }
    const final = { rows: await load.readAll('rows'), registers: await load.readAll('registers') };
    const probed = probes.flatMap((probe) => probe.history);
    const verdict = judge([...load.history, ...probed], final);
    const gaps = faults.map((fault) => fault.writeGapMs).sort((a, b) => a - b);
    const pass =
      verdict.lost === 0 && verdict.duplicated === 0 && verdict.linearizable && verdict.problems.length === 0;
    return {
      scenario: name,
      verdict: pass ? 'pass' : 'fail',
      ...verdict,
      writeGapMs: { p50: gaps[Math.floor((gaps.length - 1) / 2)] ?? 0, max: gaps.at(-1) ?? 0 },
      faults,
      stateHash,
      probeReads: probed.length,
    };
  } finally {
    for (const probe of probes) probe.close();
    await load.close().catch(() => {});
    await cluster.close();
  }
}

async function runRound(stage: Stage, inject: Inject): Promise<{ fault: Fault; hash: string }> {
  const { cluster, load, options } = stage;
  load.start();
  await progress(stage, options.acknowledgedMin);
  const { kind, replicas, at, repair } = await inject(stage);
  await progress(stage, options.acknowledgedMin);
  const writeGapMs = longestGap(load.acknowledgedAt, at - 500, performance.now());
  await repair();
  await progress(stage, 100);
  await load.stop();
  const { hash } = await cluster.converged();
  return { fault: { kind, replicas, writeGapMs }, hash };
}
