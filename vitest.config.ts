import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Tests run from source, so that a failing line is the line somebody wrote; the built output is
// exercised by the end-to-end tests, which start the same `kimberlite` an operator would.
const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const rooms = ['base', 'kernel', 'vsr', 'log', 'wire', 'host', 'client', 'node', 'dashboard', 'drill', 'cli'];

export default defineConfig({
  resolve: {
    alias: [
      ...rooms.map((room) => ({
        find: new RegExp(`^@kimberlite/${room}$`),
        replacement: source(`./packages/${room}/src/index.ts`),
      })),
      { find: /^@kimberlite\/sim$/, replacement: source('./sim/src/index.ts') },
    ],
  },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'sim/test/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
