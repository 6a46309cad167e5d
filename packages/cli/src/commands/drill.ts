import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  acknowledgedMinDefault,
  describeReport,
  DrillError,
  type DrillReport,
  isScenario,
  roundsDefault,
  runDrill,
  type ScenarioName,
  scenarios,
} from '@kimberlite/drill';
import type { Command } from 'commander';
import { type Context, type ExitCode, examples, printJson, wholeNumber, withJson } from '../context.ts';
import { nodeCount } from '../dev/node-count.ts';
import { onSignals } from '../dev/stop-signals.ts';
import { fail, UsageFailure } from '../failure.ts';
import { line } from '../terminal.ts';

interface Flags {
  readonly nodes?: 3 | 5;
  readonly rounds: number;
  readonly acknowledged: number;
  readonly out?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

const bin = fileURLToPath(new URL('../../bin/kimberlite.js', import.meta.url));

const names = Object.keys(scenarios).filter(isScenario);

const scenarioList = names.map((name) => `  ${name.padEnd(15)}${scenarios[name].about}`).join('\n');

export function addDrill(program: Command, context: Context): void {
  const command = withJson(program.command('drill'))
    .summary('practise failover on a cluster of its own')
    .description(
      'Starts a cluster of real processes on free ports, puts load on it, strikes, and holds everything the clients ' +
        'were told against what is there: nothing acknowledged lost, nothing twice, one order, equal states. ' +
        `Says how long writes stopped. Exit code 1 if a promise was broken.\n\nScenarios:\n${scenarioList}`,
    )
    .argument('[scenario]', 'which one')
    .option('--all', 'one after the other, each on a new cluster')
    .option('--nodes <3|5>', 'how many nodes (default: 3, or 5 where the scenario needs them)', nodeCount)
    .option('--rounds <n>', 'how often to strike', wholeNumber('--rounds', 1, 10_000), roundsDefault)
    .option(
      '--acknowledged <n>',
      'writes and reads, each, before and after every strike',
      wholeNumber('--acknowledged', 1, 1_000_000),
      acknowledgedMinDefault,
    )
    .option('--out <dir>', 'keep data and node logs there (default: a temporary directory, gone after a pass)')
    .action(async (scenario: string | undefined, flags: Flags) => {
      process.exitCode = await act(context, chosen(scenario, flags), flags);
    });
  examples(command, [
    ['the primary is killed three times', 'kimberlite drill kill-primary'],
    ['two of five nodes at once, and all files kept', 'kimberlite drill kill-two --nodes 5 --out /tmp/drill'],
    ['every scenario, for a script', 'kimberlite drill --all --json'],
  ]);
}

function chosen(scenario: string | undefined, { all, nodes }: Flags): readonly ScenarioName[] {
  if (all === true) {
    if (scenario !== undefined) throw new UsageFailure(`--all means every scenario: leave out "${scenario}".`);
    return names;
  }
  if (scenario === undefined || !isScenario(scenario)) {
    const what = scenario === undefined ? 'Say which scenario' : `There is no scenario "${scenario}"`;
    throw new UsageFailure(`${what}: ${names.join(', ')}, or --all.`);
  }
  const { nodesMin } = scenarios[scenario];
  if (nodes !== undefined && nodes < nodesMin) {
    throw new UsageFailure(`${scenario} needs --nodes ${nodesMin}: fewer cannot go on after it.`);
  }
  return [scenario];
}

async function act(context: Context, chosenNames: readonly ScenarioName[], flags: Flags): Promise<ExitCode> {
  const out = flags.out === undefined ? undefined : emptyDirectory(context, flags.out);
  const abort = new AbortController();
  // Everything is killed at once anyway, so there is nothing that a second signal could hurry.
  const letGo = onSignals({ onStop: () => abort.abort(), onKill: () => undefined });
  const reports: DrillReport[] = [];
  try {
    for (const name of chosenNames) {
      const directory = out !== undefined && flags.all === true ? join(out, name) : out;
      reports.push(await drillOne(context, name, flags, { out: directory, signal: abort.signal }));
    }
  } catch (error) {
    if (abort.signal.aborted) throw fail('Interrupted', 'The drill was interrupted; its nodes are stopped.');
    if (error instanceof DrillError) throw fail('DrillFailed', error.message);
    throw error;
  } finally {
    letGo();
  }
  if (flags.json === true) printJson(context, flags.all === true ? reports : reports[0]);
  return reports.every(({ verdict }) => verdict === 'pass') ? 0 : 1;
}

async function drillOne(
  { terminal }: Context,
  name: ScenarioName,
  flags: Flags,
  { out, signal }: { readonly out: string | undefined; readonly signal: AbortSignal },
): Promise<DrillReport> {
  const { report, kept } = await runDrill(name, {
    bin,
    // With --all, scenarios that need five nodes get them.
    nodes: Math.max(flags.nodes ?? 3, scenarios[name].nodesMin),
    rounds: flags.rounds,
    acknowledgedMin: flags.acknowledged,
    signal,
    onProgress: (text) => line(terminal.err, text),
    ...(out === undefined ? {} : { out }),
  });
  const { green, red } = terminal.colors;
  if (flags.json !== true) line(terminal.out, (report.verdict === 'pass' ? green : red)(describeReport(report)));
  if (kept !== null) line(terminal.err, `data and node logs: ${kept}`);
  return report;
}

function emptyDirectory(context: Context, given: string): string {
  const directory = resolve(context.directory, given);
  if (existsSync(directory) && readdirSync(directory).length > 0) {
    throw fail(
      'OutNotEmpty',
      `${directory} is not empty: a drill starts with a cluster of its own.`,
      'Name a new one.',
    );
  }
  return directory;
}
