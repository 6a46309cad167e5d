import { createHistogram, performance } from 'node:perf_hooks';

export type BenchMode = 'write' | 'read' | 'mixed';

export interface BenchDocument {
  readonly mode: BenchMode;
  readonly clients: number;
  readonly connections: number;
  /** Measured, not asked for. */
  readonly seconds: number;
  readonly acknowledged: number;
  readonly errors: number;
  readonly opsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly p999Ms: number;
  readonly meanMs: number;
  readonly valueBytes: number;
  readonly reads: number;
  readonly writes: number;
  /** How often each code was seen. */
  readonly errorCodes: Readonly<Record<string, number>>;
}

const nanosecondsPerMs = 1_000_000;
const toMs = (nanoseconds: number): number => Math.round(nanoseconds / 1000) / 1000;

/** Counts calls and their latencies. */
export class Measure {
  reads = 0;
  writes = 0;
  errors = 0;
  readonly errorCodes = new Map<string, number>();
  private readonly latencies = createHistogram();

  acknowledged(kind: 'read' | 'write', sinceMs: number): void {
    if (kind === 'read') this.reads += 1;
    else this.writes += 1;
    // The histogram takes whole numbers from 1.
    this.latencies.record(Math.max(1, Math.round((performance.now() - sinceMs) * nanosecondsPerMs)));
  }

  failed(code: string): void {
    this.errors += 1;
    this.errorCodes.set(code, (this.errorCodes.get(code) ?? 0) + 1);
  }

  get total(): number {
    return this.reads + this.writes;
  }

  /** The given percentile of the latency in milliseconds; 0 before the first call. */
  percentileMs(percentile: number): number {
    return this.total === 0 ? 0 : toMs(this.latencies.percentile(percentile));
  }

  document(run: {
    mode: BenchMode;
    clients: number;
    connections: number;
    valueBytes: number;
    elapsedMs: number;
  }): BenchDocument {
    const { mode, clients, connections, valueBytes, elapsedMs } = run;
    const seconds = elapsedMs / 1000;
    return {
      mode,
      clients,
      connections,
      seconds: Math.round(seconds * 1000) / 1000,
      acknowledged: this.total,
      errors: this.errors,
      opsPerSecond: seconds > 0 ? Math.round(this.total / seconds) : 0,
      p50Ms: this.percentileMs(50),
      p99Ms: this.percentileMs(99),
      maxMs: this.total === 0 ? 0 : toMs(this.latencies.max),
      p999Ms: this.percentileMs(99.9),
      meanMs: this.total === 0 ? 0 : toMs(this.latencies.mean),
      valueBytes,
      reads: this.reads,
      writes: this.writes,
      errorCodes: Object.fromEntries(this.errorCodes),
    };
  }
}
