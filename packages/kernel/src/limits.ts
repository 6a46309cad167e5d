import { assert, nestingMax, replyBytesMax, requestBodyBytesMax } from '@kimberlite/base';

// Bounds that can change an outcome are constants of the protocol version (see base's limits.ts).

/** Characters of a tenant's, table's, column's or index's name. */
export const nameLengthMax = 64;
/** UTF-8 bytes of an idempotency id. */
export const idempotencyIdBytesMax = 128;
/** Tenants in the cluster; bounds what `$tenants` builds for one answer. */
export const tenantsMax = 10_000;
/** Tables of one tenant; bounds DeleteTenant and `$tables`. */
export const tablesPerTenantMax = 1_024;
/** Columns of one table. */
export const columnsMax = 128;
/** Indexes of one table; each is written with every row. */
export const indexesPerTableMax = 16;
/** Columns of a primary key or an index. */
export const keyColumnsMax = 8;
/** Bytes of one encoded key; keys are copied into every index. */
export const keyBytesMax = 1_024;
/** Bytes of one row as it is encoded. */
export const rowBytesMax = 262_144;
/** Conditions in one `where`, and values in one `in`. */
export const conditionsMax = 256;
/** Rows in an answer when the query names no limit. */
export const queryLimitDefault = 1_000;
/** Rows in an answer at most. */
export const queryLimitMax = 10_000;
/** Rows one query may look at: what one turn of the event loop can afford. */
export const rowsExaminedMax = 50_000;
/** Characters and bytes of text that one query may compare or sort by: rows are up to 256 KiB each. */
export const charactersExaminedMax = 8_388_608;
/** Bytes of the rows of one answer; half a reply, so that what surrounds them fits. */
export const queryReplyBytesMax = 1_048_576;
/** Outcomes remembered per tenant for idempotency. */
export const idempotencyWindowMax = 16_384;
/** Age, by op timestamps, past which an outcome is forgotten: a day. */
export const idempotencyAgeMaxUs = 86_400_000_000;
/** Outcomes that one command forgets because of age; more than one, so that the window shrinks as it ages. */
export const idempotencyEvictionsPerCommand = 4;
/** Bytes that must be left in the budget for a remembered outcome; more than one takes. */
export const outcomeReserveBytes = 8_192;
/** Bytes of state until SetBudget says otherwise: fits the default heap of a node with room to work. */
export const budgetBytesDefault = 1_073_741_824;
/** Bytes counted for a row beyond its encoding: tree slot, objects and array on the heap. */
export const rowOverheadBytes = 96;
/** Bytes counted for an index entry beyond its key. */
export const indexEntryOverheadBytes = 48;
/** Bytes counted for a tenant, table, index or remembered outcome beyond its encoding. */
export const entityOverheadBytes = 512;
/** Bytes of one chunk of an encoded state, before the record that overflows it: what a turn of the event loop can afford. */
export const chunkBytes = 32_768;
/** Tables whose rows may go into one chunk, so that tables without any cost no more than others. */
export const tablesPerChunkMax = 4_096;
/** Entries, and bytes of them, that are looked through for damage in one turn of the event loop: about half a millisecond. */
export const auditSliceEntries = 512;
export const auditSliceBytes = 65_536;
/** Bytes that one byte of a request may become in packed form: a small int takes one there and nine here. */
const packedGrowthMax = 9;
/** Bytes of one record of an encoded state; what a decoder keeps while the rest of it has not come. */
export const recordBytesMax = 16_777_216;

/** Depth of anything nested that a command carries, its own levels included. */
export const commandDepthMax = nestingMax + 8;

assert(queryReplyBytesMax + rowBytesMax <= replyBytesMax, 'the largest answer fits into a reply');
assert(rowBytesMax * 2 <= requestBodyBytesMax, 'the largest row fits into a request, with room for its JSON form');
assert(
  requestBodyBytesMax * (packedGrowthMax + 1) <= recordBytesMax,
  'what one request adds to state fits into a record',
);
assert(queryLimitMax <= rowsExaminedMax, 'the largest page can be looked at');
