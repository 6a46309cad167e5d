import { assert, commandsPerRequestMax, requestBodyBytesMax } from '@kimberlite/base';
import { batchOverheadBytes } from '@kimberlite/wire';
import type { CallId, Level } from './session-types.ts';

/** One call of the SDK: a command or a query, until it is settled. */
export interface Call {
  readonly id: CallId;
  readonly type: 'command' | 'query';
  readonly packed: Uint8Array;
  readonly level: Level;
  readonly deadlineMs: number;
  settled: boolean;
}

/** Calls in the order of their issue. Those settled while they waited are passed over. */
export class CallQueue {
  private items: Call[] = [];
  private at = 0;

  push(call: Call): void {
    this.items.push(call);
  }
  /** The first call that still waits, or undefined. */
  peek(): Call | undefined {
    while (this.at < this.items.length && this.items[this.at]?.settled === true) this.at++;
    if (this.at === this.items.length && this.at > 0) {
      this.items = [];
      this.at = 0;
    } else if (this.at > 1024 && this.at * 2 > this.items.length) {
      this.items = this.items.slice(this.at);
      this.at = 0;
    }
    return this.items[this.at];
  }
  /** The calls at the head that may share a request; at least one. They stay where they are. */
  batch(): readonly Call[] {
    const calls: Call[] = [];
    let bytes = batchOverheadBytes;
    for (let at = this.at; at < this.items.length && calls.length < commandsPerRequestMax; at++) {
      const call = this.items[at];
      if (call === undefined || call.type === 'query') break;
      if (call.settled) continue;
      bytes += call.packed.length;
      if (bytes > requestBodyBytesMax) break;
      calls.push(call);
    }
    assert(calls.length > 0, 'every command fits into a request of its own');
    return calls;
  }
  /** Takes the first call that still waits. */
  shift(): void {
    this.peek();
    this.at++;
  }
  /** Puts calls back in front, in this order: they were taken, and certainly came to nothing. */
  unshift(calls: readonly Call[]): void {
    this.items = [...calls, ...this.items.slice(this.at)];
    this.at = 0;
  }
}
