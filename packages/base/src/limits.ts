import { assert } from './assert.ts';

// Bounds shared by several rooms. Each has its unit in its name and its reason beside it; those that can
// change an outcome are constants of the protocol version, never configuration of one node.

/**
 * The newest version of frames, prepares and state that this release speaks. Raised whenever any of them changes
 * meaning; what a version brought is listed in `vsr/src/version.ts`.
 */
export const protocolVersion = 1;

/**
 * The oldest one that it still speaks. A release drops a version only when no cluster needs it any more: nodes are
 * upgraded one by one, so the range of a release overlaps that of the one before.
 */
export const protocolVersionOldest = 1;

/** Replicas in a cluster. Beyond six a quorum costs more than it protects. */
export const replicasMax = 6;

/**
 * P: ops prepared but not committed, at every primary, inherited ones included (pitfall 55).
 * Eight in flight hide a sync behind the network; P + 1 headers describe everything undecided.
 */
export const pipelineMax = 8;

/** Bytes of all requests in one prepare: one write, one message, one apply between two turns of the event loop. */
export const prepareBodyBytesMax = 1_114_112;

/** Requests in one prepare; bounds the session checks of one apply. */
export const requestsPerPrepareMax = 1024;

/** Bytes of one request's body: a batch of commands of one session. */
export const requestBodyBytesMax = 1_048_576;

/** Commands in one request: what one client may add to one apply. */
export const commandsPerRequestMax = 512;

/** W: requests of one session in flight; the table keeps at most this many outcomes a session. */
export const sessionWindowMax = 512;

/** Sessions in the table; the one with the least last op is evicted for a new one. */
export const sessionsMax = 1024;

/**
 * Bytes of all outcomes the session table keeps. Past it the session that keeps the most is evicted, so that one
 * client that never says what it has read costs its own session and nobody else's.
 */
export const sessionTableBytesMax = 268_435_456;

/** Requests that wait at the primary for a place in the pipeline; past it clients are told `Overloaded`. */
export const requestQueueMax = 4096;

/** Bytes of the requests that wait. */
export const requestQueueBytesMax = 33_554_432;

/** Queries that wait for a confirmation round; past it clients are told `Overloaded`. */
export const queryQueueMax = 8192;

/** Bytes of one reply: outcomes of a request, or rows of a query. */
export const replyBytesMax = 2_097_152;

/** Bytes of one frame on any socket. Larger ones are refused before they are read. */
export const frameBytesMax = 4_194_304;

/** Ops between two reported state hashes (H): often enough to find divergence within seconds. */
export const stateHashInterval = 64;

/** Bytes of one part of a checkpoint, which is hashed, stored and fetched whole: one read, one message, under a millisecond of hashing. */
export const checkpointPartBytes = 262_144;

/** Parts of one checkpoint: 32 GiB of content, whose manifest still fits a frame. */
export const checkpointPartsMax = 131_072;

/**
 * Ops between two checkpoints, and bytes of their bodies, whichever comes first: bounds the log that a restart
 * replays. Fixed when a directory is formatted; the same on all replicas, which compare it before they talk.
 */
export const checkpointIntervalOpsDefault = 16_384;
export const checkpointIntervalBytes = 67_108_864;

/** Depth to which json values and query conditions may nest; everything that walks them is bounded by it. */
export const nestingMax = 32;

assert(requestBodyBytesMax + 1024 <= prepareBodyBytesMax, 'the largest request fits into a prepare');
assert(prepareBodyBytesMax + 4096 <= frameBytesMax, 'the largest prepare fits into a frame');
assert(replyBytesMax + 4096 <= frameBytesMax, 'the largest reply fits into a frame');
assert(
  replyBytesMax * 64 <= sessionTableBytesMax,
  'a client that reads its replies has room for a pipeline of the largest',
);
assert(requestsPerPrepareMax >= sessionWindowMax, 'one prepare can take a whole session window');
assert(checkpointPartBytes + 4096 <= frameBytesMax, 'a part of a checkpoint fits into a frame');
assert(checkpointPartsMax * 16 + 4096 <= frameBytesMax, 'the largest manifest fits into a frame');
