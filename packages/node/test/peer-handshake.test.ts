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

  it.each([0, 1, 37, 39, 4096])('survives %i bytes of anything, at either step', (length) => {
    const anything = Uint8Array.from({ length }, (_, i) => (i * 73) & 255);
    expect(outcome(side('acceptor', null).receive(anything))).toBe('bad-frame');
    const acceptor = side('acceptor', null);
    acceptor.receive(side('dialer', null).challenge());
    expect(['bad-frame', 'wrong-secret']).toContain(outcome(acceptor.receive(anything)));
  });
});
