import { assert, commandsPerRequestMax, sessionWindowMax } from '@kimberlite/base';

// Bounds and times of one client. None can change an outcome; all may differ between clients.

/** Calls that wait or are in flight; one more is refused at once with `Overloaded`. */
export const pendingCallsMax = 65_536;

/** Bytes of the commands and queries that wait or are in flight. */
export const pendingBytesMax = 134_217_728;

/**
 * Requests in flight before commands are gathered into larger batches. Few, so that a crowd of callers shares
 * requests; more than one, so that the next batch is on its way while the primary works on the last.
 */
export const requestsGatheringMax = 8;

/** Requests in flight at all: queries between commands close batches early, and order must be kept. */
export const requestsInFlightMax = sessionWindowMax;

/** Bytes of requests in flight. */
export const bytesInFlightMax = 8_388_608;

/** Queries sent and not yet answered. */
export const queriesInFlightMax = 4_096;

/** Endpoints known, given and learned. */
export const endpointsMax = 64;

assert(requestsGatheringMax <= requestsInFlightMax, 'gathering starts below the window');
assert(commandsPerRequestMax <= pendingCallsMax, 'a whole batch may wait');

/** Milliseconds, all of them. */
export interface ClientTiming {
  /** A call without its own `timeoutMs`. */
  readonly callTimeoutMs: number;
  /** From dialling to the welcome; then the endpoint counts as unreachable for now. */
  readonly greetingTimeoutMs: number;
  /** Something is in flight and the connection has said nothing for this long: another endpoint is asked. */
  readonly silenceMs: number;
  /** A request or query without an answer is sent again on the same connection; doubles each time. */
  readonly resendMs: number;
  readonly resendMaxMs: number;
  /** How long a connection to a replica that is not the primary is kept in the hope of news before the next is tried. */
  readonly dwellMs: number;
  /** Pause before an endpoint that failed is dialled again; doubles each time, with jitter. */
  readonly redialMs: number;
  readonly redialMaxMs: number;
  /** Longest pause after a refusal that says the cluster is changing its view or starting. */
  readonly unsettledMs: number;
  /** A connection to the primary that has been quiet this long with something in flight may itself be dead. */
  readonly deadLinkMs: number;
  /** Longest wait a refusal may impose. */
  readonly pauseMaxMs: number;
  /** The primary's disk has been full so long: nobody with room is going to take over, and calls are told at once. */
  readonly diskFullMs: number;
}

export const defaultTiming: ClientTiming = {
  callTimeoutMs: 30_000,
  greetingTimeoutMs: 1_000,
  silenceMs: 300,
  resendMs: 400,
  resendMaxMs: 8_000,
  dwellMs: 200,
  redialMs: 20,
  redialMaxMs: 1_000,
  unsettledMs: 25,
  deadLinkMs: 2_000,
  pauseMaxMs: 2_000,
  diskFullMs: 3_000,
};

/** How often a session that waits for something wants to be told the time. */
export const tickMs = 10;
/** The same for a session that only has no connection. */
export const idleTickMs = 100;
