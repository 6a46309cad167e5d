export type * from './client.ts';
export type * from './durable-state.ts';
export type * from './effect.ts';
export type * from './event.ts';
export type * from './message.ts';
export type * from './state-machine.ts';
