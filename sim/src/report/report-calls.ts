import { answerOf, operationsOf } from '../checkers/operations.ts';
import { checkLinearizability } from '../checkers/linearizability.ts';
import { registerModel } from '../checkers/register.ts';
import type { Failure } from '../checkers/checker.ts';
import { type Call, History } from '../history.ts';
import type { RegisterChange, ReportCall } from './report-data.ts';
import type { RunEvent } from './run-event.ts';
import { describeEnd } from './summarise.ts';

/** Steps per register: a picture is worth a moment, not a minute. */
const pictureBudgets: readonly number[] = [4_096, 65_536];

const registerOf = (call: Call): string => `${call.table}/${call.key}`;

/** Calls that no order of their register explains, by `invokedAt`, which no two calls share. */
function unexplained(
  calls: readonly Call[],
): { readonly register: string; readonly invokedAt: ReadonlySet<number> } | null {
  const history = new History();
  history.calls.push(...calls);
  const verdict = checkLinearizability(registerModel, operationsOf(history), pictureBudgets);
  if (verdict.type !== 'violation') return null;
  const { key, operations, longestOrder } = verdict.violation;
  const explained = new Set(longestOrder);
  const rest = operations.filter((operation, index) => operation.returned !== null && !explained.has(index));
  return { register: key, invokedAt: new Set(rest.map(({ invokedAt }) => invokedAt)) };
}

/** The position whose acknowledgement a failure's message holds against a later call. */
function acknowledgedPosition({ message }: Failure): number | null {
  const [, position] = /position (\d+) was acknowledged/.exec(message) ?? [];
  return position === undefined ? null : Number(position);
}

/** Calls a failure is about: named in its message, or back at that very moment, and what contradicts them. */
function accused(calls: readonly Call[], failure: Failure): ReadonlySet<number> {
  const position = acknowledgedPosition(failure);
  const before = calls.filter((call) => call.type !== 'get' && answerOf(call)?.position === position);
  const words = new Set(failure.message.split(/[^A-Za-z0-9-]+/));
  const named = calls.filter(({ marker }) => marker !== '' && words.has(marker));
  const now = calls.filter(({ end }) => end !== null && end.returnedUs === failure.atUs);
  return new Set([...before, ...(named.length > 0 ? named : now)].map(({ invokedAt }) => invokedAt));
}

/** What each register held, as the log has it: the first execution of each position, in order. */
export function registerChanges(events: readonly RunEvent[], calls: readonly Call[]): readonly RegisterChange[] {
  const byMarker = new Map(calls.map((call) => [call.marker, call]));
  const changes: RegisterChange[] = [];
  let highest = 0;
  for (const event of events) {
    if (event.kind !== 'executed' || event.position <= highest) continue;
    highest = event.position;
    const { atUs, position, commands } = event;
    for (const { marker, tookEffect } of commands) {
      const call = marker === null ? undefined : byMarker.get(marker);
      if (call === undefined || !tookEffect) continue;
      const value = call.type === 'delete' ? null : call.marker;
      changes.push({ register: registerOf(call), atUs, value, position });
    }
  }
  return changes;
}

function firstExecutions(events: readonly RunEvent[]): ReadonlyMap<string, number> {
  const first = new Map<string, number>();
  for (const event of events) {
    if (event.kind !== 'executed') continue;
    for (const { marker } of event.commands) if (marker !== null && !first.has(marker)) first.set(marker, event.atUs);
  }
  return first;
}

function reportCall(call: Call, executedUs: number | null, suspect: boolean): ReportCall {
  const { id, client, type, marker, invokedUs, end } = call;
  const told = end?.type === 'ok' || end?.type === 'rejected' ? end : null;
  return {
    id,
    client,
    register: registerOf(call),
    type,
    marker,
    invokedUs,
    returnedUs: end?.returnedUs ?? null,
    outcome: end?.type ?? 'open',
    result: describeEnd(end, type === 'get'),
    value: end?.type === 'ok' ? end.value : null,
    op: told?.op ?? null,
    executedUs,
    suspect,
  };
}

export interface ReportCalls {
  readonly calls: readonly ReportCall[];
  readonly changes: readonly RegisterChange[];
  readonly register: string | null;
}

/** Every call, with those the failure is about marked, and the register to look at first. */
export function reportCalls(calls: readonly Call[], events: readonly RunEvent[], failure: Failure | null): ReportCalls {
  const violation = unexplained(calls);
  const suspects = violation?.invokedAt ?? (failure === null ? new Set<number>() : accused(calls, failure));
  const executedUs = firstExecutions(events);
  const reported = calls.map((call) =>
    reportCall(call, executedUs.get(call.marker) ?? null, suspects.has(call.invokedAt)),
  );
  const register =
    violation?.register ?? reported.findLast(({ suspect }) => suspect)?.register ?? reported.at(-1)?.register;
  return { calls: reported, changes: registerChanges(events, calls), register: register ?? null };
}
