import type { Hasher } from '@kimberlite/base';
import { type RunResult, runSeed } from './run.ts';
import { digestText } from './trace.ts';

/** What `kimberlite sim --json` prints. */
export interface SimulationReport {
  readonly runs: number;
  readonly passed: number;
  readonly failures: readonly { readonly seed: number; readonly kind: string; readonly message: string }[];
  readonly simulatedSeconds: number;
  readonly wallSeconds: number;
  /** Over the trace hashes of all runs in seed order: 16 hex digits. */
  readonly traceHash: string;
}

export interface SimulationProgress {
  readonly runs: number;
  readonly of: number | null;
  readonly failed: number;
  readonly simulatedSeconds: number;
  readonly wallSeconds: number;
  readonly last: RunResult;
}

export interface SimulationOptions {
  /** Of the first run; the next run has the next one. */
  readonly seed: number;
  /** Left out with `minutes`: as many as there is time for. */
  readonly runs?: number;
  readonly minutes?: number;
  /** Left out: drawn from each seed. */
  readonly nodes?: number;
  /** 128 bits of SHA-256; the platform's is faster than the built-in one and gives the same run. */
  readonly hasher?: Hasher;
  readonly onProgress?: (progress: SimulationProgress) => void;
  readonly signal?: { readonly aborted: boolean };
}

/** Many seeds, one after the other, giving way to the event loop between runs. */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const { onProgress, signal, minutes, hasher } = options;
  const of = options.runs ?? (minutes === undefined ? 1 : null);
  const startedMs = performance.now();
  const wallSeconds = (): number => (performance.now() - startedMs) / 1000;
  const failures: { seed: number; kind: string; message: string }[] = [];
  let runs = 0;
  let simulatedSeconds = 0;
  let low = 0x811c9dc5;
  let high = 0x2545f491;
  while (of === null || runs < of) {
    if (signal?.aborted === true || (minutes !== undefined && wallSeconds() > minutes * 60)) break;
    const seed = options.seed + runs;
    const result = runSeed(seed, options.nodes === undefined ? {} : { nodes: options.nodes }, hasher);
    runs += 1;
    simulatedSeconds += result.stats.simulatedSeconds;
    low = digestText(result.traceHash, low);
    high = digestText(result.traceHash, high ^ low);
    if (result.failure !== null) failures.push({ seed, kind: result.failure.kind, message: result.failure.message });
    onProgress?.({ runs, of, failed: failures.length, simulatedSeconds, wallSeconds: wallSeconds(), last: result });
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const hex = (value: number): string => value.toString(16).padStart(8, '0');
  return {
    runs,
    passed: runs - failures.length,
    failures,
    simulatedSeconds,
    wallSeconds: wallSeconds(),
    traceHash: hex(high) + hex(low),
  };
}
