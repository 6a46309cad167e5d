import {
  checkLinearizability,
  type Operation,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
} from '@kimberlite/sim';
import { type HashesAtOp, isDiverged } from './hashes.ts';
import type { Recorded } from './load.ts';

type Say = (problem: string) => void;

export interface FinalRow {
  readonly value: number;
  readonly version: number;
}

export interface FinalState {
  readonly rows: ReadonlyMap<string, FinalRow>;
  readonly registers: ReadonlyMap<string, FinalRow>;
}

export interface Evidence {
  readonly history: readonly Recorded[];
  /** What is there in the end; null: nobody could read it. */
  readonly final: FinalState | null;
  /** State hashes at equal ops, as often as they were compared. */
  readonly hashes: readonly HashesAtOp[];
  /** What went wrong beyond that, in words. */
  readonly troubles: readonly string[];
}

export interface Verdict {
  readonly verdict: 'pass' | 'fail';
  readonly acknowledged: number;
  readonly notApplied: number;
  readonly unknown: number;
  /** Acknowledged writes that are not there. */
  readonly lost: number;
  /** Writes that took effect more than once, or although they were reported as not applied. */
  readonly duplicated: number;
  readonly linearizable: boolean;
  /** Times that replicas had different state hashes at one op. */
  readonly diverged: number;
  /** One line a problem, the first few of all. */
  readonly problems: readonly string[];
}

const problemsMax = 20;

/** Holds what clients were told against what is there. Every problem is a broken promise, none is noise. */
export function judge({ history, final, hashes, troubles }: Evidence): Verdict {
  const problems = troubles.slice(0, problemsMax);
  const say = (problem: string): void => {
    if (problems.length < problemsMax) problems.push(problem);
  };
  const lost = final === null ? 0 : judgeLost(history, final, say);
  const duplicated = judgeInserts(history, final, say) + (final === null ? 0 : judgeVersions(history, final, say));
  const diverged = judgeHashes(hashes, say);
  const linearizable = judgeOrder(history, final, say);
  const count = (outcome: Recorded['outcome']): number => history.filter((call) => call.outcome === outcome).length;
  return {
    verdict: problems.length === 0 ? 'pass' : 'fail',
    acknowledged: count('ok'),
    notApplied: count('not-applied'),
    unknown: count('unknown'),
    lost,
    duplicated,
    linearizable,
    diverged,
    problems,
  };
}

/** Nothing is ever deleted: of every row and register with an acknowledged write something is there. */
function judgeLost(history: readonly Recorded[], final: FinalState, say: Say): number {
  const gone = new Map<string, Recorded>();
  for (const call of history) {
    if (call.kind === 'read' || call.outcome !== 'ok') continue;
    const table = call.kind === 'insert' ? 'rows' : 'registers';
    if (!final[table].has(call.key)) gone.set(`${table} ${call.key}`, call);
  }
  for (const [name, { position }] of gone) say(`${name} was acknowledged at position ${position} and is not there`);
  return gone.size;
}

/** Each id is inserted by one call only, so a rejection as a duplicate is that call having run twice. */
function judgeInserts(history: readonly Recorded[], final: FinalState | null, say: Say): number {
  const rows = final?.rows ?? new Map<string, FinalRow>();
  let wrong = 0;
  const tried = new Set<string>();
  for (const call of history) {
    if (call.kind !== 'insert') continue;
    tried.add(call.key);
    const row = rows.get(call.key);
    if (call.code === 'DuplicateKey') {
      wrong++;
      say(`the insert of row ${call.key} ran twice: ${call.error}`);
    } else if (call.outcome === 'not-applied' && row !== undefined) {
      wrong++;
      say(`row ${call.key} was reported as not applied (${call.error}) and is there, at position ${row.version}`);
    }
  }
  for (const key of rows.keys()) {
    if (tried.has(key)) continue;
    wrong++;
    say(`row ${key} is there and nobody inserted it`);
  }
  return wrong;
}

function judgeHashes(hashes: readonly HashesAtOp[], say: Say): number {
  const differing = hashes.filter(isDiverged);
  for (const { op, hashes: found } of differing) {
    const each = found.map((hash, replica) => `replica ${replica} ${hash}`).join(', ');
    say(`state hashes differ at op ${op}: ${each}`);
  }
  return differing.length;
}

/** A row's version is the position of its last write: another one means that the write ran again. */
function judgeVersions(history: readonly Recorded[], final: FinalState, say: Say): number {
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

type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

function judgeOrder(history: readonly Recorded[], final: FinalState | null, say: Say): boolean {
  const operations = [...operationsOf(history), ...(final === null ? [] : lastReads(history, final.registers))];
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

/** What is reported as not applied is left out: whoever reads its value has read what nobody wrote. */
function operationsOf(history: readonly Recorded[]): RegisterOperation[] {
  const operations: RegisterOperation[] = [];
  for (const call of history) {
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
  return operations;
}

/** The rows read at the very end are one more read of every register. */
function lastReads(history: readonly Recorded[], registers: ReadonlyMap<string, FinalRow>): RegisterOperation[] {
  let end = 0;
  for (const { invokedAt, returnedAt } of history) {
    end = Math.max(end, Number.isFinite(returnedAt) ? returnedAt : invokedAt);
  }
  return [...registers].map(([key, row]) => ({
    key,
    client: 'final',
    input: { type: 'read' },
    invokedAt: end + 1,
    returned: { at: end + 2, output: { type: 'value', value: String(row.value) } },
  }));
}
