import type { DrillReport } from './scenario.ts';

/** A report for a person: the verdict, the counts, the write gap, and a line for every problem. */
export function describeReport(report: DrillReport): string {
  const { writeGapMs: gap } = report;
  return [
    `${report.scenario}: ${report.verdict.toUpperCase()} after ${report.faults.length} faults`,
    `  acknowledged ${report.acknowledged} · lost ${report.lost} · duplicated ${report.duplicated} · unknown ${report.unknown} · not applied ${report.notApplied}`,
    `  linearizable ${report.linearizable ? 'yes' : 'NO'} (${report.probeReads} reads straight from single nodes among them)`,
    `  write gap: median ${gap.p50.toFixed(0)} ms, worst ${gap.max.toFixed(0)} ms`,
    ...report.problems.map((problem) => `  ! ${problem}`),
  ].join('\n');
}
