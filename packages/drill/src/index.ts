export type { FaultKind } from './faults.ts';
export { compareHashes, type HashesAtOp, type HashStatus, isDiverged } from './hashes.ts';
export { Load, type LoadOptions, longestGap, type Recorded } from './load.ts';
export { Probe } from './probe.ts';
export { type NodeStatus, ProcessCluster, type ProcessClusterOptions, waitFor } from './process-cluster.ts';
export { describeReport } from './report.ts';
export { acknowledgedMinDefault, DrillError, type DrillOptions, roundsDefault, runDrill } from './run-drill.ts';
export {
  type DrillReport,
  type Fault,
  isScenario,
  runScenario,
  type ScenarioName,
  type ScenarioOptions,
  scenarios,
} from './scenario.ts';
export { type Evidence, type FinalRow, type FinalState, judge, type Verdict } from './verdict.ts';
