import { assert, type Hasher } from '@kimberlite/base';
import type { FaultKind, RunOptions } from './options.ts';
import { type RunResult, type RunStats, runSeed } from './run.ts';
import { type CampaignSummary, Tally } from './tally.ts';
import { digestText } from './trace.ts';

/** What a campaign keeps of one run. */
export interface RunReport {
  readonly seed: number;
  readonly failure: { readonly kind: string; readonly message: string } | null;
  readonly traceHash: string;
  /** Null when the run never came to an end. */
  readonly stats: RunStats | null;
  readonly wallSeconds: number;
}

/** A run that ended neither well nor badly: whoever executed it is gone. */
export const lostRun = (seed: number, message: string, wallSeconds: number): RunReport => ({
  seed,
  failure: { kind: 'fatal', message },
  traceHash: '0'.repeat(16),
  stats: null,
  wallSeconds,
});

/** What all runs of a campaign have in common; the rest is drawn from each seed. */
export interface CampaignOptions {
  /** Left out: drawn from each seed. */
  readonly nodes?: number;
  /** Left out: drawn from each seed. */
  readonly faults?: readonly FaultKind[];
}

/** Executes runs, at most `width` of them at once. */
export interface Runner {
  readonly width: number;
  readonly run: (seed: number) => Promise<RunReport>;
}

/** What `kimberlite sim --json` prints. */
export interface SimulationReport {
  readonly seed: number;
  readonly runs: number;
  readonly passed: number;
  readonly failures: readonly { readonly seed: number; readonly kind: string; readonly message: string }[];
  readonly simulatedSeconds: number;
  readonly wallSeconds: number;
  /** Over the trace hashes of all runs in seed order: 16 hex digits. The same however many ran at once. */
  readonly traceHash: string;
  /** Runs at once. */
  readonly jobs: number;
  readonly seedsPerSecond: number;
  readonly simulatedSecondsPerSecond: number;
  readonly summary: CampaignSummary;
}

export interface SimulationProgress {
  readonly runs: number;
  readonly of: number | null;
  readonly failed: number;
  readonly simulatedSeconds: number;
  readonly wallSeconds: number;
  readonly last: RunReport;
}

export interface SimulationOptions extends CampaignOptions {
  /** Of the first run; the next run has the next one. */
  readonly seed: number;
  /** Left out with `minutes`: as many as there is time for. */
  readonly runs?: number;
  readonly minutes?: number;
  /** 128 bits of SHA-256; the platform's is faster than the built-in one and gives the same run. */
  readonly hasher?: Hasher;
  /** Left out: one run after the other in this very thread. */
  readonly runner?: Runner;
  readonly onProgress?: (progress: SimulationProgress) => void;
  readonly signal?: { readonly aborted: boolean };
}

/** Every run whose seed this divides is executed twice, to see that nothing in it comes from anywhere but its seed. */
export const repeatEvery = 50;

const sameRun = (a: RunResult, b: RunResult): boolean =>
  a.traceHash === b.traceHash &&
  a.failure?.kind === b.failure?.kind &&
  JSON.stringify(a.stats) === JSON.stringify(b.stats);

/** One run of a campaign. */
export function executeRun(seed: number, options: CampaignOptions, hasher?: Hasher): RunReport {
  const runOptions: RunOptions = {
    ...(options.nodes === undefined ? {} : { nodes: options.nodes }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
  };
  const startedMs = performance.now();
  const { traceHash, stats, failure, ...rest } = runSeed(seed, runOptions, hasher);
  const report = { seed, traceHash, stats, failure, wallSeconds: (performance.now() - startedMs) / 1000 };
  if (seed % repeatEvery !== 0) return report;
  const again = runSeed(seed, runOptions, hasher);
  if (sameRun({ traceHash, stats, failure, ...rest }, again)) return report;
  const message = `the first time trace ${traceHash} and ${failure?.kind ?? 'no failure'}, the second ${again.traceHash} and ${again.failure?.kind ?? 'no failure'}`;
  return { ...report, failure: { kind: 'nondeterminism', message } };
}

function localRunner(options: CampaignOptions, hasher: Hasher | undefined): Runner {
  return {
    width: 1,
    run: async (seed) => {
      // The event loop gets its turn between runs, so that Ctrl-C is heard.
      await new Promise<void>((resolve) => setImmediate(resolve));
      return executeRun(seed, options, hasher);
    },
  };
}

/** Digest over the trace hashes in seed order, whatever the order in which runs end. */
class TraceChain {
  private low = 0x811c9dc5;
  private high = 0x2545f491;
  private next = 0;
  private readonly waiting = new Map<number, string>();

  add(index: number, traceHash: string): void {
    this.waiting.set(index, traceHash);
    for (let hash = this.waiting.get(this.next); hash !== undefined; hash = this.waiting.get(this.next)) {
      this.waiting.delete(this.next);
      this.next += 1;
      this.low = digestText(hash, this.low);
      this.high = digestText(hash, this.high ^ this.low);
    }
  }

  hash(): string {
    assert(this.waiting.size === 0, 'every run that was begun has ended');
    const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');
    return hex(this.high) + hex(this.low);
  }
}

/** Many seeds from the first one on, as many at once as the runner can. */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const { onProgress, signal, minutes, seed: first } = options;
  const runner = options.runner ?? localRunner(options, options.hasher);
  const of = options.runs ?? (minutes === undefined ? 1 : null);
  const startedMs = performance.now();
  const wallSeconds = (): number => (performance.now() - startedMs) / 1000;
  const isOver = (): boolean => signal?.aborted === true || (minutes !== undefined && wallSeconds() > minutes * 60);
  const failures: { seed: number; kind: string; message: string }[] = [];
  const chain = new TraceChain();
  const tally = new Tally();
  let begun = 0;
  let runs = 0;
  let simulatedSeconds = 0;
  const keep = (index: number, report: RunReport): void => {
    const { seed, stats, failure } = report;
    runs += 1;
    chain.add(index, report.traceHash);
    if (stats !== null) {
      simulatedSeconds += stats.simulatedSeconds;
      tally.add(seed, stats, report.wallSeconds);
    }
    if (failure !== null) failures.push({ seed, kind: failure.kind, message: failure.message });
    onProgress?.({ runs, of, failed: failures.length, simulatedSeconds, wallSeconds: wallSeconds(), last: report });
  };
  const lane = async (): Promise<void> => {
    while ((of === null || begun < of) && !isOver()) {
      const index = begun;
      begun += 1;
      keep(index, await runner.run(first + index));
    }
  };
  await Promise.all(Array.from({ length: runner.width }, lane));
  // Never zero, also when it was over before it began.
  const wall = Math.max(wallSeconds(), 0.001);
  return {
    seed: first,
    runs,
    passed: runs - failures.length,
    failures: failures.sort((a, b) => a.seed - b.seed),
    simulatedSeconds,
    wallSeconds: wall,
    traceHash: chain.hash(),
    jobs: runner.width,
    seedsPerSecond: runs / wall,
    simulatedSecondsPerSecond: simulatedSeconds / wall,
    summary: tally.summary(),
  };
}

/** The command line that replays one run of a campaign. */
export function replayCommand(seed: number, { nodes, faults }: CampaignOptions): string {
  const ofNodes = nodes === undefined ? '' : ` --nodes ${nodes}`;
  const ofFaults = faults === undefined ? '' : ` --faults ${faults.join(',')}`;
  return `kimberlite sim --seed ${seed} --runs 1${ofNodes}${ofFaults}`;
}
