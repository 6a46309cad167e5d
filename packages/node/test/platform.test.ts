import { crc32, decodeUtf8, encodeUtf8, sha256Hasher } from '@kimberlite/base';
import { describe, expect, it } from 'vitest';
import { createClock } from '../src/clock.ts';
import { createJournal } from '../src/journal.ts';
import { nodeCrc32, nodeDecodeText, nodeHasher } from '../src/platform-checksums.ts';
import { NodeTimers } from '../src/timers.ts';
import { truncateUtf8 } from '../src/truncate.ts';
import { eventually } from './eventually.ts';

describe('checksums of the platform', () => {
  it.each([0, 1, 55, 56, 64, 65, 4096, 100_001])('equal the plain ones, %i bytes', (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + 7) & 255);
    expect(nodeHasher(bytes)).toBe(sha256Hasher(bytes));
    expect(nodeCrc32(bytes)).toBe(crc32(bytes));
    expect(nodeCrc32(bytes, 12_345)).toBe(crc32(bytes, 12_345));
    expect(nodeHasher(bytes.subarray(1))).toBe(sha256Hasher(bytes.slice(1)));
  });
});

describe('text decoded by the platform', () => {
  const texts = [
    '',
    'x'.repeat(47),
    'x'.repeat(48),
    'x'.repeat(5000),
    `${'é'.repeat(30)}\ufeff`,
    `\ufeff${'a'.repeat(60)}`,
    '🦜'.repeat(40),
  ];
  it.each(texts)('equals the plain one: %s', (text) => {
    const bytes = encodeUtf8(`<${text}>`);
    expect(nodeDecodeText(bytes, 1, bytes.length - 1)).toBe(text);
    expect(decodeUtf8(bytes, 1, bytes.length - 1)).toBe(text);
  });
  it('refuses what the plain one refuses', () => {
    // Cut off, overlong, a surrogate, beyond the last code point, a stray continuation.
    for (const bad of [
      [0xe2, 0x82],
      [0xc0, 0x80],
      [0xe0, 0x80, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0x80],
      [0xff],
    ]) {
      for (const at of [0, 20, 60]) {
        const bytes = Uint8Array.from({ length: 80 }, () => 0x61);
        bytes.set(bad, at);
        const end = bad.length === 2 && bad[0] === 0xe2 ? at + 2 : 80;
        expect(decodeUtf8(bytes, 0, end)).toBe(undefined);
        expect(nodeDecodeText(bytes, 0, end)).toBe(undefined);
        expect(nodeDecodeText(bytes, 0, 60 + (at === 60 ? 20 : 0)) === undefined).toBe(true);
      }
    }
  });
  it('equals the plain one on random bytes', () => {
    let seed = 7;
    for (let round = 0; round < 3000; round++) {
      const bytes = Uint8Array.from({ length: 64 }, (_, i) => {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        const byte = seed >>> 24;
        return i % 9 === 8 && round % 2 === 0 ? byte : byte & 0x7f;
      });
      expect(nodeDecodeText(bytes, 0, 64)).toBe(decodeUtf8(bytes, 0, 64));
    }
  });
});

describe('clock', () => {
  it('stays within a millisecond of the wall clock, follows its jumps, and has microseconds', () => {
    let wallMs = 1_700_000_000_000;
    let monotonicMs = 5;
    const clock = createClock(
      () => Math.floor(wallMs),
      () => monotonicMs,
    );
    const seen: number[] = [];
    const look = (): void => {
      const { realtimeUs, monotonicUs } = clock.read();
      expect(monotonicUs).toBe(Math.floor(monotonicMs * 1000));
      expect(Math.abs(realtimeUs - Math.floor(wallMs) * 1000)).toBeLessThan(1000);
      seen.push(realtimeUs);
    };
    for (let i = 0; i < 100; i++) {
      look();
      wallMs += 0.0371;
      monotonicMs += 0.0371;
    }
    expect(new Set(seen).size).toBe(100);
    wallMs -= 3_600_000;
    look();
    wallMs += 7_200_000;
    look();
  });
});

describe('timers', () => {
  it('fire once, replace each other by name, and can be cancelled', async () => {
    const fired: string[] = [];
    const timers = new NodeTimers((name) => fired.push(name));
    timers.set('heartbeat', 1);
    timers.set('heartbeat', 2);
    timers.set('repair', 1);
    timers.cancel('repair');
    timers.set('ping', 10);
    await eventually('the last one fired', () => fired.includes('ping'));
    expect(fired).toEqual(['heartbeat', 'ping']);
    timers.set('prepare', 0);
    timers.close();
    timers.set('prepare', 0);
    timers.set('abdicate', 1);
    let deferred = false;
    timers.defer(() => {
      deferred = true;
    });
    await eventually('the deferred turn ran', () => deferred);
    expect(fired).toHaveLength(2);
  });

  it('what was read after a pause counts before the timeout it belies', async () => {
    const { createServer, connect } = await import('node:net');
    const fired: string[] = [];
    const timers = new NodeTimers((name) => fired.push(name));
    let heard = 0;
    const server = createServer((socket) => {
      socket.on('data', () => {
        heard += 1;
        timers.set('heartbeat-timeout', 60_000);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const client = connect(address !== null && typeof address === 'object' ? address.port : 0, '127.0.0.1');
    await new Promise<void>((resolve) => client.once('connect', () => resolve()));
    client.write('first');
    await eventually('the connection works', () => heard === 1);
    timers.set('heartbeat-timeout', 5);
    client.write('a heartbeat');
    // The process stands still until the timeout is overdue.
    const until = performance.now() + 30;
    while (performance.now() < until);
    await eventually('it was heard', () => heard === 2);
    let turns = 0;
    await eventually('some turns passed', () => ++turns > 10);
    expect(fired).toEqual([]);
    timers.close();
    client.destroy();
    server.close();
  });
});

describe('journal', () => {
  it("puts replica, view and op on each line; the line's own win", () => {
    const lines: string[] = [];
    const journal = createJournal({
      level: 'info',
      replica: 2,
      standing: () => ({ view: 7, op: 40 }),
      to: { write: (line) => void lines.push(line) },
    });
    journal.write('info', 'here', { peer: 1 });
    journal.write('warn', 'there', { view: 8 });
    journal.write('debug', 'unheard', {});
    const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).toMatchObject({ level: 'info', replica: 2, view: 7, op: 40, msg: 'here', peer: 1 });
    expect(second).toMatchObject({ level: 'warn', view: 8, op: 40, msg: 'there' });
    expect(lines).toHaveLength(2);
    expect(lines[1]?.match(/"view"/g)).toHaveLength(1);
  });
});

it('text is cut at whole characters', () => {
  expect(truncateUtf8('é'.repeat(10), 20)).toBe('é'.repeat(10));
  expect(truncateUtf8('é'.repeat(11), 20)).toBe(`${'é'.repeat(8)}…`);
  expect(new TextEncoder().encode(truncateUtf8('😀'.repeat(50), 123)).length).toBeLessThanOrEqual(123);
});
