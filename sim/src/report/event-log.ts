import { assert } from '@kimberlite/base';
import type { KernelState } from '@kimberlite/kernel';
import type { Replica } from '@kimberlite/vsr';
import { type Codec, decodeCommands, decodeOutcomes } from '@kimberlite/wire';
import type { Execution, Failure } from '../checkers/checker.ts';
import { markerOf } from '../checkers/calls.ts';
import type { Call } from '../history.ts';
import type { WatchableDisk } from '../checkers/superblocks.ts';
import type { Power } from '../machine.ts';
import { type FaultAction, describeAction } from '../nemesis/action.ts';
import { describeCommand } from './describe-command.ts';
import { damagedFrame, describeClientFrame, describePeerMessage, describeServerFrame } from './describe-message.ts';
import type { RunObserver } from './observer.ts';
import type { MessageSummary, Party, ReplicaSummary, RunEvent } from './run-event.ts';
import { describeEnd, sameSummary, summariseCall, summariseReplica } from './summarise.ts';
import { watchDisk } from './watch-disk.ts';

/** Events kept; the older half goes when there are more, so that a long run cannot fill the memory. */
export const logEventsMax = 400_000;

/** Kinds of note that say what a typed event says already. */
const toldElsewhere: ReadonlySet<string> = new Set(['FAILURE', 'fault', 'boot', 'opened', 'down']);

/** What handed a replica its latest input, waiting for the state it led to. */
interface OpenTurn {
  readonly atUs: number;
  after: ReplicaSummary | null;
}

/** One transmission of a frame. */
interface Flight {
  readonly id: number;
  readonly from: Party;
  readonly to: Party;
  readonly message: MessageSummary;
  arrivals: number;
}

/** Replicas that a fault is done to; none for what is done to all of them. */
function replicasOf(action: FaultAction): readonly number[] {
  if ('replica' in action) return [action.replica];
  if ('links' in action) return [...new Set(action.links.flat())].sort((a, b) => a - b);
  return 'outages' in action ? action.outages.map(({ replica }) => replica) : [];
}

/**
 * Everything that happens in a run, as typed records. It watches ports and states from outside and decodes the frames
 * that really travelled; recording changes neither a draw nor the trace hash.
 */
export class EventLog implements RunObserver {
  /** Every call of every client, in the order of issue. */
  readonly calls: Call[] = [];
  /** Events that went because there were too many. */
  dropped = 0;
  private kept: RunEvent[] = [];
  private codec: Codec | null = null;
  private now: () => number = () => 0;
  private nextId = 1;
  /** By the frame's own bytes: a broadcast is one frame, sent to many, and the network passes it on as it is. */
  private readonly flights = new WeakMap<Uint8Array, Flight[]>();
  private readonly replicas: Party[] = [];
  private readonly clients: Party[] = [];
  private readonly openTurns = new Map<number, OpenTurn>();
  private readonly summaries = new Map<number, ReplicaSummary>();

  get events(): readonly RunEvent[] {
    return this.kept;
  }

  watch({ codec, nowUs }: { readonly codec: Codec; readonly nowUs: () => number }): void {
    this.codec = codec;
    this.now = nowUs;
  }

  peerSent(from: number, to: number, frame: Uint8Array): void {
    this.sent(this.replica(from), this.replica(to), frame);
  }

  peerReceived(from: number, to: number, frame: Uint8Array): void {
    this.received(this.replica(from), this.replica(to), frame);
  }

  requestSent(client: number, replica: number, frame: Uint8Array): void {
    this.sent(this.client(client), this.replica(replica), frame);
  }

  requestReceived(client: number, replica: number, frame: Uint8Array): void {
    this.received(this.client(client), this.replica(replica), frame);
  }

  replySent(replica: number, client: number, frame: Uint8Array): void {
    this.sent(this.replica(replica), this.client(client), frame);
  }

  replyReceived(replica: number, client: number, frame: Uint8Array): void {
    this.received(this.replica(replica), this.client(client), frame);
  }

  connection(
    client: number,
    replica: number,
    connection: number,
    what: 'dialled' | 'opened' | 'refused' | 'closed',
  ): void {
    this.push({ kind: 'connection', atUs: this.now(), client, replica, connection, what });
  }

  watchDisk(replica: number, disk: WatchableDisk): WatchableDisk {
    return watchDisk(
      disk,
      (call) => this.push({ kind: 'disk-started', atUs: this.now(), replica, ...call }),
      (call, error) => {
        const event = { kind: 'disk-done' as const, atUs: this.now(), replica, ...call, error, after: null };
        this.pushTurn(replica, event);
      },
    );
  }

  timerFired(replica: number, timer: string): void {
    this.pushTurn(replica, { kind: 'timer', atUs: this.now(), replica, timer, after: null });
  }

  powered(replica: number, power: Power | 'opened'): void {
    if (power === 'off') {
      this.summaries.delete(replica);
      this.openTurns.delete(replica);
    }
    this.push({ kind: 'power', atUs: this.now(), replica, power });
  }

  turned(replica: number, state: Replica<KernelState>): void {
    const turn = this.openTurns.get(replica);
    this.openTurns.delete(replica);
    const summary = summariseReplica(state);
    if (sameSummary(this.summaries.get(replica) ?? null, summary)) return;
    this.summaries.set(replica, summary);
    // An input that was held back while the replica was paused belongs to an earlier time than this turn.
    if (turn?.atUs === this.now()) turn.after = summary;
    else this.push({ kind: 'turn', atUs: this.now(), replica, after: summary });
  }

  executed({ replica, request, applied }: Execution): void {
    const commands = decodeCommands(request.body);
    const outcomes = decodeOutcomes(applied.reply);
    const { position } = applied.state;
    const executed = (commands.ok ? commands.value : []).map((command, index) => {
      const outcome = outcomes.ok ? outcomes.value[index] : undefined;
      const tookEffect = outcome?.ok === true && !outcome.isReplay;
      return { text: describeCommand(command), marker: markerOf(command), tookEffect };
    });
    this.push({ kind: 'executed', atUs: this.now(), replica, op: request.op, position, commands: executed });
  }

  called(call: Call): void {
    this.calls.push(call);
    this.push({ kind: 'called', atUs: this.now(), client: call.client, call: summariseCall(call) });
  }

  returned(call: Call): void {
    const result = describeEnd(call.end, call.type === 'get');
    this.push({ kind: 'returned', atUs: this.now(), client: call.client, call: summariseCall(call), result });
  }

  fault(action: FaultAction): void {
    const forUs = 'forUs' in action ? action.forUs : null;
    this.push({ kind: 'fault', atUs: this.now(), text: describeAction(action), forUs, replicas: replicasOf(action) });
  }

  noted(kind: string, text: string): void {
    if (toldElsewhere.has(kind)) return;
    const journal = kind === 'journal' ? /^replica (\d+) (.*)$/s.exec(text) : null;
    const replica = Number(journal?.[1] ?? 0);
    if (journal !== null) this.push({ kind: 'journal', atUs: this.now(), replica, text: journal[2] ?? '' });
    else this.push({ kind: 'note', atUs: this.now(), text: `${kind} ${text}` });
  }

  failed({ kind, message }: Failure): void {
    this.push({ kind: 'failure', atUs: this.now(), checker: kind, message });
  }

  private push(event: RunEvent): void {
    if (this.kept.length >= logEventsMax) {
      this.dropped += logEventsMax / 2;
      this.kept = this.kept.slice(logEventsMax / 2);
    }
    this.kept.push(event);
  }

  private pushTurn(replica: number, event: RunEvent & OpenTurn): void {
    this.openTurns.set(replica, event);
    this.push(event);
  }

  private sent(from: Party, to: Party, frame: Uint8Array): void {
    const message = this.describe(from, to, frame);
    const event = {
      kind: 'sent' as const,
      atUs: this.now(),
      id: this.nextId++,
      from,
      to,
      message,
      bytes: frame.length,
      arrivals: 0,
    };
    const flights = this.flights.get(frame);
    if (flights === undefined) this.flights.set(frame, [event]);
    else flights.push(event);
    this.push(event);
  }

  private received(from: Party, to: Party, frame: Uint8Array): void {
    const candidates = (this.flights.get(frame) ?? []).filter((flight) => flight.from === from && flight.to === to);
    const flight = candidates.find(({ arrivals }) => arrivals === 0) ?? candidates[0];
    if (flight !== undefined) flight.arrivals += 1;
    const event = {
      kind: 'received' as const,
      atUs: this.now(),
      id: flight?.id ?? null,
      from,
      to,
      message: flight?.message ?? this.describe(from, to, frame),
      copy: flight?.arrivals ?? 1,
      after: null,
    };
    if (to.type === 'replica') this.pushTurn(to.index, event);
    else this.push(event);
  }

  private describe(from: Party, to: Party, frame: Uint8Array): MessageSummary {
    const { codec } = this;
    assert(codec !== null, 'a log watches a cluster before it is told of its frames');
    if (from.type === 'client') {
      const read = codec.decodeClientFrame(frame);
      return read.ok ? describeClientFrame(read.value) : damagedFrame(read.error.message);
    }
    if (to.type === 'client') {
      const read = codec.decodeServerFrame(frame);
      return read.ok ? describeServerFrame(read.value) : damagedFrame(read.error.message);
    }
    const read = codec.decodePeerMessage(frame);
    return read.ok ? describePeerMessage(read.value) : damagedFrame(read.error.message);
  }

  /** One object each, so that parties compare by identity. */
  private replica(index: number): Party {
    const known = this.replicas[index] ?? { type: 'replica', index };
    this.replicas[index] = known;
    return known;
  }

  private client(index: number): Party {
    const known = this.clients[index] ?? { type: 'client', index };
    this.clients[index] = known;
    return known;
  }
}
