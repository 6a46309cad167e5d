export type * from './command.ts';
export type * from './effect.ts';
export type * from './error.ts';
export type * from './outcome.ts';
export type * from './query-types.ts';
export type * from './value.ts';
