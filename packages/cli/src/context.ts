import type { Command } from 'commander';
import { chooseEndpoints, type Endpoints, endpointsHelp } from './endpoints.ts';
import { UsageFailure } from './failure.ts';
import { line, type Terminal } from './terminal.ts';

/** What a command of the CLI has of the world around it. */
export interface Context {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly directory: string;
  /** All of stdin as text, for the argument `-`. */
  readonly readStdin: () => Promise<string>;
}

/** What every action resolves to: the exit code. */
export type ExitCode = 0 | 1;

export interface ClusterOptions {
  readonly endpoints?: string;
  readonly json?: boolean;
}

export const withJson = (command: Command): Command =>
  command.option('--json', 'one JSON document on stdout, nothing else there');

export const withCluster = (command: Command): Command => withJson(command.option('--endpoints <list>', endpointsHelp));

export const endpointsOf = (context: Context, options: ClusterOptions): Endpoints =>
  chooseEndpoints(options.endpoints, context.env, context.directory);

export const printJson = (context: Context, value: unknown): void => line(context.terminal.out, JSON.stringify(value));

/** Examples below a command's help: a line of comment, then what to type. */
export function examples(command: Command, lines: readonly (readonly [about: string, typed: string])[]): Command {
  const body = lines.map(([about, typed]) => `  # ${about}\n  $ ${typed}`).join('\n\n');
  return command.addHelpText('after', `\nExamples:\n${body}\n`);
}

/** For `argParser`: a whole number within bounds. */
export const wholeNumber =
  (what: string, min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new UsageFailure(`${what} must be a whole number from ${min} to ${max}, not "${text}".`);
    }
    return value;
  };
