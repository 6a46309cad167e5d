import {
  explainProblems,
  formatNode as formatDirectory,
  type LoadedConfig,
  loadConfig,
  type NodeConfig,
  StartError,
} from '@kimberlite/node';
import type { Context } from './context.ts';
import { CliFailure, fail } from './failure.ts';

/** Flags of `start` and `format` by key, and the file. */
export type NodeFlags = Readonly<Record<string, unknown>> & { readonly config?: string };

export function configFrom(context: Context, flags: NodeFlags): LoadedConfig {
  const { config: given, json: _json, ...keys } = flags;
  const file = given ?? context.env['KIMBERLITE_CONFIG'];
  const loaded = loadConfig({ file, env: context.env, flags: keys });
  if (loaded.ok) return loaded.value;
  throw new CliFailure({
    code: 'ConfigInvalid',
    message: `The configuration cannot be used:\n${explainProblems(loaded.error)}`,
    problems: loaded.error,
  });
}

export async function formatNode(config: NodeConfig): Promise<void> {
  try {
    await formatDirectory(config);
  } catch (error) {
    if (error instanceof StartError) throw fail('CannotFormat', error.message);
    throw error;
  }
}

/** The configuration `dev` wrote for a node; its environment does not count. */
export function configOfFile(file: string): NodeConfig {
  const loaded = loadConfig({ file });
  if (loaded.ok) return loaded.value.config;
  throw fail('ConfigInvalid', `${file} cannot be used:\n${explainProblems(loaded.error)}`);
}
