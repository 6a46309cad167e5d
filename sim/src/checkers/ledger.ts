import { bytesEqual, stateHashInterval } from '@kimberlite/base';
import { type KernelState, type Outcome, stateHash } from '@kimberlite/kernel';
import type { AppliedRequest } from '@kimberlite/vsr';
import { decodeCommands, decodeOutcomes } from '@kimberlite/wire';
import type { Flips } from '../flips.ts';
import type { Checker, Execution, Fail } from './checker.ts';

/** One executed request, as the first replica that came to it executed it. */
export interface LedgerEntry {
  /** Place among all executed requests, from 0. */
  readonly index: number;
  readonly replica: number;
  readonly request: AppliedRequest;
  readonly reply: Uint8Array;
  readonly effects: readonly unknown[];
  readonly commands: readonly unknown[];
  /** One a command. */
  readonly outcomes: readonly Outcome[];
  /** Of its first command; `positionAfter` is that of its last. */
  readonly position: number;
  readonly positionAfter: number;
  /** The digest the state keeps of itself, and what its hash has beside it. */
  readonly digest: KernelState['digest'];
  readonly budgetBytes: number;
  /** The whole state's hash; only for ops at which replicas report it. */
  readonly stateHash: string | null;
}

/** Equal without hashing anything: position, op and timestamp are compared already. */
function sameState(state: KernelState, { digest, budgetBytes }: LedgerEntry): boolean {
  const { a, b, c, d } = state.digest;
  return digest.a === a && digest.b === b && digest.c === c && digest.d === d && state.budgetBytes === budgetBytes;
}

const describe = ({ op, client, session }: AppliedRequest): string => `op ${op}, a request of ${client}/${session}`;

const sameRequest = (a: AppliedRequest, b: AppliedRequest): boolean =>
  a.op === b.op &&
  a.timestamp === b.timestamp &&
  a.session === b.session &&
  a.client === b.client &&
  bytesEqual(a.body, b.body);

function entryOf({ replica, request, applied }: Execution, index: number, before: number): LedgerEntry {
  const { state, reply, effects } = applied;
  const commands = decodeCommands(request.body);
  const outcomes = decodeOutcomes(reply);
  return {
    index,
    replica,
    request,
    reply,
    effects,
    commands: commands.ok ? commands.value : [],
    outcomes: outcomes.ok ? outcomes.value : [],
    position: before + 1,
    positionAfter: state.position,
    digest: state.digest,
    budgetBytes: state.budgetBytes,
    stateHash: request.op % stateHashInterval === 0 ? stateHash(state) : null,
  };
}

/**
 * Everything that was executed, in the order of the log: the same for all, or the run fails. Every replica, in every
 * boot, executes the same requests in the same order, and each gives the same state, the same reply and as many
 * effects. The first to come to a request writes it down; whoever comes after is compared, byte by byte: nothing is
 * decoded twice.
 */
export class Ledger {
  readonly checker: Checker;
  readonly entries: LedgerEntry[] = [];
  private readonly flips: Flips;
  private readonly nowUs: () => number;
  private readonly fail: Fail;
  private readonly atPosition: LedgerEntry[] = [];
  /**
   * By replica that goes on from a checkpoint which it took before anybody whose word counts had come so far: what it
   * restored, and has executed since.
   */
  private readonly unjudged = new Map<number, { readonly state: KernelState; readonly executions: Execution[] }>();
  private readonly firstOf = new Map<number, number>();
  private readonly listeners: ((entry: LedgerEntry) => void)[] = [];
  /** What the one whose memory was changed executed last, before anybody else came to it. */
  private ahead: { readonly at: number; readonly execution: Execution } | null = null;
  /** Entries that each replica has executed in this boot. */
  private readonly cursors: number[] = [];

  constructor(flips: Flips, nowUs: () => number, fail: Fail) {
    this.flips = flips;
    this.nowUs = nowUs;
    this.fail = fail;
    this.checker = {
      name: 'state-hash',
      executed: (execution) => this.onExecuted(execution),
      restored: (replica, state) => this.onRestored(replica, state),
      down: (replica) => {
        this.cursors[replica] = 0;
        this.unjudged.delete(replica);
      },
      ended: ({ replicas }) => {
        const { length } = this.entries;
        for (const { self } of replicas) {
          const reached = this.cursors[self] ?? 0;
          if (reached === length) continue;
          fail('nothing-lost', `replica ${self} ends with ${reached} requests executed, others with ${length}`);
        }
      },
    };
  }

  /** The entry whose commands include that position. */
  at(position: number): LedgerEntry | undefined {
    return this.atPosition[position];
  }

  lastOf(op: number): LedgerEntry | undefined {
    let index = this.firstOf.get(op);
    if (index === undefined) return undefined;
    while (this.entries[index + 1]?.request.op === op) index += 1;
    return this.entries[index];
  }

  /** Whether the replica, in this boot, has executed so far. */
  reached(replica: number, index: number): boolean {
    return (this.cursors[replica] ?? 0) > index;
  }

  onEntry(listener: (entry: LedgerEntry) => void): void {
    this.listeners.push(listener);
  }

  private onExecuted(execution: Execution): void {
    const unjudged = this.unjudged.get(execution.replica);
    if (unjudged !== undefined) return void unjudged.executions.push(execution);
    const at = this.cursors[execution.replica] ?? 0;
    this.cursors[execution.replica] = at + 1;
    // What it makes of it is no measure; the others will come to it.
    const entry = this.entries[at];
    if (this.flips.has(execution.replica)) {
      this.ahead = entry === undefined ? { at, execution } : null;
      if (entry === undefined) this.flips.executed(execution.replica, false);
      else this.compareFlipped(execution, entry);
      return;
    }
    if (entry === undefined) this.write(execution);
    else this.compare(execution, entry);
  }

  private compareFlipped({ replica, request, applied }: Execution, entry: LedgerEntry): void {
    const isLike = sameRequest(entry.request, request) && sameState(applied.state, entry);
    this.flips.executed(replica, isLike && bytesEqual(applied.reply, entry.reply));
  }

  /** A checkpoint holds what everybody came to at its op, and the replica goes on from there. */
  private onRestored(replica: number, state: KernelState): void {
    this.unjudged.delete(replica);
    const entry = state.position === 0 ? undefined : this.atPosition[state.position];
    const isAhead = state.position > (this.entries.at(-1)?.positionAfter ?? 0);
    if (isAhead && this.flips.wasEver(replica)) {
      this.unjudged.set(replica, { state, executions: [] });
      return;
    }
    this.cursors[replica] = entry === undefined ? 0 : entry.index + 1;
    const isSame = state.position === 0 || (entry?.positionAfter === state.position && sameState(state, entry));
    if (isSame) return this.flips.restored(replica);
    if (this.flips.has(replica) || this.flips.leftInCheckpoint(replica, this.nowUs())) {
      return this.flips.restoredWrong(replica);
    }
    this.fail(
      'state-hash',
      `replica ${replica} goes on from a checkpoint at ${state.position}, and nobody had that state`,
    );
  }

  private write(execution: Execution): void {
    const { entries, atPosition } = this;
    const before = entries.at(-1)?.positionAfter ?? 0;
    const entry = entryOf(execution, entries.length, before);
    const { op } = entry.request;
    const count = entry.outcomes.length;
    // A body that cannot be read is one rejected command.
    if (entry.positionAfter !== before + count || (entry.commands.length > 0 && count !== entry.commands.length)) {
      const moved = `moves the position from ${before} to ${entry.positionAfter}`;
      this.fail('state-hash', `${describe(entry.request)} ${moved}`);
    }
    entries.push(entry);
    if (!this.firstOf.has(op)) this.firstOf.set(op, entry.index);
    for (let position = entry.position; position <= entry.positionAfter; position++) atPosition[position] = entry;
    for (const listener of this.listeners) listener(entry);
    this.judgeAhead(entry);
    const { ahead } = this;
    if (ahead === null || ahead.at !== entry.index) return;
    this.ahead = null;
    if (this.flips.has(ahead.execution.replica)) this.compareFlipped(ahead.execution, entry);
  }

  /** Others have come to where a replica went on from. */
  private judgeAhead(entry: LedgerEntry): void {
    for (const [replica, { state, executions }] of [...this.unjudged]) {
      if (state.position !== entry.positionAfter) continue;
      this.onRestored(replica, state);
      for (const execution of executions) this.onExecuted(execution);
    }
  }

  private compare({ replica, request, applied }: Execution, entry: LedgerEntry): void {
    const { fail } = this;
    const who = (): string => `replica ${entry.replica} executed ${describe(entry.request)}`;
    if (!sameRequest(entry.request, request)) {
      return fail('agreement', `${who()}; there replica ${replica} executes ${describe(request)}`);
    }
    if (applied.state.position !== entry.positionAfter || !sameState(applied.state, entry)) {
      return fail('state-hash', `${who()}; replica ${replica} comes to another state at ${applied.state.position}`);
    }
    if (!bytesEqual(applied.reply, entry.reply)) fail('state-hash', `${who()}; replica ${replica} gives another reply`);
    if (applied.effects.length !== entry.effects.length) {
      fail('effects', `${who()}; replica ${replica} has other effects`);
    }
  }
}
