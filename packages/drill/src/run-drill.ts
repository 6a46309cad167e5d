import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DrillReport, runScenario, type ScenarioName, type ScenarioOptions, scenarios } from './scenario.ts';

export interface DrillOptions extends Omit<ScenarioOptions, 'directory' | 'nodes' | 'rounds' | 'acknowledgedMin'> {
  /** Default: as few as the scenario can do with. */
  readonly nodes?: number;
  readonly rounds?: number;
  readonly acknowledgedMin?: number;
  /** Empty or new: data and node logs go there and stay. Default: a temporary directory, removed after a pass. */
  readonly out?: string;
}

export const roundsDefault = 3;
export const acknowledgedMinDefault = 1000;

/** The drill could not be held: there is no verdict. */
export class DrillError extends Error {
  override readonly name = 'DrillError';
}

/** One drill in a directory of its own. `kept`: where data and node logs are, null when they are gone. */
export async function runDrill(
  name: ScenarioName,
  options: DrillOptions,
): Promise<{ readonly report: DrillReport; readonly kept: string | null }> {
  const { out, ...rest } = options;
  const directory = out ?? mkdtempSync(join(tmpdir(), 'kimberlite-drill-'));
  let keep = true;
  try {
    const report = await runScenario(name, {
      ...rest,
      directory,
      nodes: options.nodes ?? scenarios[name].nodesMin,
      rounds: options.rounds ?? roundsDefault,
      acknowledgedMin: options.acknowledgedMin ?? acknowledgedMinDefault,
    });
    keep = out !== undefined || report.verdict === 'fail';
    return { report, kept: keep ? directory : null };
  } catch (error) {
    if (options.signal?.aborted === true) {
      keep = out !== undefined;
      throw error;
    }
    const why = error instanceof Error ? error.message : String(error);
    throw new DrillError(`the drill ${name} could not be held: ${why}\nData and node logs: ${directory}`);
  } finally {
    if (!keep) rmSync(directory, { recursive: true, force: true });
  }
}
