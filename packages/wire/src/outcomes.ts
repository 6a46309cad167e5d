import { assert, isNatural, ok, replyBytesMax, type Result } from '@kimberlite/base';
import type { CommandResult, KernelError, Outcome } from '@kimberlite/kernel';
import { pack, unpack } from './msgpack.ts';
import { type WireError, wireError } from './wire-error.ts';

// A reply's body: what became of each command of the request, in order. It is kept in the session table of
// every replica, so it is compact, bounded, and depends on the outcomes alone.

/** Characters of an error's message in a reply that had to be cut. */
const cutMessageLengthMax = 200;

type Packed =
  | readonly [position: number, op: number, timestamp: number, isReplay: boolean, result: CommandResult | null]
  | readonly [position: number, error: KernelError];

const packedOutcome = (outcome: Outcome): Packed =>
  outcome.ok
    ? [outcome.position, outcome.op, outcome.timestamp, outcome.isReplay, outcome.result ?? null]
    : [outcome.position, outcome.error];

const isAnswer = (result: CommandResult): boolean => 'rows' in result;

/** What stays of an outcome when all of them together are too large: never whether the command took effect. */
function cut(outcome: Outcome): Outcome {
  if (outcome.ok) {
    if (outcome.result === undefined || !isAnswer(outcome.result)) return outcome;
    const reason = `the outcomes of this request do not fit into a reply of ${replyBytesMax} bytes`;
    const message = `The query was not answered: ${reason}. Send it alone, or with a lower limit.`;
    const error: KernelError = { code: 'StateTransitionFailed', message, retryable: false, reason };
    return { ok: false, position: outcome.position, error };
  }
  const message = outcome.error.message.slice(0, cutMessageLengthMax);
  const error = 'key' in outcome.error ? { ...outcome.error, message, key: {} } : { ...outcome.error, message };
  return { ok: false, position: outcome.position, error };
}

/** At most `replyBytesMax` bytes; results that would not fit are replaced by errors that say so. */
export function encodeOutcomes(outcomes: readonly Outcome[]): Uint8Array {
  const whole = pack(outcomes.map(packedOutcome));
  if (whole.length <= replyBytesMax) return copied(whole);
  const reduced = pack(outcomes.map((outcome) => packedOutcome(cut(outcome))));
  assert(reduced.length <= replyBytesMax, 'the outcomes of a request fit into a reply once results are left out');
  return copied(reduced);
}

/** Out of the encoder's large buffer: a reply is kept for long. */
const copied = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

function isKernelError(value: unknown): value is KernelError {
  if (typeof value !== 'object' || value === null) return false;
  const error = value as Partial<Record<string, unknown>>;
  return (
    typeof error['code'] === 'string' && typeof error['message'] === 'string' && typeof error['retryable'] === 'boolean'
  );
}

function unpackedOutcome(value: unknown): Outcome | null {
  if (!Array.isArray(value)) return null;
  const fields: readonly unknown[] = value;
  const [position] = fields;
  if (!isNatural(position)) return null;
  if (fields.length === 2) return isKernelError(fields[1]) ? { ok: false, position, error: fields[1] } : null;
  const [, op, timestamp, isReplay, result] = fields;
  if (fields.length !== 5 || !isNatural(op) || !isNatural(timestamp) || typeof isReplay !== 'boolean') return null;
  if (typeof result !== 'object') return null;
  return result === null
    ? { ok: true, position, op, timestamp, isReplay }
    : { ok: true, position, op, timestamp, isReplay, result: result as CommandResult };
}

export { isKernelError };

/** Never throws. */
export function decodeOutcomes(body: Uint8Array): Result<readonly Outcome[], WireError> {
  const value = unpack(body);
  if (!value.ok) return value;
  if (!Array.isArray(value.value)) return wireError('shape', 'a reply body is not a list of outcomes');
  const outcomes: Outcome[] = [];
  for (const item of value.value as readonly unknown[]) {
    const outcome = unpackedOutcome(item);
    if (outcome === null) return wireError('shape', 'a reply body has something that is no outcome');
    outcomes.push(outcome);
  }
  return ok(outcomes);
}
