import { assert, type Checksum, type Hasher, type RequestNumber } from '@kimberlite/base';
import { joinCommands } from '@kimberlite/wire';
import type { Call } from './call-queue.ts';

/**
 * A numbered batch of commands, from its making until its number is of no more interest. What may be said about
 * its calls hangs on the fate of every single transmission (pitfalls 42 and 67), so these are counted.
 */
export interface Request {
  readonly number: RequestNumber;
  /** The calls in the body, in order, settled ones included. */
  calls: readonly Call[];
  body: Uint8Array;
  checksum: Checksum;
  /** Transmissions on the present connection that were not refused so far. */
  onWire: number;
  /** Transmissions whose fate can no longer be learnt: the connection went away, or the view changed. */
  lost: number;
  /** Transmissions of all, for the pause before the next. */
  attempts: number;
  sentMs: number;
}

export function makeRequest(number: RequestNumber, calls: readonly Call[], hasher: Hasher): Request {
  const body = joinCommands(calls.map((call) => call.packed));
  return { number, calls, body, checksum: hasher(body), onWire: 0, lost: 0, attempts: 0, sentMs: 0 };
}

/** True when no transmission of this number can have been admitted: none was made, or each was refused. */
export const certainlyNotAdmitted = (request: Request): boolean => request.onWire === 0 && request.lost === 0;

/**
 * Drops settled calls from a request that certainly was not admitted. Its number must still be used up, so a
 * request without calls left goes on as an empty batch.
 */
export function rebuild(request: Request, hasher: Hasher): void {
  assert(certainlyNotAdmitted(request), 'a number that may have been admitted keeps its body');
  const calls = request.calls.filter((call) => !call.settled);
  if (calls.length === request.calls.length) return;
  request.calls = calls;
  request.body = joinCommands(calls.map((call) => call.packed));
  request.checksum = hasher(request.body);
}

/** The connection it was sent on is gone, or means nothing any more. */
export function loseTransmissions(request: Request): void {
  request.lost += request.onWire;
  request.onWire = 0;
}
