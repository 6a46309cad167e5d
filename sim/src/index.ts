export type { Call, CallEnd } from './history.ts';
export { History } from './history.ts';
export type { Checker, Failure, FailureKind } from './checkers/checker.ts';
export { describeViolation } from './checkers/client-checkers.ts';
export { operationsOf, type RowOperation } from './checkers/operations.ts';
export * from './checkers/linearizability.ts';
export * from './checkers/register.ts';
export { createSimDisk, type DiskFaults, noFaults, SimDisk, type SimDiskOptions } from './disk.ts';
export {
  type CostPerCall,
  compareDegraded,
  type DegradedReport,
  type DegradedRun,
  degradedFailure,
  runDegraded,
} from './degraded.ts';
export {
  type CampaignOptions,
  executeRun,
  lostRun,
  repeatEvery,
  replayCommand,
  type Runner,
  type RunReport,
  type SimulationOptions,
  type SimulationProgress,
  type SimulationReport,
  simulate,
} from './entry.ts';
export { Convergence, type ConvergenceCounts, type ConvergenceOptions } from './explorer/convergence.ts';
export { Exploration, type ExplorationCounts, type ExplorationOptions } from './explorer/exploration.ts';
export {
  type AlwaysProperty,
  alwaysProperties,
  isAlwaysProperty,
  type SometimesProperty,
  type Violation,
} from './explorer/property.ts';
export { RandomWalks, type WalkOptions } from './explorer/random-walks.ts';
export type { Spill } from './explorer/records.ts';
export {
  explainReplay,
  explainViolation,
  type ConvergenceReport,
  reportConvergence,
  type ReportedViolation,
  reportExploration,
  reportWalks,
  type WalkReport,
  type WorldReport,
} from './explorer/report.ts';
export { parseSchedule, type Replay, replaySchedule, scheduleText } from './explorer/schedule.ts';
export { checkWorld, worldBounds, type World } from './explorer/world.ts';
export { type KnownWorld, knownWorlds } from './explorer/worlds.ts';
export { type CoverageMark, coverageMarks } from './marks.ts';
export { describeAction, type FaultAction } from './nemesis/action.ts';
export { type RunPlan } from './plan.ts';
export { type Judge, type MessageVerdict, type Ploy, type Stage } from './ploy.ts';
export { type FaultKind, faultKinds, type Plants, type RunOptions } from './options.ts';
export { type Execute, type RunResult, type RunStats, runSeed } from './run.ts';
export { type CampaignSummary, type Distribution } from './tally.ts';
export { formatUs } from './trace.ts';
export type { WorkloadOptions } from './workload.ts';
export { buildReport, reportEventsMax } from './report/build-report.ts';
export { EventLog, logEventsMax } from './report/event-log.ts';
export { formatEvent } from './report/format-event.ts';
export { type PageParts, renderReport } from './report/html.ts';
export type { RunObserver } from './report/observer.ts';
export { type RecordedRun, recordRun } from './report/record-run.ts';
export type { ReportData } from './report/report-data.ts';
export type { RunEvent } from './report/run-event.ts';
export { type Candidate, optionsOf, pinned, type Size, sizeOf } from './shrink/candidate.ts';
export { formatSchedule, parseSchedule as parseRunSchedule, type Schedule, scheduleOf } from './shrink/schedule.ts';
export { shrink, type ShrinkProgress, type Shrunk, shrinkRunsMax } from './shrink/shrink.ts';
