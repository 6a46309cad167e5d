import { runCli } from './program.ts';
import { processTerminal } from './terminal.ts';

export type { BenchDocument } from './bench/measure.ts';
export type { ExecRow } from './commands/exec.ts';
export type { QueryDocument } from './commands/query.ts';
export type { StatusDocument } from './status-document.ts';

/** The whole program: what `bin/kimberlite.js` runs with its arguments. */
export async function main(argv: readonly string[]): Promise<void> {
  // The reader of a pipe may leave early (`| head`); that is no error of ours.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  await runCli(argv, {
    terminal: processTerminal(),
    env: process.env,
    directory: process.cwd(),
    readStdin: async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
      return Buffer.concat(chunks).toString('utf8');
    },
  });
}
