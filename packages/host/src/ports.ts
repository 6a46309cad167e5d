import type { ReplicaId } from '@kimberlite/base';
import type { Disk, LogMark } from '@kimberlite/log';
import type { ClockReading, Effect, ReplicaMark, TimerName } from '@kimberlite/vsr';

/** A client's connection as the shell numbers it; never used again after it closed. */
export type ConnectionId = number;

/** To the other replicas. Fire and forget: a full or missing connection drops, the protocol sends again. */
export interface Network {
  readonly send: (to: ReplicaId, frame: Uint8Array) => void;
  /** What a message told of its sender, whose disk has it. Left out where nobody keeps it. */
  readonly heard?: (from: ReplicaId, incarnation: number, view: number) => void;
  /** What was agreed on with that replica: frames to it are of this version. Left out where all speak the same. */
  readonly versionTo?: (to: ReplicaId) => number;
  /** By replica: where it is reached, as the log says; empty: as configured. Left out where addresses mean nothing. */
  readonly meet?: (addresses: readonly string[]) => void;
}

/** To connected clients. */
export interface Clients {
  readonly send: (connection: ConnectionId, frame: Uint8Array) => void;
  /** Bytes that were sent and wait for the client to read them; 0 for a closed connection. */
  readonly waitingBytes: (connection: ConnectionId) => number;
  /** Ends a connection that broke the protocol; the reason is for the log and the close frame. */
  readonly close: (connection: ConnectionId, reason: string) => void;
}

export interface Clock {
  readonly read: () => ClockReading;
}

/** The replica's timers, and the host's own: `space` looks whether a full disk has room again, `scrub` reads on. */
export type HostTimer = TimerName | 'space' | 'scrub';

/** Calls the host's `timerFired(name)` once after the delay unless set again or cancelled. */
export interface Timers {
  readonly set: (timer: HostTimer, delayMs: number) => void;
  readonly cancel: (timer: HostTimer) => void;
  /** Runs `turn` after the current input has been handled: where work of one turn is gathered. */
  readonly defer: (turn: () => void) => void;
}

/** Counters and durations by name, in units the name ends with. */
export interface Metrics {
  readonly count: (name: string, by: number) => void;
  readonly gauge: (name: string, value: number) => void;
}

/** What people should know: becomes a log line. */
export interface Journal {
  readonly write: (
    level: 'debug' | 'info' | 'warn' | 'error',
    message: string,
    fields: Record<string, unknown>,
  ) => void;
}

/** What the state machine asked for beyond the reply, for each committed op in order. */
export interface AppliedEffects {
  readonly execute: (applied: Extract<Effect, { readonly type: 'apply-effects' }>) => void;
}

export interface Ports {
  readonly network: Network;
  readonly clients: Clients;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly metrics: Metrics;
  readonly journal: Journal;
  readonly applied: AppliedEffects;
  /** Hears which of the branches worth a test are taken. Left out where nobody counts them. */
  readonly mark?: (name: ReplicaMark | LogMark) => void;
  /** This replica was removed from the cluster, and has stopped. */
  readonly removed?: () => void;
  /** The replica cannot go on (broken invariant, failed sync, a bad disk): the process ends, or the simulator says so. */
  readonly fatal: (error: Error) => void;
}
