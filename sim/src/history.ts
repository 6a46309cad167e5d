/** One command or read as a client saw it. */
export interface Call {
  readonly id: number;
  readonly client: number;
  /** Row it is about. */
  readonly table: string;
  readonly key: number;
  readonly type: 'insert' | 'update' | 'upsert' | 'delete' | 'get';
  /** Unlike any other command's: what a write stores, or a delete's idempotency id. Reads have none. */
  readonly marker: string;
  /** Shared by two calls on purpose: the second is to be a replay of the first. */
  readonly idempotencyId: string | null;
  /** Order number among all calls and returns. */
  readonly invokedAt: number;
  readonly invokedUs: number;
  end: CallEnd | null;
}

export type CallEnd =
  | {
      readonly type: 'ok';
      readonly returnedAt: number;
      readonly returnedUs: number;
      /** A command: where it is in the log. A read: the op whose state answered. */
      readonly op: number;
      readonly position: number;
      readonly timestamp: number;
      readonly isReplay: boolean;
      /** What a read found. */
      readonly value: string | null;
    }
  /** The state machine said no: as durable and ordered as a yes. */
  | {
      readonly type: 'rejected';
      readonly returnedAt: number;
      readonly returnedUs: number;
      /** Null where the client does not learn it. */
      readonly op: number | null;
      readonly position: number;
      readonly code: string;
    }
  | { readonly type: 'not-applied' | 'unknown'; readonly returnedAt: number; readonly returnedUs: number };

/** Everything the clients did and were told, in the order it happened. */
export class History {
  readonly calls: Call[] = [];
  private order = 0;
  private commands = 0;
  private queries = 0;

  invoke(call: Omit<Call, 'id' | 'invokedAt' | 'end'>): Call {
    const made: Call = { ...call, id: this.calls.length, invokedAt: ++this.order, end: null };
    this.calls.push(made);
    return made;
  }

  /** The next order number, for a return. */
  next(): number {
    this.order += 1;
    return this.order;
  }

  finish(call: Call, end: CallEnd): void {
    call.end = end;
    if (end.type !== 'ok' && end.type !== 'rejected') return;
    if (call.type === 'get') this.queries += 1;
    else this.commands += 1;
  }

  /** Commands that were acknowledged, rejections included. */
  get acknowledged(): number {
    return this.commands;
  }

  get reads(): number {
    return this.queries;
  }

  get answered(): number {
    return this.commands + this.queries;
  }
}
