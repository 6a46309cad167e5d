export type * from './client-message.ts';
