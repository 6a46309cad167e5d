import {
  checkLinearizability,
  type Operation,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
} from '@kimberlite/sim';
import type { Recorded } from './load.ts';

export interface FinalRow {
  readonly value: number;
  readonly version: number;
}

export interface FinalState {
  readonly rows: ReadonlyMap<string, FinalRow>;
  readonly registers: ReadonlyMap<string, FinalRow>;
}

export interface Verdict {
  readonly acknowledged: number;
  readonly notApplied: number;
  readonly unknown: number;
  /** Acknowledged writes that are not there. */
  readonly lost: number;
  /** Writes that took effect more than once, or although they were reported as not applied. */
  readonly duplicated: number;
  readonly linearizable: boolean;
  /** One line a problem, the first few of each kind. */
  readonly problems: readonly string[];
}

const problemsMax = 20;

/** Holds what clients were told against what is there. Every problem is a broken promise, none is noise. */
export function judge(history: readonly Recorded[], final: FinalState): Verdict {
  const problems: string[] = [];
  const say = (problem: string): void => {
    if (problems.length < problemsMax) problems.push(problem);
  };
  const inserts = judgeInserts(history, final.rows, say);
  const versions = judgeVersions(history, final, say);
  const linearizable = judgeOrder(history, final.registers, say);
  const count = (outcome: Recorded['outcome']): number => history.filter((call) => call.outcome === outcome).length;
  return {
    acknowledged: count('ok'),
    notApplied: count('not-applied'),
    unknown: count('unknown'),
    lost: inserts.lost,
    duplicated: inserts.duplicated + versions,
    linearizable,
    problems,
  };
}

/** Each id is inserted by one call only, so any rejection as a duplicate is that call having run twice. */
function judgeInserts(
  history: readonly Recorded[],
  rows: ReadonlyMap<string, FinalRow>,
  say: (problem: string) => void,
): { lost: number; duplicated: number } {
  let lost = 0;
  let duplicated = 0;
  const tried = new Set<string>();
  for (const call of history) {
    if (call.kind !== 'insert') continue;
    tried.add(call.key);
    const row = rows.get(call.key);
    if (call.outcome === 'ok' && row === undefined) {
      lost++;
      say(`row ${call.key} was acknowledged at position ${call.position} and is not there`);
    }
    if (call.outcome === 'not-applied' && row !== undefined) {
      duplicated++;
      say(`row ${call.key} was reported as not applied (${call.error}) and is there, at position ${row.version}`);
    }
    if (call.error?.includes('DuplicateKey') === true) {
      duplicated++;
      say(`the insert of row ${call.key} ran twice: ${call.error}`);
    }
  }
  for (const key of rows.keys()) {
    if (tried.has(key)) continue;
    duplicated++;
    say(`row ${key} is there and nobody inserted it`);
  }
  return { lost, duplicated };
}

/** A row's version is the position of its last write: another one means that the write ran again. */
function judgeVersions(history: readonly Recorded[], final: FinalState, say: (problem: string) => void): number {
  let wrong = 0;
  const positions = new Map<number, number>();
  for (const call of history) {
    if (call.position !== undefined && call.value !== null) positions.set(call.value, call.position);
  }
  for (const [table, rows] of Object.entries({ rows: final.rows, registers: final.registers })) {
    for (const [key, row] of rows) {
      const position = positions.get(row.value);
      if (position === undefined || position === row.version) continue;
      wrong++;
      say(`${table} ${key}: value ${row.value} was acknowledged at position ${position} but written at ${row.version}`);
    }
  }
  return wrong;
}

function judgeOrder(
  history: readonly Recorded[],
  registers: ReadonlyMap<string, FinalRow>,
  say: (problem: string) => void,
): boolean {
  const operations: Operation<RegisterInput, RegisterOutput>[] = [];
  let end = 0;
  for (const call of history) {
    if (Number.isFinite(call.returnedAt)) end = Math.max(end, call.returnedAt);
    if (call.kind === 'insert' || call.outcome === 'not-applied') continue;
    if (call.kind === 'read' && call.outcome === 'unknown') continue;
    const { key, invokedAt, returnedAt } = call;
    const input: RegisterInput = call.kind === 'read' ? { type: 'read' } : { type: 'write', value: String(call.value) };
    const output: RegisterOutput =
      call.kind === 'read'
        ? { type: 'value', value: call.value === null ? null : String(call.value) }
        : { type: 'done' };
    const returned = call.outcome === 'ok' ? { at: returnedAt, output } : null;
    operations.push({ key, client: String(call.client), input, invokedAt, returned });
  }
  // The rows read at the very end are one more read of every register.
  for (const [key, row] of registers) {
    const output: RegisterOutput = { type: 'value', value: String(row.value) };
    operations.push({
      key,
      client: 'final',
      input: { type: 'read' },
      invokedAt: end + 1,
      returned: { at: end + 2, output },
    });
  }
  const verdict = checkLinearizability(registerModel, operations);
  if (verdict.type === 'ok') return true;
  if (verdict.type === 'budget-exceeded') {
    say(`the linearizability checker gave up on ${verdict.keys.join(', ')} after ${verdict.steps} steps`);
    return false;
  }
  const { key, operations: shortest } = verdict.violation;
  const lastFew = shortest
    .slice(-8)
    .map((o) => `${o.client} ${JSON.stringify(o.input)} → ${JSON.stringify(o.returned?.output ?? 'unknown')}`);
  say(`register ${key} is not linearizable; its history ends: ${lastFew.join('; ')}`);
  return false;
}
