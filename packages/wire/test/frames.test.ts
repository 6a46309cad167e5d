import { crc32 as zlibCrc32 } from 'node:zlib';
import {
  crc32,
  frameBytesMax,
  type Op,
  ownVersions,
  protocolVersion,
  type RequestNumber,
  type SessionNumber,
  sha256Hasher,
  type Timestamp,
} from '@kimberlite/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openFrame, sealFrame } from '../src/frame.ts';
import { type Codec, createCodec, frameHeaderBytes, messagesPerFrameMax, type ServerMessage } from '../src/index.ts';
import { packFrameBody } from '../src/msgpack.ts';
import { clientMessage, peerHello, peerMessage, serverMessage } from './arbitraries.ts';

const codec = createCodec({ crc32: zlibCrc32, hasher: sha256Hasher });
const plain = createCodec();

type Decoder = 'decodePeerMessage' | 'decodePeerHello' | 'decodeClientFrame' | 'decodeServerFrame';
const kinds: readonly { name: string; frame: fc.Arbitrary<Uint8Array>; decode: Decoder }[] = [
  { name: 'peer message', frame: peerMessage.map((m) => codec.encodePeerMessage(m)), decode: 'decodePeerMessage' },
  { name: 'peer hello', frame: peerHello.map((m) => codec.encodePeerHello(m)), decode: 'decodePeerHello' },
  {
    name: 'client frame',
    frame: fc.array(clientMessage, { maxLength: 5 }).map((m) => codec.encodeClientFrame(m)),
    decode: 'decodeClientFrame',
  },
  {
    name: 'server frame',
    frame: fc.array(serverMessage, { maxLength: 5 }).map((m) => codec.encodeServerFrame(m)),
    decode: 'decodeServerFrame',
  },
];

describe('round trips', () => {
  it('every peer message', () => {
    fc.assert(
      fc.property(peerMessage, (message) => {
        expect(plain.decodePeerMessage(codec.encodePeerMessage(message))).toEqual({ ok: true, value: message });
      }),
      { numRuns: 2000 },
    );
  });

  it('peer hellos, client and server messages', () => {
    fc.assert(
      fc.property(peerHello, fc.array(clientMessage), fc.array(serverMessage), (hello, asked, told) => {
        expect(codec.decodePeerHello(plain.encodePeerHello(hello))).toEqual({ ok: true, value: hello });
        expect(codec.decodeClientFrame(codec.encodeClientFrame(asked))).toEqual({ ok: true, value: asked });
        expect(codec.decodeServerFrame(plain.encodeServerFrame(told))).toEqual({ ok: true, value: told });
      }),
      { numRuns: 1000 },
    );
  });

  it('reads and answers that share everything but number and body, in smaller frames and in their order', () => {
    const body = new Uint8Array(20);
    const linearizable = { type: 'linearizable' } as const;
    const levels = [linearizable, { type: 'at-least', position: 3 }, { type: 'at-least', position: 4 }] as const;
    const ask = (query: number, after: number, level: (typeof levels)[number]) =>
      ({
        type: 'query',
        query: { session: 1 as SessionNumber, query, after: after as RequestNumber, level, body },
      }) as const;
    const asked = Array.from({ length: 90 }, (_, i) =>
      ask(i, Math.floor(i / 40), levels[Math.floor(i / 30)] ?? linearizable),
    );
    const frame = codec.encodeClientFrame(asked);
    expect(codec.decodeClientFrame(frame)).toEqual({ ok: true, value: asked });
    expect(frame.length).toBeLessThan(90 * 30);
    const tell = (query: number, op: number) =>
      ({ type: 'reply', reply: { type: 'answer', query, op: op as Op, timestamp: op as Timestamp, body } }) as const;
    const told = Array.from({ length: 90 }, (_, i) => tell(90 - i, Math.floor(i / 50)));
    expect(codec.decodeServerFrame(codec.encodeServerFrame(told))).toEqual({ ok: true, value: told });
  });

  it('no frame stands for more messages than its bound', () => {
    const run = { type: 'queries', session: 1, after: 0, level: { type: 'local' } };
    const pairs = Array.from({ length: 5000 }, (_, i) => [i, new Uint8Array(0)]);
    const frame = sealFrame(
      'client',
      protocolVersion,
      packFrameBody([run, run].map((of) => ({ ...of, queries: pairs }))),
      crc32,
    );
    const decoded = codec.decodeClientFrame(frame);
    expect(decoded).toMatchObject({ ok: false, error: { code: 'shape' } });
    expect(decoded.ok ? '' : decoded.error.message).toContain('10000');
  });

  it('keeps the bytes of a prepare as they are, and none of the frame', () => {
    fc.assert(
      fc.property(peerMessage, (message) => {
        if (message.type !== 'prepare') return;
        const frame = codec.encodePeerMessage(message);
        const decoded = codec.decodePeerMessage(frame);
        frame.fill(0);
        expect(decoded).toEqual({ ok: true, value: message });
      }),
      { numRuns: 1000 },
    );
  });

  it('keeps nothing of a client frame', () => {
    const body = Uint8Array.of(1, 2, 3);
    const level = { type: 'local' } as const;
    const query = { type: 'query', query: { session: 1, query: 1, after: 0, level, body } };
    const frame = codec.encodeClientFrame([query] as unknown as Parameters<Codec['encodeClientFrame']>[0]);
    const decoded = codec.decodeClientFrame(frame);
    frame.fill(0);
    expect(decoded).toEqual({ ok: true, value: [query] });
  });
});

describe('damage', () => {
  it.each(kinds)('a flip of any bit of any byte of a $name is found', ({ frame, decode }) => {
    fc.assert(
      fc.property(frame, fc.nat(7), (bytes, bit) => {
        for (let at = 0; at < bytes.length; at++) {
          const damaged = new Uint8Array(bytes);
          damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
          if (codec[decode](damaged).ok) throw new Error(`byte ${at}, bit ${bit} went unnoticed`);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('every cut of a frame is found, and named', () => {
    const frame = codec.encodeClientFrame([{ type: 'status' }]);
    for (let length = 0; length < frame.length; length++) {
      const decoded = codec.decodeClientFrame(frame.subarray(0, length));
      expect(decoded).toMatchObject({ ok: false, error: { code: 'truncated' } });
    }
  });

  it('each kind of damage has its own error', () => {
    const good = codec.encodeClientFrame([{ type: 'status' }]);
    const changed = (at: number, value: number): Uint8Array => {
      const frame = new Uint8Array(good);
      frame[at] = value;
      return frame;
    };
    const code = (frame: Uint8Array): string => {
      const decoded = codec.decodeClientFrame(frame);
      return decoded.ok ? 'ok' : decoded.error.code;
    };
    expect(code(good)).toBe('ok');
    expect(code(changed(0, 0))).toBe('magic');
    expect(code(changed(8, protocolVersion + 1))).toBe('version');
    expect(code(changed(4, 0))).toBe('checksum');
    expect(code(new Uint8Array([...good, 0]))).toBe('length');
    expect(code(codec.encodeServerFrame([]))).toBe('kind');
    expect(code(new Uint8Array(frameBytesMax + 1))).toBe('too-large');
    expect(code(sealFrame('client', protocolVersion, new Uint8Array(frameHeaderBytes + 1), zlibCrc32))).toBe('shape');
  });

  it('refuses a prepare that is not what its header says, inside an intact frame', () => {
    const [message] = fc.sample(
      peerMessage.filter((m) => m.type === 'prepare'),
      1,
    );
    if (message?.type !== 'prepare') throw new Error('no prepare');
    const bytes = new Uint8Array(message.prepare.bytes);
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    const forged = { ...message, prepare: { ...message.prepare, bytes } };
    expect(codec.decodePeerMessage(codec.encodePeerMessage(forged))).toMatchObject({
      ok: false,
      error: { code: 'shape' },
    });
  });
});

describe('foreign bytes', () => {
  it('a hundred thousand pieces of garbage throw nothing', () => {
    let state = 1;
    const next = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 8;
    };
    const seeds = [
      codec.encodePeerMessage(fc.sample(peerMessage, { numRuns: 1, seed: 5 })[0] as never),
      codec.encodeClientFrame(fc.sample(clientMessage, { numRuns: 4, seed: 5 })),
      codec.encodeServerFrame(fc.sample(serverMessage, { numRuns: 4, seed: 5 })),
    ];
    const frameKinds = ['peer', 'client', 'server', 'peer-hello'] as const;
    let intact = 0;
    for (let i = 0; i < 100_000; i++) {
      const seed = seeds[i % seeds.length] as Uint8Array;
      const frame = i % 2 === 0 ? new Uint8Array(frameHeaderBytes + (next() % 64)) : new Uint8Array(seed);
      const flips = i % 2 === 0 ? frame.length : 1 + (next() % 4);
      for (let f = 0; f < flips; f++) frame[next() % frame.length] = next() & 255;
      // Sealed, so that the garbage gets past the checksum and meets the decoder proper.
      const kind = frameKinds[next() % 4] as (typeof frameKinds)[number];
      sealFrame(kind, protocolVersion, frame, zlibCrc32);
      for (const decode of kinds) if (codec[decode.decode](frame).ok) intact++;
    }
    expect(intact).toBeLessThan(50_000);
  });

  it('a frame opens for its own kind only', () => {
    const frame = sealFrame('peer', protocolVersion, new Uint8Array(frameHeaderBytes), zlibCrc32);
    const options = { crc32: zlibCrc32, versions: ownVersions };
    expect(openFrame(frame, { kind: 'peer', ...options }).ok).toBe(true);
    expect(openFrame(frame, { kind: 'peer-hello', ...options })).toMatchObject({ error: { code: 'kind' } });
  });
});

describe('versions', () => {
  const speaking = (oldest: number, newest: number): Codec => createCodec({ versions: { oldest, newest } });
  const hello = { type: 'hello', protocolVersion: 4, protocolVersionOldest: 3, client: 'c'.repeat(32), cluster: null };
  const asked = [hello] as unknown as Parameters<Codec['encodeClientFrame']>[0];

  it('a frame is read by whoever speaks its version, and refused as of another by everybody else', () => {
    const ping = { type: 'ping', from: 1, sentAtUs: 5 } as unknown as Parameters<Codec['encodePeerMessage']>[0];
    const view = { type: 'view', view: 3, primary: 0 } as unknown as ServerMessage;
    for (const version of [1, 2, 3]) {
      const frame = speaking(1, 3).encodePeerMessage(ping, 0, version);
      expect(speaking(version, version).decodePeerMessage(frame)).toEqual({ ok: true, value: ping });
      expect(speaking(version + 1, 9).decodePeerMessage(frame)).toMatchObject({ error: { code: 'version' } });
      const told = speaking(1, 3).encodeServerFrame([view], version);
      expect(speaking(1, 3).decodeServerFrame(told).ok).toBe(true);
      expect(speaking(4, 4).decodeServerFrame(told)).toMatchObject({ error: { code: 'version' } });
    }
  });

  it('greetings are read by everybody, and what a later release adds to them is overlooked', () => {
    const frame = speaking(3, 4).encodeClientFrame(asked);
    expect(speaking(1, 1).decodeClientFrame(frame)).toEqual({ ok: true, value: asked });
    const error = { type: 'error', code: 'wrong-version', message: 'no' } as const;
    expect(speaking(3, 4).decodeServerFrame(speaking(1, 1).encodeServerFrame([error]))).toEqual({
      ok: true,
      value: [error],
    });
    const more = sealFrame('client', 0, packFrameBody([{ ...hello, colour: 'red' }]), crc32);
    expect(codec.decodeClientFrame(more)).toEqual({ ok: true, value: asked });
    const unheardOf = sealFrame('server', 0, packFrameBody([{ ...error, code: 'too-red', hint: 1 }]), crc32);
    expect(codec.decodeServerFrame(unheardOf)).toEqual({ ok: true, value: [{ ...error, code: 'bad-frame' }] });
  });

  it('nothing but a greeting is taken for one', () => {
    const status = { type: 'view', view: 1, primary: 0 };
    expect(codec.decodeServerFrame(sealFrame('server', 0, packFrameBody([status]), crc32)).ok).toBe(false);
    const ping = codec.encodePeerMessage({ type: 'ping', from: 1, sentAtUs: 5 } as never);
    expect(codec.decodePeerMessage(sealFrame('peer', 0, ping, crc32))).toMatchObject({ error: { code: 'version' } });
  });

  it('greetings go apart from the rest of a turn, in order', () => {
    const welcome = {
      type: 'welcome',
      protocolVersion: 1,
      cluster: 'c'.repeat(32),
      replica: 0,
      view: 0,
      primary: 0,
      members: [],
    };
    const view = { type: 'view', view: 3, primary: 0 };
    const turn = [view, welcome, view] as unknown as readonly ServerMessage[];
    const frames = codec.encodeServerFrames(turn);
    expect(frames.length).toBe(3);
    expect(
      frames.flatMap((frame) => {
        const decoded = codec.decodeServerFrame(frame);
        return decoded.ok ? decoded.value : [];
      }),
    ).toEqual(turn);
  });
});

describe('bounds', () => {
  it('splits what one turn produced into frames, in order', () => {
    const body = new Uint8Array(1_500_000);
    const reply = (number: number) =>
      ({
        type: 'reply',
        reply: { type: 'outcome', session: 1, number, op: 1, timestamp: 1, body },
      }) as unknown as ServerMessage;
    const messages = Array.from({ length: 7 }, (_, i) => reply(i + 1));
    const frames = codec.encodeServerFrames(messages);
    expect(frames.length).toBe(4);
    const decoded = frames.flatMap((frame) => {
      const result = codec.decodeServerFrame(frame);
      return result.ok ? result.value : [];
    });
    const numbers = decoded.map((message) =>
      message.type === 'reply' && 'number' in message.reply ? message.reply.number : 0,
    );
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const many = Array.from({ length: messagesPerFrameMax + 1 }, () => ({ type: 'status' }) as const);
    expect(codec.encodeClientFrames(many).length).toBe(2);
    expect(codec.encodeClientFrames([])).toEqual([]);
  });
});
