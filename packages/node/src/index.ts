export { type Address, formatAddress, parseAddress } from './address.ts';
export {
  checkConfig,
  type ConfigSources,
  type LoadedConfig,
  loadConfig,
  type LogLevel,
  type NodeConfig,
} from './config.ts';
export { type ConfigKey, type ConfigKeyKind, configKeys, flagOf, variableOf } from './config-keys.ts';
export { type ConfigProblem, explainProblems } from './config-problem.ts';
export { ListenError } from './listen.ts';
export { nodeCrc32, nodeHasher } from './platform-checksums.ts';
