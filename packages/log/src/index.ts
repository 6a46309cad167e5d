export { type LogMark, logMarks } from './coverage.ts';
export type * from './disk.ts';
export { type FormatOptions, formatLog } from './format.ts';
export type { HeaderRecord } from './header-record.ts';
export { type LogReader, openLogReader } from './reader.ts';
export {
  type InspectOptions,
  inspectOp,
  inspectSuperblock,
  listLog,
  type OpInspection,
  type SuperblockInspection,
} from './inspect.ts';
export { checkpointFile, defaultGeometry, fileName, type Geometry, type Location, type LogIdentity } from './layout.ts';
export type { Log } from './log.ts';
export type { LogError } from './log-error.ts';
export { type OpenedLog, type OpenOptions, openLog } from './open.ts';
export type { Found, ScrubStep } from './scrubber.ts';
export { recoverLog, type SlotSource, type Wanted } from './recovery.ts';
export { type Superblock, type SuperblockCopy, superblockPayloadBytesMax, type Trim } from './superblock.ts';
export { type CheckpointInspection, type CheckpointProblem, inspectCheckpoints } from './verify-checkpoints.ts';
export { type LogProblem, type VerifyOptions, type VerifyReport, verifyLog } from './verify.ts';
