export type { Call, CallEnd } from './history.ts';
export { History } from './history.ts';
export type { Checker, Failure, FailureKind } from './checkers/checker.ts';
export { describeViolation, operationsOf, type RowOperation } from './checkers/client-checkers.ts';
export * from './checkers/linearizability.ts';
export * from './checkers/register.ts';
export { createSimDisk, type DiskFaults, noFaults, SimDisk, type SimDiskOptions } from './disk.ts';
export { type CostPerCall, compareDegraded, type DegradedReport } from './degraded.ts';
export {
  explainFailure,
  type SimulationOptions,
  type SimulationProgress,
  type SimulationReport,
  simulate,
} from './entry.ts';
export { type CoverageMark, coverageMarks } from './marks.ts';
export { describeAction, type FaultAction } from './nemesis/action.ts';
export { type RunPlan } from './plan.ts';
export { type FaultKind, faultKinds, type Plants, type RunOptions } from './options.ts';
export { type RunResult, type RunStats, runSeed } from './run.ts';
export { formatUs } from './trace.ts';
