import { coverageMarks, type Distribution, type SimulationProgress, type SimulationReport } from '@kimberlite/sim';

const percent = (part: number, whole: number): string => `${whole === 0 ? 0 : Math.round((100 * part) / whole)} %`;

const spread = ({ min, p10, median, p90, max, mean }: Distribution): string =>
  `least ${min}, tenth ${p10}, half ${median}, nine tenths ${p90}, most ${max}, mean ${mean}`;

/** Seconds as hours, minutes and seconds. */
function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** One line that is drawn over itself while a campaign runs. */
export function progressLine({ runs, of, failed, simulatedSeconds, wallSeconds }: SimulationProgress): string {
  const rate = runs / wallSeconds;
  const rest = of === null ? '' : `, ${duration((of - runs) / rate)} left`;
  return (
    `run ${runs}${of === null ? '' : ` of ${of}`}, ${failed} failed, ` +
    `${rate.toFixed(1)} seeds/s, ${Math.round(simulatedSeconds / wallSeconds)} simulated s/s${rest}`
  );
}

function faultLines({ runs, summary }: SimulationReport): string[] {
  const width = Math.max(0, ...Object.keys(summary.faults).map((kind) => kind.length));
  return Object.entries(summary.faults).map(
    ([kind, { runs: struck, times }]) =>
      `  ${kind.padEnd(width)}  ${struck} runs (${percent(struck, runs)}), ${times} times`,
  );
}

/** A campaign of so many runs should leave no mark out, so those it did are named. */
const marksNamedRunsMin = 100;

/** Branches of protocol and log that were taken, and which no run took. */
function markLine({ runs, summary }: SimulationReport): string {
  const missed = coverageMarks.filter((mark) => (summary.marks[mark] ?? 0) === 0);
  const names = missed.length === 0 || runs < marksNamedRunsMin ? '' : `; not hit: ${missed.join(', ')}`;
  return `coverage marks hit: ${coverageMarks.length - missed.length} of ${coverageMarks.length}${names}`;
}

/** What was in a campaign, in lines: nobody should have to take "passed" at its word. */
export function summaryLines(report: SimulationReport): readonly string[] {
  const { runs, jobs, wallSeconds, seedsPerSecond, simulatedSecondsPerSecond, summary } = report;
  const { slowest } = summary;
  return [
    `speed: ${seedsPerSecond.toFixed(1)} seeds/s, ${Math.round(simulatedSecondsPerSecond)} simulated s/s with ${jobs} at once, in ${duration(wallSeconds)}`,
    `runs that count (commands, kinds of fault and time enough): ${summary.counted} (${percent(summary.counted, runs)})`,
    `acknowledged commands: ${spread(summary.acknowledged)}`,
    `simulated seconds: ${spread(summary.simulatedSeconds)}`,
    `kinds of fault a run: ${spread(summary.faultKinds)}`,
    `view changes: ${spread(summary.viewChanges)}; in ${percent(summary.runsWithViewChange, runs)} of runs`,
    `a restart during a view change: ${summary.runsWithRestartDuringViewChange} runs (${percent(summary.runsWithRestartDuringViewChange, runs)})`,
    'faults:',
    ...faultLines(report),
    markLine(report),
    ...(slowest === null ? [] : [`slowest: seed ${slowest.seed}, ${slowest.wallSeconds.toFixed(2)} s`]),
  ];
}
