import type { Query } from './query-types.ts';
import type { Column, ColumnInput, Row } from './value.ts';

// Commands as they look after `validate`: normalised, so that one meaning has one form. All of it is plain
// data that survives JSON and MessagePack, and `validate` accepts its own output unchanged.

interface Idempotent {
  /** 1 to 128 bytes of text of the client's choosing; remembered per tenant within the documented window. */
  readonly idempotencyId?: string;
}

export interface CreateTenant extends Idempotent {
  readonly type: 'CreateTenant';
  /** From 1. */
  readonly tenantId: number;
  readonly name: string;
  /** Bytes this tenant's rows may take; without it only the cluster's budget binds. */
  readonly quotaBytes?: number;
}

export interface DeleteTenant extends Idempotent {
  readonly type: 'DeleteTenant';
  readonly tenantId: number;
}

export interface CreateTable extends Idempotent {
  readonly type: 'CreateTable';
  readonly tenantId: number;
  readonly table: string;
  /** In the order they were given. */
  readonly columns: readonly Column[];
  /** At least one; none nullable, none json. */
  readonly primaryKey: readonly string[];
}

export interface DropTable extends Idempotent {
  readonly type: 'DropTable';
  readonly tenantId: number;
  readonly table: string;
}

export interface CreateIndex extends Idempotent {
  readonly type: 'CreateIndex';
  readonly tenantId: number;
  readonly table: string;
  /** Unique within the tenant. */
  readonly index: string;
  readonly columns: readonly string[];
  /** A row with a null in one of the columns never collides. */
  readonly unique: boolean;
}

export interface DropIndex extends Idempotent {
  readonly type: 'DropIndex';
  readonly tenantId: number;
  readonly index: string;
}

export interface Insert extends Idempotent {
  readonly type: 'Insert';
  readonly tenantId: number;
  readonly table: string;
  readonly row: Row;
}

export interface Update extends Idempotent {
  readonly type: 'Update';
  readonly tenantId: number;
  readonly table: string;
  /** Every primary key column, and nothing else. */
  readonly key: Row;
  /** Columns outside the primary key. */
  readonly set: Row;
  /** Applies only while the row's `$version` is this. */
  readonly ifVersion?: number;
}

/** Inserts the row, or replaces all of it. */
export interface Upsert extends Idempotent {
  readonly type: 'Upsert';
  readonly tenantId: number;
  readonly table: string;
  readonly row: Row;
  /** Applies only while the row's `$version` is this; 0: only while there is no such row. */
  readonly ifVersion?: number;
}

export interface Delete extends Idempotent {
  readonly type: 'Delete';
  readonly tenantId: number;
  readonly table: string;
  readonly key: Row;
  readonly ifVersion?: number;
}

/** A read that goes through the log. Takes no idempotency id: it changes nothing. */
export interface QueryCommand {
  readonly type: 'Query';
  readonly query: Query;
}

/** Makes its op an extra checkpoint op on every replica; the outcome means scheduled. A repetition schedules nothing. */
export interface Checkpoint extends Idempotent {
  readonly type: 'Checkpoint';
}

/**
 * Lets every replica delete, at once, the older checkpoints and the log that the newest checkpoint of a quorum makes
 * superfluous, which it otherwise keeps for as long as its retention says; the outcome means scheduled.
 */
export interface Compact extends Idempotent {
  readonly type: 'Compact';
}

/** Bounds the bytes of state in the whole cluster; past it growing commands are rejected with QuotaExceeded. */
export interface SetBudget extends Idempotent {
  readonly type: 'SetBudget';
  readonly budgetBytes: number;
}

export type Command =
  | CreateTenant
  | DeleteTenant
  | CreateTable
  | DropTable
  | CreateIndex
  | DropIndex
  | Insert
  | Update
  | Upsert
  | Delete
  | QueryCommand
  | Checkpoint
  | Compact
  | SetBudget;

export type CommandType = Command['type'];

type Loose<C> = C extends { readonly type: 'CreateTable' }
  ? Omit<CreateTable, 'columns'> & { readonly columns: Readonly<Record<string, ColumnInput>> | readonly Column[] }
  : C extends { readonly type: 'CreateIndex' }
    ? Omit<CreateIndex, 'unique'> & { readonly unique?: boolean }
    : C extends { readonly type: 'Query' }
      ? QueryCommand | ({ readonly type: 'Query'; readonly idempotencyId?: never } & Query)
      : C;

/** A command as a person writes it; `validate` turns it into a Command. */
export type CommandInput = Loose<Command>;
