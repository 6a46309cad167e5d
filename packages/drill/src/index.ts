export { Load, type LoadOptions, longestGap, type Recorded } from './load.ts';
export { type NodeStatus, ProcessCluster, type ProcessClusterOptions, waitFor } from './process-cluster.ts';
export {
  type DrillReport,
  type Fault,
  runScenario,
  type ScenarioName,
  type ScenarioOptions,
  scenarios,
} from './scenario.ts';
export { type FinalState, judge, type Verdict } from './verdict.ts';
