import { assert } from '@kimberlite/base';
import type { Digest } from './digest.ts';
import type { Effect } from './effect.ts';
import type { KernelError } from './error.ts';
import { namedKey, tenantKey } from './key.ts';
import { type Edit, newEdit, type OrderedMap } from './ordered-map.ts';
import type { CommandResult } from './outcome.ts';
import { quotaExceeded } from './reject.ts';
import type { IdempotencyWindow, IndexState, KernelState, Metrics, TableState, TenantState } from './state.ts';
import { emptyWindow } from './state.ts';

/**
 * The state a batch is building. Commands check first and change afterwards, so a rejected one leaves no trace.
 * Records and tree nodes are copied once a batch, the first time they are to change (their `edit` is not this
 * draft's), and changed in place from then on: nobody else has seen them yet.
 */
export class Draft {
  readonly edit: Edit = newEdit();
  position: number;
  op: number;
  timestamp: number;
  budgetBytes: number;
  usedBytes: number;
  tenants: OrderedMap<TenantState>;
  tables: OrderedMap<TableState>;
  indexes: OrderedMap<IndexState>;
  idempotency: OrderedMap<IdempotencyWindow>;
  readonly digest: Digest;
  applied: number;
  rejected: number;
  replayed: number;
  /** What the command being applied gives back; undefined: nothing but that it happened. */
  result: CommandResult | undefined;
  /** The table and tenant touched last: batches mostly stay with one. */
  private lastTable: TableState | undefined;
  private lastTenant: TenantState | undefined;
  /** Effects of the command being applied. Nearly all have at most one, which needs no list of its own. */
  private firstEffect: Effect | undefined;
  private moreEffects: Effect[] | undefined;

  constructor(state: KernelState) {
    this.position = state.position;
    this.op = state.op;
    this.timestamp = state.timestamp;
    this.budgetBytes = state.budgetBytes;
    this.usedBytes = state.usedBytes;
    this.tenants = state.tenants;
    this.tables = state.tables;
    this.indexes = state.indexes;
    this.idempotency = state.idempotency;
    this.digest = state.digest.copy();
    this.applied = state.metrics.applied;
    this.rejected = state.metrics.rejected;
    this.replayed = state.metrics.replayed;
    this.result = undefined;
    this.lastTable = undefined;
    this.lastTenant = undefined;
    this.firstEffect = undefined;
    this.moreEffects = undefined;
  }

  /** Adds an effect of the command being applied. */
  emit(effect: Effect): void {
    if (this.firstEffect === undefined) this.firstEffect = effect;
    else if (this.moreEffects === undefined) this.moreEffects = [effect];
    else this.moreEffects.push(effect);
  }

  /** Whether the command being applied has had effects. */
  get emitted(): boolean {
    return this.firstEffect !== undefined;
  }

  /** The effects of the command just applied, closed by the notification of its client. */
  takeEffects(notification: Effect): readonly Effect[] {
    const { firstEffect: first, moreEffects: more } = this;
    if (first === undefined) return [notification];
    this.firstEffect = undefined;
    if (more === undefined) return [first, notification];
    this.moreEffects = undefined;
    return [first, ...more, notification];
  }

  /** The finished state. The draft, and with it the edit token, must not be used afterwards. */
  finish(): KernelState {
    assert(this.usedBytes >= 0, 'the bytes of state are never negative');
    const metrics: Metrics = { applied: this.applied, rejected: this.rejected, replayed: this.replayed };
    return {
      position: this.position,
      op: this.op,
      timestamp: this.timestamp,
      budgetBytes: this.budgetBytes,
      usedBytes: this.usedBytes,
      tenants: this.tenants,
      tables: this.tables,
      indexes: this.indexes,
      idempotency: this.idempotency,
      digest: this.digest,
      metrics,
    };
  }

  table(tenantId: number, name: string): TableState | undefined {
    const last = this.lastTable;
    if (last !== undefined && last.tenantId === tenantId && last.name === name) return last;
    const found = this.tables.get(namedKey(tenantId, name));
    if (found !== undefined) this.lastTable = found;
    return found;
  }

  tenant(tenantId: number): TenantState | undefined {
    const last = this.lastTenant;
    if (last !== undefined && last.tenantId === tenantId) return last;
    const found = this.tenants.get(tenantKey(tenantId));
    if (found !== undefined) this.lastTenant = found;
    return found;
  }

  /** The table as this draft may change it. */
  ownTable(table: TableState): TableState {
    if (table.edit === this.edit) return table;
    const own: TableState = { ...table, edit: this.edit, digest: table.digest.copy() };
    this.tables = this.tables.set(table.key, own, this.edit);
    this.lastTable = own;
    return own;
  }

  ownTenant(tenantId: number): TenantState {
    const tenant = this.tenant(tenantId);
    assert(tenant !== undefined, 'what belongs to a tenant exists only while the tenant does');
    if (tenant.edit === this.edit) return tenant;
    const own: TenantState = { ...tenant, edit: this.edit };
    this.tenants = this.tenants.set(tenantKey(tenantId), own, this.edit);
    this.lastTenant = own;
    return own;
  }

  ownIndex(index: IndexState): IndexState {
    if (index.edit === this.edit) return index;
    const own: IndexState = { ...index, edit: this.edit };
    this.indexes = this.indexes.set(index.key, own, this.edit);
    return own;
  }

  ownWindow(tenantId: number): IdempotencyWindow {
    const key = tenantKey(tenantId);
    const found = this.idempotency.get(key);
    if (found !== undefined && found.edit === this.edit) return found;
    const own: IdempotencyWindow =
      found === undefined
        ? emptyWindow(tenantId, this.edit)
        : { ...found, edit: this.edit, digest: found.digest.copy() };
    this.idempotency = this.idempotency.set(key, own, this.edit);
    return own;
  }

  /** After a table or tenant went away. */
  forget(): void {
    this.lastTable = undefined;
    this.lastTenant = undefined;
  }

  /** The index with this key, which a table names. */
  indexOf(key: string): IndexState {
    const index = this.indexes.get(key);
    assert(index !== undefined, 'an index named by its table exists');
    assert(index.key === key, 'an index is kept under its own key');
    return index;
  }

  /** Why `bytes` more do not fit, for the cluster or for the tenant they belong to (0: none). */
  growthProblem(tenantId: number, bytes: number): KernelError | undefined {
    if (bytes <= 0) return undefined;
    if (this.usedBytes + bytes > this.budgetBytes) {
      const { usedBytes, budgetBytes: limitBytes } = this;
      return quotaExceeded({ scope: 'cluster', usedBytes, neededBytes: bytes, limitBytes });
    }
    if (tenantId === 0) return undefined;
    const tenant = this.tenant(tenantId);
    assert(tenant !== undefined, 'what belongs to a tenant exists only while the tenant does');
    const { usedBytes, quotaBytes } = tenant;
    if (quotaBytes === null || usedBytes + bytes <= quotaBytes) return undefined;
    return quotaExceeded({ scope: 'tenant', usedBytes, neededBytes: bytes, limitBytes: quotaBytes });
  }

  /** Counts bytes that came (or, negative, went) with something of a tenant (0: of none). */
  count(tenantId: number, bytes: number): void {
    assert(Number.isSafeInteger(bytes), 'bytes are counted exactly');
    this.usedBytes += bytes;
    if (tenantId !== 0) this.ownTenant(tenantId).usedBytes += bytes;
  }
}
