import type { RunStats } from './run.ts';

/** Least, most, and what half and nine tenths of the runs stay under or at. */
export interface Distribution {
  readonly min: number;
  readonly p10: number;
  readonly median: number;
  readonly p90: number;
  readonly max: number;
  readonly mean: number;
}

/** What many runs had in them, so that a campaign can be judged by more than "passed". */
export interface CampaignSummary {
  /** Runs that meet all of `countedAcknowledgedMin`, `countedFaultKindsMin` and `countedSecondsMin`. */
  readonly counted: number;
  readonly acknowledged: Distribution;
  readonly simulatedSeconds: Distribution;
  /** Kinds of fault that struck in a run. */
  readonly faultKinds: Distribution;
  readonly viewChanges: Distribution;
  readonly runsWithViewChange: number;
  readonly runsWithRestartDuringViewChange: number;
  /** By kind: the runs in which it struck, and how often it did. */
  readonly faults: Readonly<Record<string, { readonly runs: number; readonly times: number }>>;
  /** By coverage mark: the runs that hit it. */
  readonly marks: Readonly<Record<string, number>>;
  readonly slowest: { readonly seed: number; readonly wallSeconds: number } | null;
}

/** The parts of a run's stats that may be missing in a report of an older build. */
export type TalliedStats = RunStats & {
  readonly marks?: readonly string[];
  readonly restartsDuringViewChange?: number;
};

/** A run counts as one of a campaign only with at least this much in it. */
export const countedAcknowledgedMin = 200;
export const countedFaultKindsMin = 2;
export const countedSecondsMin = 10;

/** A multiset of whole numbers: a campaign of any length takes as much room as it has different values. */
class Samples {
  private readonly counts = new Map<number, number>();
  private total = 0;
  private sum = 0;

  add(value: number): void {
    this.counts.set(value, (this.counts.get(value) ?? 0) + 1);
    this.total += 1;
    this.sum += value;
  }

  distribution(): Distribution {
    const ordered = [...this.counts].sort(([a], [b]) => a - b);
    const at = (share: number): number => {
      let seen = 0;
      for (const [value, count] of ordered) {
        seen += count;
        if (seen >= share * this.total) return value;
      }
      return ordered.at(-1)?.[0] ?? 0;
    };
    return {
      min: ordered[0]?.[0] ?? 0,
      p10: at(0.1),
      median: at(0.5),
      p90: at(0.9),
      max: ordered.at(-1)?.[0] ?? 0,
      mean: this.total === 0 ? 0 : Math.round((100 * this.sum) / this.total) / 100,
    };
  }
}

const sorted = <T>(byName: ReadonlyMap<string, T>): Readonly<Record<string, T>> =>
  Object.fromEntries([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));

/** Adds up runs, in any order: the sums do not depend on it. */
export class Tally {
  private readonly acknowledged = new Samples();
  private readonly seconds = new Samples();
  private readonly kinds = new Samples();
  private readonly viewChanges = new Samples();
  private readonly faults = new Map<string, { runs: number; times: number }>();
  private readonly marks = new Map<string, number>();
  private counted = 0;
  private withViewChange = 0;
  private withRestart = 0;
  private slowest: CampaignSummary['slowest'] = null;

  add(seed: number, stats: TalliedStats, wallSeconds: number): void {
    const struck = Object.entries(stats.faults).filter(([, times]) => times > 0);
    this.acknowledged.add(stats.acknowledged);
    this.seconds.add(Math.floor(stats.simulatedSeconds));
    this.kinds.add(struck.length);
    this.viewChanges.add(stats.viewChanges);
    if (stats.viewChanges > 0) this.withViewChange += 1;
    if ((stats.restartsDuringViewChange ?? 0) > 0) this.withRestart += 1;
    for (const [kind, times] of struck) {
      const known = this.faults.get(kind) ?? { runs: 0, times: 0 };
      this.faults.set(kind, { runs: known.runs + 1, times: known.times + times });
    }
    for (const mark of stats.marks ?? []) this.marks.set(mark, (this.marks.get(mark) ?? 0) + 1);
    const counts =
      stats.acknowledged >= countedAcknowledgedMin &&
      struck.length >= countedFaultKindsMin &&
      stats.simulatedSeconds >= countedSecondsMin;
    if (counts) this.counted += 1;
    if (this.slowest === null || wallSeconds > this.slowest.wallSeconds) this.slowest = { seed, wallSeconds };
  }

  summary(): CampaignSummary {
    return {
      counted: this.counted,
      acknowledged: this.acknowledged.distribution(),
      simulatedSeconds: this.seconds.distribution(),
      faultKinds: this.kinds.distribution(),
      viewChanges: this.viewChanges.distribution(),
      runsWithViewChange: this.withViewChange,
      runsWithRestartDuringViewChange: this.withRestart,
      faults: sorted(this.faults),
      marks: sorted(this.marks),
      slowest: this.slowest,
    };
  }
}
