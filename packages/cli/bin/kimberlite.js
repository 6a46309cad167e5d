#!/usr/bin/env node
// Committed, not built: a package manager links a bin only when its target exists at install time, and an
// unlinked `npx kimberlite` would ask the registry for a stranger's package.
import { existsSync } from 'node:fs';

const entry = new URL('../dist/index.js', import.meta.url);

if (!existsSync(entry)) {
  process.stderr.write('kimberlite is not built yet. In the repository, run `npm run build` (or `npm start`) first.\n');
  process.exit(1);
}

const { main } = await import(entry.href);
await main(process.argv.slice(2));
