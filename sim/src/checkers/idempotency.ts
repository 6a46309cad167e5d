import { idempotencyAgeMaxUs, idempotencyWindowMax, type Outcome } from '@kimberlite/kernel';
import type { Checker, Fail } from './checker.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';

interface Remembered {
  readonly command: string;
  readonly outcome: Outcome;
  readonly timestamp: number;
}

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** One text per command, whatever the order of its fields; without the id itself. */
function textOf(value: unknown, leaveOut?: string): string {
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item)).join()}]`;
  if (!isFields(value) || value instanceof Uint8Array) return `${typeof value} ${String(value)}`;
  const names = Object.keys(value).filter((name) => name !== leaveOut);
  return `{${names.sort().map((name) => `${name}:${textOf(value[name])}`)}}`;
}

const clusterWide: ReadonlySet<unknown> = new Set([
  'CreateTenant',
  'DeleteTenant',
  'Checkpoint',
  'Compact',
  'SetBudget',
]);
const windowOf = ({ type, tenantId }: Fields): string => (clusterWide.has(type) ? '0' : String(tenantId));

function sameOutcome(a: Outcome, b: Outcome): boolean {
  if (a.position !== b.position || a.ok !== b.ok) return false;
  if (!a.ok || !b.ok) return !a.ok && !b.ok && a.error.code === b.error.code;
  return a.op === b.op && a.timestamp === b.timestamp && textOf(a.result) === textOf(b.result);
}

/** An outcome that is not a replay names its own place. */
function isOwn(outcome: Outcome, entry: LedgerEntry, position: number): boolean {
  if (!outcome.ok) return outcome.position === position;
  const { op, timestamp } = entry.request;
  return !outcome.isReplay && outcome.position === position && outcome.op === op && outcome.timestamp === timestamp;
}

/**
 * Exactly once per idempotency id and tenant, across clients and restarts: the second of two equal commands gets the
 * first one's outcome, `isReplay` and all, and nothing else does; a different command under the same id, and nothing
 * else, gets DuplicateIdempotencyId. Whatever is no replay tells its own position, op and timestamp.
 */
export function idempotency(ledger: Ledger, fail: Fail): Checker {
  const windows = new Map<string, Map<string, Remembered>>();

  const remember = (window: string, id: string, remembered: Remembered): void => {
    let known = windows.get(window);
    if (known === undefined) {
      known = new Map();
      windows.set(window, known);
    }
    for (const [old] of known) {
      if (known.size < idempotencyWindowMax) break;
      known.delete(old);
    }
    known.set(id, remembered);
  };

  const onSecond = (what: string, first: Remembered, command: string, outcome: Outcome): void => {
    const isDuplicate = !outcome.ok && outcome.error.code === 'DuplicateIdempotencyId';
    if (first.command !== command) {
      if (!isDuplicate) fail('idempotency', `${what} is another command than the first, and is not refused for it`);
      return;
    }
    const isReplay = sameOutcome(first.outcome, outcome) && (!outcome.ok || outcome.isReplay);
    if (!isReplay) fail('idempotency', `${what} was executed at position ${first.outcome.position}, and is again`);
  };

  const onCommand = (entry: LedgerEntry, command: unknown, outcome: Outcome, position: number): void => {
    const { op, timestamp } = entry.request;
    const id = isFields(command) ? command['idempotencyId'] : undefined;
    const own = isOwn(outcome, entry, position);
    if (!isFields(command) || typeof id !== 'string') {
      if (!own) fail('idempotency', `the outcome of position ${position}, op ${op}, tells of another place`);
      return;
    }
    const what = `idempotency id ${id} at position ${position}, op ${op},`;
    const window = windowOf(command);
    const text = textOf(command, 'idempotencyId');
    const first = windows.get(window)?.get(id);
    if (first !== undefined && timestamp - first.timestamp <= idempotencyAgeMaxUs) {
      return onSecond(what, first, text, outcome);
    }
    if (!own) fail('idempotency', `${what} is new, and gets the outcome of another place`);
    if (!outcome.ok && outcome.error.code === 'DuplicateIdempotencyId')
      fail('idempotency', `${what} is new, and refused`);
    const isKept = outcome.ok || (!outcome.error.retryable && outcome.error.code !== 'TenantNotFound');
    if (isKept) remember(window, id, { command: text, outcome, timestamp });
  };

  ledger.onEntry((entry) => {
    entry.outcomes.forEach((outcome, index) =>
      onCommand(entry, entry.commands[index], outcome, entry.position + index),
    );
  });
  return { name: 'idempotency' };
}
