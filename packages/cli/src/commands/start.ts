import { dashboardPage } from '@kimberlite/dashboard';
import { configKeys, flagOf, runNode, variableOf } from '@kimberlite/node';
import type { Command } from 'commander';
import { type Context, examples } from '../context.ts';
import { configFrom, type NodeFlags } from '../node-process.ts';
import { line } from '../terminal.ts';

/** Every key of the configuration as a flag, described by the same words as in the reference. */
export function withConfigFlags(command: Command): Command {
  command.option('--config <file>', 'YAML or JSON with the keys below (variable: KIMBERLITE_CONFIG)');
  for (const { key, about, kind } of configKeys) {
    const value = kind === 'list' ? '<a,b,…>' : kind === 'number' ? '<n>' : '<value>';
    command.option(`${flagOf(key)} ${value}`, about);
  }
  const variables = configKeys.map(({ key }) => variableOf(key)).join(', ');
  return command.addHelpText(
    'after',
    `\nA flag wins over a variable, a variable over the file, the file over the default. Variables:\n  ${variables}`,
  );
}

export function addStart(program: Command, context: Context): void {
  const command = withConfigFlags(program.command('start'))
    .summary('one node')
    .description('Runs one node of a cluster until it is told to stop (Ctrl-C or TERM: it hands over first).')
    .action(async (flags: NodeFlags) => {
      const { config, warnings } = configFrom(context, flags);
      process.exitCode = await runNode({
        config,
        warnings,
        page: dashboardPage,
        say: (text) => line(context.terminal.out, text),
        complain: (text) => line(context.terminal.err, text),
      });
      // Whatever is still open (a keep-alive connection of somebody's) must not keep a stopped node alive.
      process.exit();
    });
  examples(command, [
    ['a node by its file; prepare it once with `kimberlite format`', 'kimberlite start --config node-0.yaml'],
    ['one key from elsewhere', 'kimberlite start --config node-0.yaml --data-dir /mnt/fast/node-0'],
  ]);
}
