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
export { openDirectoryReadOnly } from './data-directory.ts';
export { isDirectoryLocked } from './directory-lock.ts';
export type { FileDisk } from './file-disk.ts';
export type { ChangeAnswer, ReplaceAnswer, TransferAnswer } from './admin-actions.ts';
export { formatJoining, formatNode, formatReplacement, formatRestored } from './format-node.ts';
export { ListenError } from './listen.ts';
export { nodeCrc32, nodeDecodeText, nodeHasher } from './platform-checksums.ts';
export { type RunOptions, runNode } from './run-node.ts';
export { StartError } from './start-error.ts';
export { type RunningNode, type StartOptions, startNode } from './start-node.ts';
export { version } from './version.ts';
