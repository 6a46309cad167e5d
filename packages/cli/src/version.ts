import { readFileSync } from 'node:fs';

const { version: read } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  readonly version?: string;
};

/** Of this release. */
export const version: string = read ?? '0.0.0';
