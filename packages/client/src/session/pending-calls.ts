import { assert, requestBodyBytesMax } from '@kimberlite/base';
import { batchOverheadBytes } from '@kimberlite/wire';
import { type Call, CallQueue } from './call-queue.ts';
import { type CallFailure, failure } from './failure.ts';
import { pendingBytesMax, pendingCallsMax } from './limits.ts';
import type { Request } from './request.ts';
import type { QueryInFlight } from './requests-in-flight.ts';
import type { CallId, CallResult, SessionInput, SessionOutput } from './session-types.ts';

type Place = Request | QueryInFlight | null;

/**
 * Every call that is not settled: where it is, when it is due, and how much all of them are. Each is settled
 * exactly once.
 */
export class PendingCalls {
  readonly queue = new CallQueue();
  /** Queries that wait in the queue. */
  queuedQueries = 0;
  private readonly live = new Map<CallId, { readonly call: Call; at: Place }>();
  private bytes = 0;
  private nextDeadlineMs = Number.POSITIVE_INFINITY;
  private readonly emit: (output: SessionOutput) => void;

  constructor(emit: (output: SessionOutput) => void) {
    this.emit = emit;
  }

  get size(): number {
    return this.live.size;
  }
  ids(): readonly CallId[] {
    return [...this.live.keys()];
  }
  find(id: CallId): { readonly call: Call; readonly at: Place } | undefined {
    return this.live.get(id);
  }

  /** Queues a call, or refuses it at once when there is too much. */
  take(input: Extract<SessionInput, { type: 'command' | 'query' }>, deadlineMs: number): void {
    assert(!this.live.has(input.call), 'a call id is used once');
    const problem = this.whyNot(input.packed);
    if (problem !== null) {
      return this.emit({ type: 'settled', call: input.call, result: { type: 'failure', failure: problem } });
    }
    const level = input.type === 'query' ? input.level : ({ type: 'linearizable' } as const);
    const call: Call = { id: input.call, type: input.type, packed: input.packed, level, deadlineMs, settled: false };
    this.live.set(call.id, { call, at: null });
    this.bytes += call.packed.length;
    this.nextDeadlineMs = Math.min(this.nextDeadlineMs, call.deadlineMs);
    if (call.type === 'query') this.queuedQueries++;
    this.queue.push(call);
  }

  settle(call: Call, result: CallResult): void {
    if (call.settled) return;
    call.settled = true;
    const entry = this.live.get(call.id);
    assert(entry !== undefined, 'a call that is not settled is pending');
    if (entry.at === null && call.type === 'query') this.queuedQueries--;
    this.live.delete(call.id);
    this.bytes -= call.packed.length;
    this.emit({ type: 'settled', call: call.id, result });
  }

  fail(call: Call, problem: CallFailure): void {
    this.settle(call, { type: 'failure', failure: problem });
  }

  /** The call at the head of the queue goes out in this request or query. */
  place(call: Call, at: Request | QueryInFlight): void {
    const entry = this.live.get(call.id);
    assert(entry !== undefined && entry.at === null, 'what is issued was waiting');
    entry.at = at;
    if (call.type === 'query') this.queuedQueries--;
    this.queue.shift();
  }

  /** Calls that certainly came to nothing wait again, in front of the others, in the order of their issue. */
  requeue(calls: readonly Call[]): void {
    const waiting = calls.filter((call) => !call.settled).sort((a, b) => a.id - b.id);
    for (const call of waiting) {
      const entry = this.live.get(call.id);
      assert(entry !== undefined, 'a call that is not settled is pending');
      entry.at = null;
      if (call.type === 'query') this.queuedQueries++;
    }
    this.queue.unshift(waiting);
  }

  /** Calls whose time is over. */
  late(nowMs: number): readonly CallId[] {
    if (nowMs < this.nextDeadlineMs) return [];
    const late: CallId[] = [];
    this.nextDeadlineMs = Number.POSITIVE_INFINITY;
    for (const { call } of this.live.values()) {
      if (call.deadlineMs <= nowMs) late.push(call.id);
      else this.nextDeadlineMs = Math.min(this.nextDeadlineMs, call.deadlineMs);
    }
    return late;
  }

  private whyNot(packed: Uint8Array): CallFailure | null {
    const bytesMax = requestBodyBytesMax - batchOverheadBytes;
    if (packed.length > bytesMax) {
      const text = `One command or query may have ${bytesMax} bytes; this one has ${packed.length}. Split it.`;
      return failure('RequestTooLarge', 'not-applied', text);
    }
    if (this.live.size < pendingCallsMax && this.bytes + packed.length <= pendingBytesMax) return null;
    const text = `${this.live.size} calls (${this.bytes} bytes) are pending in this client; await some before issuing more.`;
    return failure('Overloaded', 'not-applied', text);
  }
}
