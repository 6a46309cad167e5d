import { commandsPerRequestMax, requestBodyBytesMax } from '@kimberlite/base';
import { describe, expect, it } from 'vitest';
import { pendingCallsMax, requestsGatheringMax } from '../src/session/limits.ts';
import { Bench } from './scripted-server.ts';

describe('batches', () => {
  it('sends concurrent calls as one request, numbered in the order of issue', () => {
    const bench = new Bench();
    bench.open();
    const calls = ['a', 'b', 'c'].map((name) => bench.command(name));
    bench.flush();
    const request = bench.take();
    expect(bench.names(request)).toEqual(['a', 'b', 'c']);
    expect(request).toMatchObject({ session: 10, number: 2, floor: 2 });
    bench.accept(request, 5);
    expect(calls.map((call) => bench.fate(call))).toEqual(['ok', 'ok', 'ok']);
    expect(bench.settled.get(calls[2] as number)).toMatchObject({ outcome: { position: 7 } });
  });

  it('sends a single call at once, and gathers when enough requests are in flight', () => {
    const bench = new Bench();
    bench.open();
    for (let i = 0; i < requestsGatheringMax + 5; i++) {
      bench.command(`c${i}`);
      bench.flush();
    }
    expect(bench.requests.map((request) => bench.names(request).length)).toEqual(Array(requestsGatheringMax).fill(1));
    const [first] = bench.requests;
    bench.requests = [];
    if (first !== undefined) bench.accept(first);
    expect(bench.names(bench.take())).toEqual(['c8', 'c9', 'c10', 'c11', 'c12']);
  });

  it('keeps batches within their bounds of count and bytes', () => {
    const bench = new Bench();
    bench.open();
    for (let i = 0; i < commandsPerRequestMax + 1; i++) bench.command('x');
    bench.flush();
    expect(bench.requests.map((request) => bench.names(request).length)).toEqual([commandsPerRequestMax, 1]);
    for (const request of bench.requests.splice(0)) bench.accept(request);
    for (let i = 0; i < 3; i++) bench.command('y'.repeat(500_000));
    bench.flush();
    expect(bench.requests.map((request) => bench.names(request).length)).toEqual([2, 1]);
    for (const request of bench.requests) expect(request.body.length).toBeLessThanOrEqual(requestBodyBytesMax);
  });

  it('a query comes after the commands before it, and before those behind it', () => {
    const bench = new Bench();
    bench.open();
    bench.command('a');
    const query = bench.ask();
    bench.command('b');
    bench.ask();
    bench.flush();
    expect(bench.requests.map((r) => [r.number, bench.names(r)])).toEqual([
      [2, ['a']],
      [3, ['b']],
    ]);
    expect(bench.queries.map((q) => q.after)).toEqual([2, 3]);
    bench.answer(bench.queries[0] as never);
    expect(bench.fate(query)).toBe('ok');
  });

  it('reads need no session', () => {
    const bench = new Bench();
    bench.flush();
    bench.greet('ws://0');
    const call = bench.ask();
    bench.flush();
    expect(bench.registrations).toEqual([]);
    bench.answer(bench.queries[0] as never);
    expect(bench.fate(call)).toBe('ok');
  });

  it('refuses at once what is too large or too much', () => {
    const bench = new Bench();
    bench.flush();
    expect(bench.fate(bench.command('x'.repeat(requestBodyBytesMax)))).toBe('RequestTooLarge/not-applied');
    for (let i = 0; i < pendingCallsMax; i++) bench.command('');
    const one = bench.command('one more');
    expect(bench.fate(one)).toBe('Overloaded/not-applied');
    expect(bench.settled.get(one)).toMatchObject({ failure: { retryable: true } });
  });

  it('the floor is the lowest number whose outcome is still wanted', () => {
    const bench = new Bench();
    bench.open();
    for (const name of ['a', 'b', 'c']) {
      bench.command(name);
      bench.flush();
    }
    const [two, three] = bench.requests;
    bench.requests = [];
    if (three !== undefined) bench.accept(three);
    bench.command('d');
    bench.flush();
    expect(bench.take()).toMatchObject({ number: 5, floor: 2 });
    if (two !== undefined) bench.accept(two);
    bench.command('e');
    bench.flush();
    expect(bench.take()).toMatchObject({ number: 6, floor: 4 });
  });
});

describe('lost replies (pitfalls 42 and 58)', () => {
  it('sends the very same request again after a reconnect, and settles each call once', () => {
    const bench = new Bench();
    bench.open();
    const [a, b] = [bench.command('a'), bench.command('b')];
    bench.flush();
    const first = bench.take();
    bench.cut('ws://0');
    bench.comeBack();
    const again = bench.take();
    expect(again).toMatchObject({ number: first.number, checksum: first.checksum, body: first.body, session: 10 });
    bench.accept(again);
    bench.accept(again);
    expect([bench.fate(a), bench.fate(b)]).toEqual(['ok', 'ok']);
  });

  it('gives each of several requests its own reply', () => {
    const bench = new Bench();
    bench.open();
    const calls = ['a', 'b', 'c'].map((name) => {
      const call = bench.command(name);
      bench.flush();
      return call;
    });
    bench.requests = [];
    bench.cut('ws://0');
    bench.comeBack();
    const again = bench.requests;
    expect(again.map((r) => r.number)).toEqual([2, 3, 4]);
    for (const [i, request] of [...again].reverse().entries()) bench.accept(request, 100 + i);
    expect(calls.map((call) => bench.settled.get(call))).toMatchObject([
      { outcome: { position: 102 } },
      { outcome: { position: 101 } },
      { outcome: { position: 100 } },
    ]);
  });

  it('sends again on a connection that stays silent', () => {
    const bench = new Bench();
    bench.open();
    bench.command('a');
    bench.flush();
    const first = bench.take();
    bench.tick(600);
    const again = bench.take();
    expect(again).toMatchObject({ number: first.number, checksum: first.checksum });
  });

  it('a reply that makes no sense leaves the outcome unknown', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.command('a');
    bench.flush();
    const { connection, session, number } = bench.take();
    bench.reply(connection, { type: 'outcome', session, number, op: 1, timestamp: 1, body: Uint8Array.of(0x90) });
    expect(bench.fate(call)).toBe('ProtocolError/unknown');
  });
});

describe('what may be said of a call that failed (pitfall 67)', () => {
  it('never sent: not applied', () => {
    const bench = new Bench();
    const call = bench.command('a', 200);
    bench.tick(300);
    expect(bench.fate(call)).toBe('Timeout/not-applied');
  });

  it('sent and unanswered: unknown', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.command('a', 200);
    bench.flush();
    bench.tick(300);
    expect(bench.fate(call)).toBe('Timeout/unknown');
  });

  it('every transmission refused: not applied', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.command('a', 200);
    bench.flush();
    for (let i = 0; i < 30; i++) {
      for (const request of bench.requests.splice(0)) bench.refuse(request, 'overloaded');
      bench.tick(10);
    }
    expect(bench.fate(call)).toBe('Overloaded/not-applied');
  });

  it('the last refused but an earlier one unanswered: unknown', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.command('a', 400);
    bench.flush();
    bench.take();
    bench.cut('ws://0');
    bench.comeBack();
    for (let i = 0; i < 40; i++) {
      for (const request of bench.requests.splice(0)) bench.refuse(request, 'overloaded');
      bench.tick(10);
    }
    expect(bench.fate(call)).toBe('Timeout/unknown'.replace('Timeout', 'Overloaded'));
  });

  it('aborted while it waits: not applied; while in flight: unknown', () => {
    const bench = new Bench();
    bench.open();
    const sent = bench.command('a');
    bench.flush();
    const waiting = bench.command('b');
    bench.input({ type: 'abort', call: waiting });
    bench.input({ type: 'abort', call: sent });
    expect([bench.fate(sent), bench.fate(waiting)]).toEqual(['Aborted/unknown', 'Aborted/not-applied']);
    expect(bench.requests.map((request) => bench.names(request))).toEqual([['a']]);
  });

  it('closed: as if aborted', () => {
    const bench = new Bench();
    bench.open();
    const sent = bench.command('a');
    bench.flush();
    const waiting = bench.command('b');
    const query = bench.ask();
    bench.input({ type: 'close' });
    expect([sent, waiting, query].map((call) => bench.fate(call))).toEqual([
      'Closed/unknown',
      'Closed/not-applied',
      'Closed/not-applied',
    ]);
    expect(bench.links.size).toBe(0);
    expect(bench.fate(bench.command('late'))).toBe('Closed/not-applied');
    expect(bench.session.tickInMs()).toBeNull();
  });

  it('a query that failed changed nothing', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.ask(200);
    bench.flush();
    bench.tick(300);
    expect(bench.fate(call)).toBe('Timeout/not-applied');
  });
});

describe('a primary whose disk is full', () => {
  it('writes wait while another may take over, then fail at once, retryably; reads behind them are answered', () => {
    const bench = new Bench();
    bench.open();
    const first = bench.command('first');
    bench.flush();
    bench.refuse(bench.take(), 'disk-full', 0, 50);
    expect(bench.fate(first)).toBeUndefined();
    for (let i = 0; i < 400 && bench.fate(first) === undefined; i++) {
      bench.tick(10);
      for (const request of bench.requests.splice(0)) bench.refuse(request, 'disk-full', 0, 50);
    }
    expect(bench.fate(first)).toBe('DiskFull/not-applied');
    expect(bench.settled.get(first)).toMatchObject({ failure: { retryable: true } });
    const second = bench.command('second');
    const read = bench.ask();
    bench.tick(100);
    for (const request of bench.requests.splice(0)) bench.refuse(request, 'disk-full', 0, 50);
    expect(bench.fate(second)).toBe('DiskFull/not-applied');
    bench.tick(100);
    bench.answer(bench.queries.at(-1) as never);
    expect(bench.fate(read)).toBe('ok');
    const third = bench.command('third');
    bench.tick(100);
    bench.accept(bench.take());
    expect(bench.fate(third)).toBe('ok');
  });

  it('a command that an earlier transmission may have brought in is not called refused', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.command('sent', 5000);
    bench.flush();
    bench.take();
    bench.open();
    for (let i = 0; i < 600 && bench.fate(call) === undefined; i++) {
      bench.tick(10);
      for (const request of bench.requests.splice(0)) bench.refuse(request, 'disk-full', 0, 50);
    }
    expect(bench.fate(call)).toBe('DiskFull/unknown');
  });
});

describe('numbers that were refused must be used up', () => {
  it('goes on with the calls that are still wanted, under the same number', () => {
    const bench = new Bench();
    bench.open();
    const gone = bench.command('gone', 50);
    const kept = bench.command('kept');
    bench.flush();
    bench.refuse(bench.take(), 'overloaded', 0, 100);
    bench.tick(60);
    expect(bench.fate(gone)).toBe('Overloaded/not-applied');
    bench.tick(200);
    const again = bench.take();
    expect(again.number).toBe(2);
    expect(bench.names(again)).toEqual(['kept']);
    bench.accept(again);
    expect(bench.fate(kept)).toBe('ok');
  });

  it('fills a gap in the middle with an empty batch', () => {
    const bench = new Bench();
    bench.open();
    const first = bench.command('first');
    bench.flush();
    const gone = bench.command('gone', 50);
    bench.flush();
    const last = bench.command('last');
    bench.flush();
    const [a, b, c] = bench.requests.splice(0);
    bench.refuse(a as never, 'overloaded', 0, 100);
    bench.refuse(b as never, 'overloaded', 0, 100);
    bench.refuse(c as never, 'overloaded', 0, 100);
    bench.tick(300);
    expect(bench.fate(gone)).toBe('Overloaded/not-applied');
    expect(bench.requests.map((r) => [r.number, bench.names(r)])).toEqual([
      [2, ['first']],
      [3, []],
      [4, ['last']],
    ]);
    for (const request of bench.requests.splice(0)) bench.accept(request);
    expect([bench.fate(first), bench.fate(last)]).toEqual(['ok', 'ok']);
  });

  it('at the low end the floor passes them', () => {
    const bench = new Bench();
    bench.open();
    bench.command('gone', 50);
    bench.flush();
    bench.take();
    bench.tick(60);
    bench.command('next');
    bench.flush();
    expect(bench.take()).toMatchObject({ number: 3, floor: 3 });
  });

  it('a query behind a number that was given up does not wait for it', () => {
    const bench = new Bench();
    bench.open();
    bench.command('gone', 50);
    const query = bench.ask();
    bench.flush();
    expect(bench.queries[0]).toMatchObject({ after: 2 });
    bench.queries = [];
    bench.requests = [];
    bench.tick(70);
    expect(bench.queries[0]).toMatchObject({ after: 0 });
    bench.answer(bench.queries[0] as never);
    expect(bench.fate(query)).toBe('ok');
  });
});

describe('evictions (pitfall 36)', () => {
  it('leaves what is in flight unknown, and registers anew for later calls', () => {
    const bench = new Bench();
    const connection = bench.open();
    const sent = bench.command('a');
    bench.flush();
    bench.take();
    bench.reply(connection, { type: 'evicted', session: 10 });
    expect(bench.fate(sent)).toBe('SessionEvicted/unknown');
    const later = bench.command('b');
    bench.flush();
    expect(bench.registrations.length).toBe(2);
    bench.reply(connection, { type: 'registered', session: 10 });
    expect(bench.requests).toEqual([]);
    bench.reply(connection, { type: 'registered', session: 99 });
    const request = bench.take();
    expect(request).toMatchObject({ session: 99, number: 1, floor: 1 });
    bench.accept(request);
    expect(bench.fate(later)).toBe('ok');
  });

  it('starts over with what was certainly refused, in the order of issue', () => {
    const bench = new Bench();
    const connection = bench.open();
    const refused = bench.command('refused');
    bench.flush();
    bench.refuse(bench.take(), 'overloaded', 0, 500);
    const waiting = bench.command('waiting');
    bench.reply(connection, { type: 'evicted', session: 10 });
    bench.tick(1000);
    bench.reply(connection, { type: 'registered', session: 99 });
    const request = bench.take();
    expect(bench.names(request)).toEqual(['refused', 'waiting']);
    bench.accept(request);
    expect([bench.fate(refused), bench.fate(waiting)]).toEqual(['ok', 'ok']);
  });

  it('an eviction of an older session means nothing', () => {
    const bench = new Bench();
    const connection = bench.open();
    const call = bench.command('a');
    bench.flush();
    bench.reply(connection, { type: 'evicted', session: 9 });
    expect(bench.fate(call)).toBeUndefined();
  });
});

describe('finding the primary', () => {
  it('follows the welcome of a backup', () => {
    const bench = new Bench();
    bench.flush();
    bench.greet('ws://0', 4);
    bench.tick(10);
    bench.greet('ws://1', 4);
    const call = bench.command('a');
    bench.flush();
    expect(bench.registrations).toEqual([bench.link('ws://1')]);
    expect(bench.isLinked('ws://0')).toBe(false);
    expect(bench.fate(call)).toBeUndefined();
  });

  it('follows a refusal and a view message, and sends everything again', () => {
    const bench = new Bench();
    const old = bench.open();
    const call = bench.command('a');
    bench.flush();
    const first = bench.take();
    bench.refuse(first, 'not-primary', 1);
    bench.greet('ws://1', 1);
    bench.tick(10);
    const second = bench.take();
    expect(second).toMatchObject({ number: first.number, connection: bench.link('ws://1') });
    expect(bench.links.has(old)).toBe(false);
    bench.tell(second.connection, [{ type: 'view', view: 2 as never, primary: 2 as never }]);
    bench.greet('ws://2', 2);
    bench.tick(10);
    const third = bench.take();
    expect(third.connection).toBe(bench.link('ws://2'));
    bench.accept(third);
    expect(bench.fate(call)).toBe('ok');
  });

  it('after the primary dies, waits at a backup and moves within a tick of the news', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.command('a');
    bench.flush();
    bench.requests = [];
    bench.cut('ws://0');
    expect(bench.isLinked('ws://1')).toBe(true);
    bench.greet('ws://1', 0);
    bench.tick(50);
    expect(bench.requests).toEqual([]);
    bench.tell(bench.link('ws://1'), [{ type: 'view', view: 1 as never, primary: 1 as never }]);
    const again = bench.take();
    expect(again.connection).toBe(bench.link('ws://1'));
    bench.accept(again);
    expect(bench.fate(call)).toBe('ok');
  });

  it('asks somebody else when the primary goes quiet, without giving it up', () => {
    const bench = new Bench();
    const quiet = bench.open();
    const call = bench.command('a');
    bench.flush();
    bench.requests = [];
    bench.tick(350);
    expect(bench.links.has(quiet)).toBe(true);
    const other = [...bench.links.values()].find((link) => link.endpoint !== 'ws://0');
    expect(other).toBeDefined();
    const endpoint = other?.endpoint ?? '';
    bench.greet(endpoint, Number(endpoint.slice(5)));
    const again = bench.take();
    expect(again.connection).toBe(bench.link(endpoint));
    bench.accept(again);
    expect(bench.fate(call)).toBe('ok');
  });

  it.each([0, 1])('dials the only node there is again when its connection is silent, after %i reconnects', (cuts) => {
    const bench = new Bench({}, ['ws://0']);
    bench.open();
    for (let i = 0; i < cuts; i++) {
      bench.cut('ws://0');
      bench.tick(100);
      bench.greet('ws://0');
    }
    const silent = bench.link('ws://0');
    const call = bench.command('a');
    bench.flush();
    bench.requests = [];
    bench.tick(2_100);
    const fresh = [...bench.links.keys()].find((number) => number !== silent);
    if (fresh === undefined) throw new Error('the silent connection is believed in for ever');
    // What was sent again on the silent one is lost.
    bench.requests = [];
    bench.greet('ws://0', 0, fresh);
    bench.tick(10);
    expect(bench.links.has(silent)).toBe(false);
    const again = bench.take();
    expect(again.connection).toBe(fresh);
    bench.accept(again);
    expect(bench.fate(call)).toBe('ok');
  });

  it('ignores older views, and the view a node that is still starting makes up', () => {
    const bench = new Bench();
    bench.flush();
    bench.greet('ws://0', 0);
    const connection = bench.link('ws://0');
    expect(bench.session.look()).toMatchObject({ view: 0, primary: 0 });
    bench.tell(connection, [{ type: 'view', view: 3 as never, primary: 0 as never }]);
    bench.tell(connection, [{ type: 'view', view: 2 as never, primary: 2 as never }]);
    expect(bench.session.look()).toMatchObject({ view: 3, primary: 0 });
    const starting = new Bench();
    starting.flush();
    const made = starting.link('ws://0');
    starting.input({ type: 'connected', connection: made });
    starting.greet('ws://0', 1);
    expect(starting.session.look()).toMatchObject({ view: 1, primary: 1 });
  });

  it('backs off from endpoints that do not answer, and says what they said', () => {
    const bench = new Bench();
    bench.flush();
    for (let i = 0; i < 200; i++) {
      for (const link of [...bench.links.values()]) bench.cut(link.endpoint);
      bench.tick(10);
    }
    expect(bench.dials.length).toBeGreaterThan(10);
    expect(bench.dials.length).toBeLessThan(60);
    expect(bench.session.look().troubles).toEqual(['ws://0: reset', 'ws://1: reset', 'ws://2: reset']);
  });

  it('gives up on a node that never greets', () => {
    const bench = new Bench();
    bench.flush();
    bench.tick(1100);
    expect(new Set(bench.dials).size).toBeGreaterThan(1);
  });

  it('leaves a connection that sends nonsense', () => {
    const bench = new Bench();
    const connection = bench.open();
    bench.input({ type: 'frame', connection, frame: new Uint8Array(40) });
    expect(bench.links.has(connection)).toBe(false);
    expect(bench.session.look().troubles.join()).toContain('not a Kimberlite frame');
  });

  it('is quiet when there is nothing to do', () => {
    const bench = new Bench();
    bench.open();
    expect(bench.session.tickInMs()).toBeNull();
  });
});

describe('refusals', () => {
  it('an invalid request fails its calls, and its number is passed', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.command('a');
    bench.flush();
    bench.refuse(bench.take(), 'invalid');
    expect(bench.fate(call)).toBe('InvalidCommand/not-applied');
    bench.command('b');
    bench.flush();
    expect(bench.take()).toMatchObject({ number: 3, floor: 3 });
  });

  it('overload is met with longer and longer pauses', () => {
    const bench = new Bench();
    bench.open();
    bench.command('a');
    bench.flush();
    const times: number[] = [];
    for (let i = 0; i < 300; i++) {
      for (const request of bench.requests.splice(0)) {
        times.push(bench.now);
        bench.refuse(request, 'overloaded', 0, 20);
      }
      bench.tick(10);
    }
    const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    expect(gaps.length).toBeGreaterThan(3);
    expect(gaps.at(-1)).toBeGreaterThan(4 * (gaps[0] ?? 0));
  });

  it('a refused query is asked again', () => {
    const bench = new Bench();
    bench.open();
    const call = bench.ask();
    bench.flush();
    const [query] = bench.queries.splice(0);
    const refusal = { reason: 'unavailable', retryAfterMs: 20, view: 0, primary: 0 };
    bench.reply(query?.connection ?? 0, { type: 'query-refused', query: query?.query, refusal });
    expect(bench.fate(call)).toBeUndefined();
    bench.tick(60);
    const again = bench.queries.find((q) => q.query === query?.query);
    bench.answer(again as never);
    expect(bench.fate(call)).toBe('ok');
  });
});
