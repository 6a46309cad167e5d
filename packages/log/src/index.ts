export type * from './disk.ts';
export { type FormatOptions, formatLog } from './format.ts';
export { defaultGeometry, type Geometry, type Location, type LogIdentity } from './layout.ts';
export type { Log } from './log.ts';
export type { LogError } from './log-error.ts';
export { type OpenedLog, type OpenOptions, openLog } from './open.ts';
export type { Wanted } from './recovery.ts';
export { superblockPayloadBytesMax } from './superblock.ts';
