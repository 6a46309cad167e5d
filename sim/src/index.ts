export * from './checkers/linearizability.ts';
export * from './checkers/register.ts';
export * from './clock.ts';
export * from './network.ts';
export * from './scheduler.ts';
export * from './trace.ts';
