import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout this file lies in, whether it runs from source or built. Ends without a slash. */
export function repositoryRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'pnpm-workspace.yaml'))) {
    const above = dirname(directory);
    if (above === directory)
      throw new Error('this is no checkout of the repository: bugs are planted in its built output');
    directory = above;
  }
  return directory;
}
