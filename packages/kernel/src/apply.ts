import { assert, unreachable } from '@kimberlite/base';
import { applyDelete, applyInsert, applyUpdate, applyUpsert } from './apply-row.ts';
import {
  applyCreateIndex,
  applyCreateTable,
  applyCreateTenant,
  applyDeleteTenant,
  applyDropIndex,
  applyDropTable,
} from './apply-schema.ts';
import type { Command, QueryCommand } from './command.ts';
import { Draft } from './draft.ts';
import type { Effect } from './effect.ts';
import type { KernelError } from './error.ts';
import { commandHash, needsRoomForOutcome, recall, remember, windowTenant } from './idempotency.ts';
import { outcomeReserveBytes } from './limits.ts';
import type { Outcome } from './outcome.ts';
import { query } from './query.ts';
import { duplicateIdempotencyId } from './reject.ts';
import type { KernelState } from './state.ts';

/** A committed command with what consensus gave it. */
export interface CommittedCommand {
  /** One more than the position of the state it is applied to. Every command has one, rejected ones too. */
  readonly position: number;
  /** Op of the prepare it came in; several commands may share one. */
  readonly op: number;
  /** Of the op, in microseconds since 1970; never less than the one before. */
  readonly timestamp: number;
  /** Session of the client that asked; NotifyClient carries it back. */
  readonly session: number;
  /** Goes before the command's own. */
  readonly idempotencyId?: string;
  readonly command: Command;
}

export type Applied =
  | { readonly ok: true; readonly state: KernelState; readonly effects: readonly Effect[] }
  | {
      readonly ok: false;
      readonly error: KernelError;
      readonly state: KernelState;
      readonly effects: readonly Effect[];
    };

export interface AppliedBatch {
  readonly state: KernelState;
  /** One a command, in order. */
  readonly outcomes: readonly Outcome[];
  /** One list a command, in order. */
  readonly effects: readonly (readonly Effect[])[];
}

function runQuery(draft: Draft, command: QueryCommand): KernelError | undefined {
  const answer = query(draft, command.query);
  if (!answer.ok) return answer.error;
  assert(answer.value.position === draft.position, 'a query in the log answers at its own position');
  draft.result = answer.value;
  return undefined;
}

/** Does what one command says, or gives the reason why not and changes nothing. */
function execute(draft: Draft, command: Command): KernelError | undefined {
  switch (command.type) {
    case 'Insert':
      return applyInsert(draft, command);
    case 'Update':
      return applyUpdate(draft, command);
    case 'Upsert':
      return applyUpsert(draft, command);
    case 'Delete':
      return applyDelete(draft, command);
    case 'Query':
      return runQuery(draft, command);
    case 'CreateTenant':
      return applyCreateTenant(draft, command);
    case 'DeleteTenant':
      return applyDeleteTenant(draft, command);
    case 'CreateTable':
      return applyCreateTable(draft, command);
    case 'DropTable':
      return applyDropTable(draft, command);
    case 'CreateIndex':
      return applyCreateIndex(draft, command);
    case 'DropIndex':
      return applyDropIndex(draft, command);
    case 'Checkpoint':
      draft.emit({ type: 'FlushToDisk', op: draft.op, position: draft.position });
      draft.result = { scheduled: true };
      return undefined;
    case 'Compact':
      // Which checkpoint is the newest that a quorum has is no part of the state: the replicas agree on it themselves.
      draft.emit({ type: 'DeleteFile', name: 'checkpoint/superseded' });
      draft.emit({ type: 'DeleteFile', name: 'log/superseded' });
      draft.result = { scheduled: true };
      return undefined;
    case 'SetBudget':
      draft.budgetBytes = command.budgetBytes;
      return undefined;
    default:
      return unreachable(command);
  }
}

/** Runs a command that was not seen before. */
function runFirst(draft: Draft, command: Command): Outcome {
  draft.result = undefined;
  const error = execute(draft, command);
  const { position, op, timestamp, result } = draft;
  if (error !== undefined) {
    assert(!draft.emitted, 'a rejected command has no effects but its notification');
    draft.rejected++;
    return { ok: false, error, position };
  }
  draft.applied++;
  return result === undefined
    ? { ok: true, position, op, timestamp, isReplay: false }
    : { ok: true, position, op, timestamp, isReplay: false, result };
}

/** Runs a command once per idempotency id: later ones get the first outcome, and nothing changes. */
function runOnce(draft: Draft, command: Command, id: string): Outcome {
  const tenantId = windowTenant(command);
  const known = recall(draft, tenantId, id, draft.timestamp);
  const hash = commandHash(command);
  if (known !== undefined) {
    draft.replayed++;
    if (known.commandHash !== hash) {
      return { ok: false, error: duplicateIdempotencyId(id, known.position), position: draft.position };
    }
    return known.outcome.ok ? { ...known.outcome, isReplay: true } : known.outcome;
  }
  const full = needsRoomForOutcome(command) ? draft.growthProblem(0, outcomeReserveBytes) : undefined;
  if (full !== undefined) {
    draft.rejected++;
    return { ok: false, error: full, position: draft.position };
  }
  const outcome = runFirst(draft, command);
  // A retryable rejection may turn out differently next time. A tenant that does not exist remembers nothing:
  // otherwise made-up tenant ids would fill the state.
  const final = outcome.ok || !outcome.error.retryable;
  if (final && (tenantId === 0 || draft.tenant(tenantId) !== undefined)) remember(draft, tenantId, id, hash, outcome);
  return outcome;
}

/** Applies one command to the draft, which keeps its effects. */
function applyOne(draft: Draft, entry: CommittedCommand): Outcome {
  assert(entry.position === draft.position + 1, 'positions count every command');
  assert(entry.op >= draft.op && entry.timestamp >= draft.timestamp, 'ops and timestamps never go back');
  draft.position = entry.position;
  draft.op = entry.op;
  draft.timestamp = entry.timestamp;
  const { command } = entry;
  const id = command.type === 'Query' ? undefined : (entry.idempotencyId ?? command.idempotencyId);
  return id === undefined ? runFirst(draft, command) : runOnce(draft, command, id);
}

const notification = (entry: CommittedCommand, outcome: Outcome): Effect => ({
  type: 'NotifyClient',
  session: entry.session,
  outcome,
});

/**
 * Applies one committed command. Total on every validated command: a rejection is an outcome, not an exception,
 * and takes its position all the same (pitfall 37). `state` stays valid and unchanged.
 */
export function applyCommitted(state: KernelState, entry: CommittedCommand): Applied {
  const draft = new Draft(state);
  const outcome = applyOne(draft, entry);
  const effects = draft.takeEffects(notification(entry, outcome));
  const next = draft.finish();
  assert(next.position === state.position + 1, 'the position advances by one');
  return outcome.ok ? { ok: true, state: next, effects } : { ok: false, error: outcome.error, state: next, effects };
}

/** Applies commands in order; the same, to the byte, as one at a time, but each tree node is copied once only. */
export function applyBatch(state: KernelState, entries: readonly CommittedCommand[]): AppliedBatch {
  const draft = new Draft(state);
  const outcomes = new Array<Outcome>(entries.length);
  const effects = new Array<readonly Effect[]>(entries.length);
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as CommittedCommand;
    const outcome = applyOne(draft, entry);
    outcomes[i] = outcome;
    effects[i] = draft.takeEffects(notification(entry, outcome));
  }
  const next = draft.finish();
  assert(next.position === state.position + entries.length, 'the position advances by one a command');
  return { state: next, outcomes, effects };
}
