export * from './host.ts';
export type * from './ports.ts';
