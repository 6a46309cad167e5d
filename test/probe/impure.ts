// This file must NOT compile with the settings of a pure package, and the linter must refuse each marked line.
// `test/boundaries.test.ts` runs both on it and counts: the day one of them falls silent, the wall is down.
export { readFileSync } from 'node:fs';

export const buffer = Buffer.alloc(1);
export const pid = process.pid;
export const timer = setTimeout(() => undefined, 1);
export const answer = fetch('http://127.0.0.1');
export const random = crypto.getRandomValues(new Uint8Array(1));
export const elapsed = performance.now();
export const encoder = new TextEncoder();
