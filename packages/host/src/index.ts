export * from './host.ts';
export type * from './ports.ts';
export { scrubSecondsDefault } from './scrub-watch.ts';
