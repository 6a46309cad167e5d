import { assert, unreachable } from '@kimberlite/base';
import type { Command } from './command.ts';
import { Digest } from './digest.ts';
import type { Draft } from './draft.ts';
import { digestEntity, outcomePlain, part } from './entry-digest.ts';
import { intKey, tenantKey } from './key.ts';
import { idempotencyAgeMaxUs, idempotencyEvictionsPerCommand, idempotencyWindowMax } from './limits.ts';
import type { Outcome } from './outcome.ts';
import { type Plain, scratch, zeroDigest } from './packed.ts';
import type { IdempotencyWindow, RememberedOutcome } from './state.ts';

// A window per tenant, so that nobody evicts another's outcomes. The kernel page says LRU; but a hit must
// not change state, so the order is by first use, which is by position.

/** The tenant whose window remembers the command; 0 for what concerns the cluster or outlives its tenant. */
export function windowTenant(command: Command): number {
  switch (command.type) {
    case 'CreateTenant':
    case 'DeleteTenant':
    case 'Checkpoint':
    case 'Compact':
    case 'SetBudget':
      return 0;
    case 'Query':
      return command.query.tenantId;
    default:
      return command.tenantId;
  }
}

/**
 * Whether a command with an idempotency id has to leave room for its outcome. Outcomes are state: without this,
 * commands that themselves add nothing would fill it past its budget. What makes room always goes on.
 */
export function needsRoomForOutcome(command: Command): boolean {
  switch (command.type) {
    case 'Insert':
    case 'Update':
    case 'Upsert':
    case 'CreateTenant':
    case 'CreateTable':
    case 'CreateIndex':
      return true;
    case 'Delete':
    case 'DeleteTenant':
    case 'DropTable':
    case 'DropIndex':
    case 'SetBudget':
    case 'Checkpoint':
    case 'Compact':
    case 'Query':
      return false;
    default:
      return unreachable(command);
  }
}

const hashed = new Digest();

/** Identifies a command by its canonical form, without the idempotency id itself. */
export function commandHash(command: Command): string {
  assert(command.type !== 'Query', 'a query takes no idempotency id');
  const { idempotencyId: _, ...rest } = command;
  scratch.reset();
  // A command is plain data by its definition; only its interfaces do not say so to the compiler.
  scratch.plain(rest as unknown as Plain);
  scratch.hash(hashed, zeroDigest);
  return hashed.hex();
}

/** The outcome remembered for an id, unless it is too old. */
export function recall(draft: Draft, tenantId: number, id: string, timestamp: number): RememberedOutcome | undefined {
  const found = draft.idempotency.get(tenantKey(tenantId))?.byId.get(id);
  if (found === undefined) return undefined;
  assert(found.timestamp <= timestamp, 'nothing is remembered from the future');
  return timestamp - found.timestamp > idempotencyAgeMaxUs ? undefined : found;
}

const outcomeKey = (tenantId: number, position: number): string => tenantKey(tenantId) + intKey(position);

/** Hashes a remembered outcome into `out`. Gives the bytes it counts for. */
export function digestOutcome(out: Digest, tenantId: number, remembered: Omit<RememberedOutcome, 'bytes'>): number {
  return digestEntity(out, part.outcome, outcomeKey(tenantId, remembered.position), outcomePlain(remembered));
}

function forgetOne(draft: Draft, window: IdempotencyWindow, old: RememberedOutcome): void {
  digestOutcome(hashed, window.tenantId, old);
  window.byId = window.byId.delete(old.idempotencyId, draft.edit);
  window.byPosition = window.byPosition.delete(intKey(old.position), draft.edit);
  window.digest.subtract(hashed);
  draft.digest.subtract(hashed);
  window.usedBytes -= old.bytes;
  draft.count(0, -old.bytes);
  assert(window.byId.size === window.byPosition.size, 'both orders of a window hold the same outcomes');
}

/** Makes room for one more: by count, and a few of those past their age. */
function evict(draft: Draft, window: IdempotencyWindow): void {
  for (let i = 0; i < idempotencyEvictionsPerCommand; i++) {
    const oldest = window.byPosition.ascend();
    if (oldest.key === undefined) return;
    const tooMany = window.byPosition.size >= idempotencyWindowMax;
    if (!tooMany && draft.timestamp - oldest.value.timestamp <= idempotencyAgeMaxUs) return;
    forgetOne(draft, window, oldest.value);
  }
}

/** Remembers the outcome of the command just applied. */
export function remember(draft: Draft, tenantId: number, id: string, hash: string, outcome: Outcome): void {
  const window = draft.ownWindow(tenantId);
  const stale = window.byId.get(id);
  if (stale !== undefined) forgetOne(draft, window, stale);
  evict(draft, window);
  const { position, timestamp } = draft;
  const parts = { idempotencyId: id, position, timestamp, commandHash: hash, outcome };
  const bytes = digestOutcome(hashed, tenantId, parts);
  const remembered: RememberedOutcome = { ...parts, bytes };
  window.byId = window.byId.set(id, remembered, draft.edit);
  window.byPosition = window.byPosition.set(intKey(position), remembered, draft.edit);
  window.digest.add(hashed);
  draft.digest.add(hashed);
  window.usedBytes += bytes;
  draft.count(0, bytes);
  assert(window.byPosition.size <= idempotencyWindowMax, 'a window is bounded');
}
