import type { Row } from './value.ts';

interface Rejection<Code extends string> {
  readonly code: Code;
  /** What happened and what to do next, for a person. */
  readonly message: string;
  /** True when the same command may succeed later without being changed. */
  readonly retryable: boolean;
}

interface InTable {
  readonly tenantId: number;
  readonly table: string;
}

/** Why a command or query was rejected. Deterministic: every replica rejects it the same way. */
export type KernelError =
  | (Rejection<'TenantNotFound'> & { readonly tenantId: number })
  | (Rejection<'TenantAlreadyExists'> & { readonly tenantId: number })
  | (Rejection<'InvalidTenantId'> & { readonly tenantId: number | null })
  | (Rejection<'TableNotFound'> & InTable)
  | (Rejection<'TableAlreadyExists'> & InTable)
  | (Rejection<'IndexNotFound'> & { readonly tenantId: number; readonly index: string })
  | (Rejection<'IndexAlreadyExists'> & { readonly tenantId: number; readonly index: string })
  | (Rejection<'ColumnNotFound'> & InTable & { readonly column: string })
  | (Rejection<'TypeMismatch'> & InTable & { readonly column: string; readonly expected: string; readonly got: string })
  | (Rejection<'NotNullViolation'> & InTable & { readonly column: string })
  | (Rejection<'DuplicateKey'> & InTable & { readonly key: Row; readonly version: number })
  | (Rejection<'UniqueViolation'> & InTable & { readonly index: string; readonly key: Row })
  | (Rejection<'RowNotFound'> & InTable & { readonly key: Row })
  | (Rejection<'RowTooLarge'> & InTable & { readonly bytes: number; readonly bytesMax: number })
  | (Rejection<'PreconditionFailed'> &
      InTable & {
        readonly key: Row;
        readonly expectedVersion: number;
        /** 0: there is no such row. */
        readonly actualVersion: number;
      })
  | (Rejection<'QuotaExceeded'> & {
      readonly scope: 'cluster' | 'tenant';
      readonly usedBytes: number;
      readonly neededBytes: number;
      readonly limitBytes: number;
    })
  | (Rejection<'QueryTooExpensive'> &
      InTable & {
        /** Name of the bound that was reached. */
        readonly bound: 'rowsExaminedMax' | 'charactersExaminedMax';
        readonly limit: number;
        /** Columns of an index that would help; empty when none would. */
        readonly suggestedIndex: readonly string[];
      })
  | (Rejection<'DuplicateIdempotencyId'> & { readonly idempotencyId: string; readonly firstPosition: number })
  | (Rejection<'InvalidCommand'> & {
      /** Where in the command, such as `row.name` or `columns[2].type`. */
      readonly path: string;
    })
  | (Rejection<'StateTransitionFailed'> & { readonly reason: string });

export type KernelErrorCode = KernelError['code'];
