import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  assert,
  bytesEqual,
  commonVersion,
  concatBytes,
  describeVersions,
  FixedReader,
  FixedWriter,
  type ReplicaId,
  speaks,
  unreachable,
  type VersionRange,
} from '@kimberlite/base';
import type { Codec, PeerHello } from '@kimberlite/wire';
import type { PeerRefusal, PeerRefusalCode } from './close-codes.ts';

/**
 * Two replicas introduce themselves, each side in the same two frames:
 *
 * 1. challenge: magic u32 · handshake version u8 · secured u8 · nonce of 32 bytes
 * 2. introduction: proof of 32 bytes, then a peer hello as `wire` frames it
 *
 * With a shared secret the proof is an HMAC over the sender's side, both nonces and the hello, so neither side has to
 * say the secret, and what one side says proves nothing when it is played back on another connection or the other way
 * round. Without one it is zeros. The frames that follow are not authenticated one by one: the secret keeps strangers
 * and misconfigured nodes out; where the network itself is hostile, run the peers inside a private one.
 */
export const challengeBytes = 38;
const magic = 0x434c_424b; // "KBLC"
const handshakeVersion = 1;
const nonceBytes = 32;
const proofBytes = 32;

export type HandshakeSide = 'dialer' | 'acceptor';

export type HandshakeStep =
  /** Our introduction, to be sent. */
  | { readonly type: 'introduce'; readonly frame: Uint8Array }
  /** `version` is what this connection speaks. */
  | { readonly type: 'accepted'; readonly hello: PeerHello; readonly version: number }
  | { readonly type: 'refused'; readonly refusal: PeerRefusal };

export interface HandshakeOptions {
  readonly side: HandshakeSide;
  readonly own: PeerHello;
  /** Why what the other says of itself cannot be; null: it can. */
  readonly remembered: (hello: PeerHello) => string | null;
  /** The replica that was dialled; null for the side that was called. */
  readonly expected: ReplicaId | null;
  readonly secret: string | null;
  readonly codec: Pick<Codec, 'encodePeerHello' | 'decodePeerHello'>;
  /** 32 random bytes, never used twice. */
  readonly nonce?: Uint8Array;
}

const refused = (code: PeerRefusalCode, message: string): HandshakeStep => ({
  type: 'refused',
  refusal: { code, message },
});

/** One side of one handshake. Never throws on what the other side sends. */
export class PeerHandshake {
  private readonly options: HandshakeOptions;
  private readonly nonce: Uint8Array;
  private theirNonce: Uint8Array | null = null;

  constructor(options: HandshakeOptions) {
    this.options = options;
    this.nonce = options.nonce ?? randomBytes(nonceBytes);
  }

  challenge(): Uint8Array {
    const writer = new FixedWriter(challengeBytes).u32(magic).u8(handshakeVersion);
    return writer.u8(this.options.secret === null ? 0 : 1).raw(this.nonce).bytes;
  }

  receive(frame: Uint8Array): HandshakeStep {
    return this.theirNonce === null ? this.onChallenge(frame) : this.onIntroduction(frame, this.theirNonce);
  }

  private onChallenge(frame: Uint8Array): HandshakeStep {
    const reader = new FixedReader(frame);
    if (reader.u32() !== magic || frame.length !== challengeBytes)
      return refused('bad-frame', 'the first frame is not a challenge: something else than a replica has connected');
    const version = reader.u8();
    if (version !== handshakeVersion)
      return refused('wrong-version', `handshake version ${version}, here ${handshakeVersion}: run the same release`);
    const theySecure = reader.u8() === 1;
    const weSecure = this.options.secret !== null;
    if (theySecure !== weSecure) {
      const who = weSecure
        ? 'this node has a peerSecret, the other has none'
        : 'the other node has a peerSecret, this one none';
      return refused('wrong-secret', `${who}: give all nodes the same`);
    }
    this.theirNonce = frame.slice(challengeBytes - nonceBytes);
    if (bytesEqual(this.theirNonce, this.nonce)) return refused('bad-frame', 'the challenge is our own, played back');
    const hello = this.options.codec.encodePeerHello(this.options.own);
    const proof = this.proof(this.options.side, this.nonce, this.theirNonce, hello);
    return { type: 'introduce', frame: concatBytes([proof, hello]) };
  }

  private onIntroduction(frame: Uint8Array, theirNonce: Uint8Array): HandshakeStep {
    if (frame.length <= proofBytes) return refused('bad-frame', 'the introduction is too short');
    const hello = frame.subarray(proofBytes);
    const theirSide: HandshakeSide = this.options.side === 'dialer' ? 'acceptor' : 'dialer';
    const expected = this.proof(theirSide, theirNonce, this.nonce, hello);
    if (!timingSafeEqual(expected, frame.subarray(0, proofBytes)))
      return refused('wrong-secret', 'the peerSecret of the two nodes differs: give all nodes the same');
    const decoded = this.options.codec.decodePeerHello(hello);
    if (!decoded.ok) {
      const code = decoded.error.code === 'version' ? 'wrong-version' : 'bad-frame';
      return refused(code, `${decoded.error.message}${code === 'wrong-version' ? ': run the same release' : ''}`);
    }
    const their = decoded.value;
    const refusal = compareHellos(this.options, their);
    if (refusal !== null) return { type: 'refused', refusal };
    const version = commonVersion(rangeOf(this.options.own), rangeOf(their));
    assert(version !== null, 'two nodes that may speak have a version in common');
    return { type: 'accepted', hello: their, version };
  }

  /** Each side's proof names that side, so it cannot be sent back as the other's. */
  private proof(side: HandshakeSide, nonceOfSide: Uint8Array, otherNonce: Uint8Array, hello: Uint8Array): Uint8Array {
    const { secret } = this.options;
    if (secret === null) return new Uint8Array(proofBytes);
    const mac = createHmac('sha256', secret).update(`kimberlite peer 1 ${side}\n`);
    return mac.update(nonceOfSide).update(otherNonce).update(hello).digest();
  }
}

const fixes = {
  checkpointInterval: 'all directories of a cluster are formatted with the same `checkpointInterval`',
  pipelineMax: 'run the same release',
  slots: 'run the same release',
} as const;

const rangeOf = ({ protocolVersion, protocolVersionOldest }: PeerHello): VersionRange => ({
  oldest: protocolVersionOldest,
  newest: protocolVersion,
});

/**
 * Two releases may run together where they have a version in common, and both speak the one in force. Null: they do.
 * A close frame cuts what is longer than 123 bytes, so what to do comes first.
 */
function compareVersions(own: PeerHello, their: PeerHello): string | null {
  const [here, there] = [rangeOf(own), rangeOf(their)];
  if (commonVersion(here, there) === null) {
    const older = there.newest < here.newest ? their.replica : own.replica;
    const found = `protocol ${describeVersions(there)} there, ${describeVersions(here)} here`;
    return `install a newer release on replica ${older}, or one in between: ${found}`;
  }
  for (const [{ versionInForce }, other] of [
    [own, their],
    [their, own],
  ] as const) {
    const range = rangeOf(other);
    if (versionInForce === 0 || speaks(range, versionInForce)) continue;
    const which = versionInForce > range.newest ? 'a newer release' : 'a release in between';
    const found = `version ${versionInForce} is in force, and it speaks ${describeVersions(range)}`;
    return `install ${which} on replica ${other.replica}: ${found}`;
  }
  return null;
}

type Comparison = Pick<HandshakeOptions, 'side' | 'own' | 'expected' | 'remembered'>;

/** What must be equal before two nodes may exchange a single message of the protocol; null when it is. */
export function compareHellos({ side, own, expected, remembered }: Comparison, their: PeerHello): PeerRefusal | null {
  const no = (code: PeerRefusalCode, message: string): PeerRefusal => ({ code, message });
  const version = compareVersions(own, their);
  if (version !== null) return no('wrong-version', version);
  if (their.cluster !== own.cluster)
    return no(
      'wrong-cluster',
      `the other node is of cluster ${their.cluster}, this one of ${own.cluster}: check clusterId and replicas`,
    );
  // Of different epochs one has yet to learn of the other's group, and is told over this very connection.
  if (their.epoch === own.epoch && their.voters.join() !== own.voters.join()) {
    const groups = `replicas ${their.voters.join(', ')} vote there and ${own.voters.join(', ')} here`;
    return no('wrong-limits', `${groups}: give all nodes the same \`replicas\``);
  }
  for (const limit of ['pipelineMax', 'slots', 'checkpointInterval'] as const) {
    if (their[limit] === own[limit]) continue;
    const where = fixes[limit];
    return no('wrong-limits', `${limit} is ${their[limit]} there and ${own[limit]} here: ${where}`);
  }
  const misplaced = compareReplicas({ side, own, expected }, their);
  if (misplaced !== null) return misplaced;
  const forgotten = remembered(their);
  return forgotten === null ? null : no('forgotten', forgotten);
}

function compareReplicas(
  { side, own, expected }: Pick<Comparison, 'side' | 'own' | 'expected'>,
  { replica: their, epoch }: PeerHello,
): PeerRefusal | null {
  const no = (message: string): PeerRefusal => ({ code: 'wrong-replica', message });
  if (their === own.replica) return no(`both nodes run as replica ${their}: give each its own \`replica\``);
  // Later a replica may be a standby, or have been removed and not know it.
  if (own.epoch === 0 && epoch === 0 && !own.voters.includes(their)) {
    return no(
      `replica ${their} is no member of a cluster of ${own.voters.length}: add it with \`kimberlite member add\``,
    );
  }
  switch (side) {
    case 'dialer':
      if (their === expected) return null;
      return no(`replica ${their} answers where replica ${expected} should: check the order of \`replicas\``);
    case 'acceptor':
      // The higher id dials, so that a pair never has two connections.
      if (their > own.replica) return null;
      return no(`replica ${their} has no business to dial replica ${own.replica}: check the order of \`replicas\``);
    default:
      return unreachable(side);
  }
}
