export type * from './disk.ts';
