import type { Command } from 'commander';
import { type Context, examples, printJson, withJson } from '../context.ts';
import { configFrom, formatNode, type NodeFlags } from '../node-process.ts';
import { line } from '../terminal.ts';
import { withConfigFlags } from './start.ts';

export function addFormat(program: Command, context: Context): void {
  const command = withConfigFlags(withJson(program.command('format')))
    .summary('prepare a data directory, once')
    .description(
      'Prepares the data directory of one node before its first start. It refuses a directory that is not empty;\n' +
        '`kimberlite start` refuses one that is missing, in use, or belongs to another cluster or replica.',
    )
    .action(async (flags: NodeFlags & { json?: boolean }) => {
      const { config } = configFrom(context, flags);
      await formatNode(config);
      const { dataDir, clusterId, replica } = config;
      if (flags.json === true) printJson(context, { ok: true, dataDir, clusterId, replica });
      else line(context.terminal.out, `${dataDir} is ready for replica ${replica} of cluster ${clusterId}.`);
    });
  examples(command, [['before the first start of a node', 'kimberlite format --config node-0.yaml']]);
}
