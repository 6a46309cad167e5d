import picocolors from 'picocolors';
import type { Context } from '../src/context.ts';
import { runCli } from '../src/program.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line in this process, with everything it writes collected. */
export async function run(
  argv: readonly string[],
  options: { stdin?: string; env?: Record<string, string>; directory?: string } = {},
): Promise<Ran> {
  let out = '';
  let err = '';
  const context: Context = {
    terminal: {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
      interactive: false,
      width: 100,
      colors: picocolors.createColors(false),
    },
    env: options.env ?? {},
    directory: options.directory ?? '/nonexistent',
    readStdin: async () => options.stdin ?? '',
  };
  const before = process.exitCode;
  try {
    return { code: await runCli(argv, context), out, err };
  } finally {
    process.exitCode = before;
  }
}
