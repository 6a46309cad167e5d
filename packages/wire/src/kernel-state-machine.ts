import { assert, type Checksum, type DecodeText, ok, type Result, type SessionNumber } from '@kimberlite/base';
import {
  applyBatch,
  Auditor,
  type ColumnType,
  type Command,
  decoder,
  type Effect,
  encodeChunks,
  initialState,
  type KernelError,
  type KernelState,
  namedKey,
  type Outcome,
  query as ask,
  type Query,
  type QueryCommand,
  queryReplyBytesMax,
  rowsExaminedMax,
  stateHash,
  validate,
  validateQuery,
} from '@kimberlite/kernel';
import type { Applied, AppliedRequest, StateMachine } from '@kimberlite/vsr';
import { AdmittedCommands } from './admitted-commands.ts';
import { encodeQueryAnswer } from './answers.ts';
import { type AdmissionError, decodeCommands, decodeQuery, readCommands } from './commands.ts';
import { pack } from './msgpack.ts';
import { encodeOutcomes } from './outcomes.ts';

// The kernel as the replica sees it: bytes in, bytes out. Everything here runs on every replica for every
// committed request, so it is total and depends on nothing but its arguments. What admission let through is
// valid; the rest is here because a log may outlive the rules it was admitted under.

type When = Pick<AppliedRequest, 'op' | 'timestamp'>;

const tooMuch = 'the queries before it in the same request have used up what one request may look at';
const queriesTooMany: KernelError = {
  code: 'StateTransitionFailed',
  message: `The query was not answered: ${tooMuch}. Send it again by itself.`,
  retryable: true,
  reason: tooMuch,
};

const invalid = (message: string): KernelError => ({ code: 'InvalidCommand', message, retryable: false, path: '' });

/** A rejected command takes its position all the same (pitfall 37); nothing but the header of the state moves. */
function passOver(state: KernelState, { op, timestamp }: When): KernelState {
  return { ...state, position: state.position + 1, op, timestamp };
}

interface Run {
  state: KernelState;
  readonly outcomes: Outcome[];
  readonly effects: Effect[];
  /** Whether a Checkpoint ran: one that is the repetition of an earlier one has no effect. */
  checkpoint: boolean;
  /** Rows that the queries of this request looked at so far, and bytes of their answers. */
  examined: number;
  answerBytes: number;
}

function applyValid(run: Run, commands: readonly Command[], when: When, session: SessionNumber): void {
  if (commands.length === 0) return;
  const first = run.state.position + 1;
  const { op, timestamp } = when;
  const entries = commands.map((command, i) => ({ position: first + i, op, timestamp, session, command }));
  const { state, outcomes, effects } = applyBatch(run.state, entries);
  run.state = state;
  run.outcomes.push(...outcomes);
  // The notification is the reply; everything else is handed on.
  for (const own of effects) {
    for (const effect of own) {
      if (effect.type === 'NotifyClient') continue;
      if (effect.type === 'FlushToDisk') run.checkpoint = true;
      run.effects.push(effect);
    }
  }
}

/**
 * A Query in the log. A request is applied in one turn of the event loop on every replica, so its queries share what
 * one query may take: once they have taken it, those behind are rejected without being looked at.
 */
function applyQuery(run: Run, command: QueryCommand, when: When, session: SessionNumber): void {
  if (run.examined > rowsExaminedMax || run.answerBytes > queryReplyBytesMax) return reject(run, queriesTooMany, when);
  const asked = command.query;
  applyValid(run, [{ ...command, query: { ...asked, explain: true } }], when, session);
  const outcome = run.outcomes[run.outcomes.length - 1];
  assert(outcome !== undefined, 'a query has an outcome');
  if (!outcome.ok) {
    run.examined += outcome.error.code === 'QueryTooExpensive' ? rowsExaminedMax : 1;
    return;
  }
  assert(outcome.result !== undefined && 'rows' in outcome.result, 'a query that went well has an answer');
  const { plan, ...answer } = outcome.result;
  assert(plan !== undefined, 'an explained answer says what it looked at');
  run.examined += plan.examined + 1;
  run.answerBytes += pack(answer.rows).length;
  if (asked.explain !== true) run.outcomes[run.outcomes.length - 1] = { ...outcome, result: answer };
}

function reject(run: Run, error: KernelError, when: When): void {
  run.state = passOver(run.state, when);
  run.outcomes.push({ ok: false, error, position: run.state.position });
}

/** Queries one by one, everything between them together. */
function applyAll(run: Run, commands: readonly Result<Command, KernelError>[], request: AppliedRequest): void {
  let writes: Command[] = [];
  for (const command of commands) {
    if (command.ok && command.value.type !== 'Query') {
      writes.push(command.value);
      continue;
    }
    applyValid(run, writes, request, request.session);
    writes = [];
    if (!command.ok) reject(run, command.error, request);
    else if (command.value.type === 'Query') applyQuery(run, command.value, request, request.session);
  }
  applyValid(run, writes, request, request.session);
}

function apply(
  state: KernelState,
  request: AppliedRequest,
  admitted: readonly Command[] | undefined,
): Applied<KernelState> {
  const run: Run = { state, outcomes: [], effects: [], checkpoint: false, examined: 0, answerBytes: 0 };
  if (admitted !== undefined) applyAll(run, admitted.map(ok), request);
  else {
    const commands = decodeCommands(request.body);
    if (commands.ok) applyAll(run, commands.value.map(validate), request);
    else reject(run, invalid(`The request cannot be read: ${commands.error.message}.`), request);
  }
  const applied = { state: run.state, reply: encodeOutcomes(run.outcomes), effects: run.effects };
  return run.checkpoint ? { ...applied, checkpoint: true } : applied;
}

/** Types of the columns of a user's table, as its schema has them; of a system table none. */
function typesOf(state: KernelState, asked: Query): Readonly<Record<string, ColumnType>> {
  const table = state.tables.get(namedKey(asked.tenantId, asked.table));
  const types: Record<string, ColumnType> = { $version: 'int' };
  for (const { name, type } of table?.columns ?? []) types[name] = type;
  return types;
}

function query(state: KernelState, body: Uint8Array): Uint8Array {
  const decoded = decodeQuery(body);
  if (!decoded.ok) {
    return encodeQueryAnswer({ ok: false, error: invalid(`The query cannot be read: ${decoded.error.message}.`) });
  }
  const valid = validateQuery(decoded.value);
  if (!valid.ok) return encodeQueryAnswer(valid);
  return encodeQueryAnswer(ask(state, valid.value), typesOf(state, valid.value));
}

export interface KernelStateMachine extends StateMachine<KernelState> {
  /**
   * The only validation between a client and the log. `checksum` is that of the body, verified by the caller. What is
   * admitted is remembered until it is applied.
   */
  readonly admit: (body: Uint8Array, checksum: Checksum) => Result<void, AdmissionError>;
}

export interface KernelStateMachineOptions {
  /** The platform's, for reading checkpoints; it has to give what `decodeUtf8` gives. Left out: that. */
  readonly decodeText?: DecodeText;
}

export function createKernelStateMachine({ decodeText }: KernelStateMachineOptions = {}): KernelStateMachine {
  const admitted = new AdmittedCommands();
  return {
    initial: initialState,
    admit: (body, checksum) => {
      const commands = readCommands(body);
      if (!commands.ok) return commands;
      admitted.keep(checksum, commands.value, body.length);
      return ok(undefined);
    },
    apply: (state, request) => apply(state, request, admitted.take(request.checksum)),
    query,
    position: (state) => state.position,
    stateHash,
    encode: encodeChunks,
    decoder: () => decoder(decodeText),
    auditor: () => new Auditor(),
  };
}
