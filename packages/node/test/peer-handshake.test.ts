import { clusterId, protocolVersion, replicaId } from '@kimberlite/base';
import { createCodec, type PeerHello } from '@kimberlite/wire';
import { describe, expect, it } from 'vitest';
import { type HandshakeSide, type HandshakeStep, PeerHandshake } from '../src/peer-handshake.ts';

const codec = createCodec();
const hello = (replica: number): PeerHello => ({
  cluster: clusterId('a'.repeat(32)),
  replica: replicaId(replica),
  incarnation: 0,
  view: 3,
  epoch: 0,
  voters: [0, 1, 2],
  protocolVersion,
  protocolVersionOldest: 1,
  versionInForce: 1,
  pipelineMax: 8,
  slots: 0,
  checkpointInterval: 0,
  endpoint: null,
  adminUrl: null,
});

const side = (
  which: HandshakeSide,
  secret: string | null,
  remembered: (their: PeerHello) => string | null = () => null,
): PeerHandshake =>
  new PeerHandshake({
    side: which,
    remembered,
    own: hello(which === 'dialer' ? 2 : 0),
    expected: which === 'dialer' ? replicaId(0) : null,
    secret,
    codec,
  });

const frameOf = (step: HandshakeStep): Uint8Array => {
  if (step.type !== 'introduce') throw new Error(`not an introduction but ${JSON.stringify(step)}`);
  return step.frame;
};
const outcome = (step: HandshakeStep): string => (step.type === 'refused' ? step.refusal.code : step.type);

describe('the handshake of replicas', () => {
  it.each([null, 'a shared secret of some length'])('succeeds in two frames each way (secret: %s)', (secret) => {
    const [dialer, acceptor] = [side('dialer', secret), side('acceptor', secret)];
    const [fromDialer, fromAcceptor] = [dialer.challenge(), acceptor.challenge()];
    const one = frameOf(acceptor.receive(fromDialer));
    const two = frameOf(dialer.receive(fromAcceptor));
    expect(dialer.receive(one)).toMatchObject({ type: 'accepted', hello: { replica: 0 } });
    expect(acceptor.receive(two)).toMatchObject({ type: 'accepted', hello: { replica: 2 } });
  });

  it('refuses whoever says of itself what cannot be', () => {
    const acceptor = side('acceptor', null, ({ view }) => `was in another view than ${view}`);
    acceptor.receive(side('dialer', null).challenge());
    const dialer = side('dialer', null);
    const step = acceptor.receive(frameOf(dialer.receive(acceptor.challenge())));
    expect(step).toMatchObject({
      type: 'refused',
      refusal: { code: 'forgotten', message: 'was in another view than 3' },
    });
  });

  it('finds every flipped bit of an introduction under a secret', () => {
    const secret = 'a shared secret of some length';
    const acceptor = side('acceptor', secret);
    const dialer = side('dialer', secret);
    const frame = frameOf(dialer.receive(acceptor.challenge()));
    acceptor.receive(dialer.challenge());
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const bent = frame.slice();
      bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(outcome(acceptor.receive(bent))).toBe('wrong-secret');
    }
    expect(outcome(acceptor.receive(frame))).toBe('accepted');
  });

  it('what one connection proved proves nothing on another', () => {
    const secret = 'a shared secret of some length';
    const heard = frameOf(side('dialer', secret).receive(side('acceptor', secret).challenge()));
    const another = side('acceptor', secret);
    another.receive(side('dialer', secret).challenge());
    expect(outcome(another.receive(heard))).toBe('wrong-secret');
  });

  it("a proof cannot be sent back as the other side's own", () => {
    const secret = 'a shared secret of some length';
    const acceptor = side('acceptor', secret);
    // Somebody without the secret dials, and gets the acceptor to prove itself.
    const mallory = side('dialer', 'x'.repeat(16));
    const proof = frameOf(acceptor.receive(mallory.challenge()));
    expect(outcome(acceptor.receive(proof))).toBe('wrong-secret');
  });

  /** What becomes of two releases that meet: what the dialer, replica 2, and the acceptor, replica 0, make of it. */
  const meeting = (dialer: Partial<PeerHello>, acceptor: Partial<PeerHello>): readonly HandshakeStep[] => {
    const known = { secret: null, codec, remembered: () => null } as const;
    const two = new PeerHandshake({
      side: 'dialer',
      own: { ...hello(2), ...dialer },
      expected: replicaId(0),
      ...known,
    });
    const none = new PeerHandshake({ side: 'acceptor', own: { ...hello(0), ...acceptor }, expected: null, ...known });
    const [fromTwo, fromNone] = [two.challenge(), none.challenge()];
    const [introduction, answer] = [frameOf(two.receive(fromNone)), frameOf(none.receive(fromTwo))];
    return [two.receive(answer), none.receive(introduction)];
  };
  const release = (protocolVersionOldest: number, protocolVersion: number, versionInForce: number) => ({
    protocolVersionOldest,
    protocolVersion,
    versionInForce,
  });

  it.each([
    ['an older one', release(1, 1, 1), release(1, 2, 1), 1],
    ['a newer one', release(2, 4, 3), release(1, 3, 3), 3],
    ['one that has not read its log yet', release(1, 2, 0), release(2, 3, 2), 2],
  ])('two releases speak the newest version they have in common: %s', (_, theirs, ours, version) => {
    for (const step of meeting(theirs, ours)) expect(step).toMatchObject({ type: 'accepted', version });
  });

  it.each([
    [
      'versions were skipped',
      release(3, 4, 0),
      release(1, 2, 2),
      /^install a newer release on replica 0, or one in bet/,
    ],
    [
      'it went back',
      release(1, 1, 0),
      release(1, 2, 2),
      /^install a newer release on replica 2: version 2 is in force/,
    ],
    [
      'the other one has gone on',
      release(1, 2, 2),
      release(1, 1, 1),
      /^install a newer release on replica 0: version 2/,
    ],
    [
      'too new for what is in force',
      release(2, 3, 0),
      release(1, 2, 1),
      /^install a release in between on replica 2: ve/,
    ],
  ])('releases that cannot run together are told apart on both sides, with what to do: %s', (_, theirs, ours, text) => {
    for (const step of meeting(theirs, ours)) {
      expect(step).toMatchObject({ type: 'refused', refusal: { code: 'wrong-version' } });
      if (step.type === 'refused') expect(step.refusal.message).toMatch(text);
      // What does not fit a close frame would be cut.
      if (step.type === 'refused') expect(step.refusal.message.length).toBeLessThanOrEqual(123);
    }
  });

  it.each([0, 1, 37, 39, 4096])('survives %i bytes of anything, at either step', (length) => {
    const anything = Uint8Array.from({ length }, (_, i) => (i * 73) & 255);
    expect(outcome(side('acceptor', null).receive(anything))).toBe('bad-frame');
    const acceptor = side('acceptor', null);
    acceptor.receive(side('dialer', null).challenge());
    expect(['bad-frame', 'wrong-secret']).toContain(outcome(acceptor.receive(anything)));
  });
});
