import { WebSocket, WebSocketServer } from 'ws';
import { createCodec } from '@kimberlite/wire';
import { nodeCrc32, nodeHasher } from '@kimberlite/node';
import { readFileSync, writeFileSync } from 'node:fs';
import { bombs, flipBits, kinds, lengthen, seal, truncate } from './frame-shapes.mjs';
import { rawBytes } from './client-port.mjs';

const codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });

/** Bytes that may wait in a socket of the relay before it injects no more. */
const waitingMax = 131_072;
/** Frames injected in one go, so that genuine ones get their turn. */
const burst = 64;
/** Genuine frames remembered for playing back. */
const remembered = 256;

const count = (counts, name, more = 1) => {
  counts[name] = (counts[name] ?? 0) + more;
};

/** Frames that no replica has sent. Damage is what is tested, not treason: what would pass as genuine is made again. */
const damaged = {
  'bits flipped': (random, frame) => flipBits(random, frame, 1 + random.below(3)),
  truncated: truncate,
  'too long': lengthen,
  'random bytes': (random) => random.bytes(random.below(400)),
  'wrong version': (random, frame) => seal(frame.slice(16), { kind: kinds.peer, version: 2 + random.below(60_000) }),
  'wrong length': (random, frame) => seal(frame.slice(16), { kind: kinds.peer, length: random.next() }),
  'wrong kind': (random, frame) => seal(frame.slice(16), { kind: random.pick([0, 2, 3, 4, 99]) }),
  'garbage body': (random) => seal(random.bytes(random.below(400)), { kind: kinds.peer }),
  'body cut short': (random, frame) =>
    seal(frame.slice(16, 16 + random.below(frame.length - 15)), { kind: kinds.peer }),
  'a bomb': (random) => seal(random.pick(Object.values(bombs))(), { kind: kinds.peer }),
};
const damagedKinds = Object.entries(damaged);

function damage(random, frame) {
  for (;;) {
    const [name, make] = random.pick(damagedKinds);
    const bad = make(random, frame);
    if (!codec.decodePeerMessage(bad).ok) return [name, bad];
  }
}

/**
 * Stands between two replicas and passes on what they say, and puts frames of its own in between: damaged ones, and
 * genuine ones again, later and several times. Handshakes pass untouched, or there would be no connection to fuzz.
 */
class Relay {
  injected = 0;
  #server;
  #target;
  #random;
  #counts;
  #pairs = new Set();
  #heard = [];

  constructor({ target, random, counts }) {
    this.#target = target;
    this.#random = random;
    this.#counts = counts;
  }

  async listen() {
    this.#server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
    this.#server.on('connection', (dialler) => this.#join(dialler));
    await new Promise((resolve) => this.#server.once('listening', resolve));
    return this.#server.address().port;
  }

  close() {
    for (const pair of this.#pairs) for (const socket of pair.sockets) socket.terminate();
    this.#server.close();
  }

  get up() {
    return [...this.#pairs].some((pair) => pair.passed.every((n) => n > 4));
  }

  #join(dialler) {
    const acceptor = new WebSocket(this.#target(), { perMessageDeflate: false });
    const pair = { sockets: [dialler, acceptor], passed: [0, 0], waiting: [] };
    this.#pairs.add(pair);
    const pass = (from) => (data, isBinary) => {
      const to = pair.sockets[1 - from];
      pair.passed[from] += 1;
      if (pair.passed[from] > 2) this.#hear(from, new Uint8Array(data));
      if (to.readyState === WebSocket.CONNECTING) to.once('open', () => to.send(data, { binary: isBinary }));
      else if (to.readyState === WebSocket.OPEN) to.send(data, { binary: isBinary });
    };
    pair.sockets.forEach((socket, from) => {
      socket.on('message', pass(from));
      socket.on('error', () => {});
      socket.on('close', (code, reason) => {
        this.#pairs.delete(pair);
        const other = pair.sockets[1 - from];
        if (code >= 3000 && other.readyState === WebSocket.OPEN) other.close(code, reason);
        else other.terminate();
      });
    });
  }

  #hear(from, frame) {
    const entry = { from, frame };
    if (this.#heard.length < remembered) this.#heard.push(entry);
    else this.#heard[this.#random.below(remembered)] = entry;
  }

  /** A burst into each direction that has room for it. */
  inject() {
    for (const pair of this.#pairs) {
      if (pair.passed.some((n) => n <= 2)) continue;
      pair.sockets.forEach((socket, to) => {
        for (let i = 0; i < burst && socket.bufferedAmount < waitingMax && socket.readyState === WebSocket.OPEN; i++) {
          const { from, frame } = this.#random.pick(this.#heard);
          const replay = this.#random.chance(20) && from !== to;
          const [name, bad] = replay ? ['replayed', frame] : damage(this.#random, frame);
          socket.send(bad);
          count(this.#counts, name);
          this.injected += 1;
        }
      });
    }
  }
}

/** Puts a relay between every two replicas of a cluster that was created and not started. */
export async function interpose(cluster, random) {
  const counts = {};
  const relays = [];
  for (const { replica, config } of cluster.members) {
    const values = JSON.parse(readFileSync(config, 'utf8'));
    for (let lower = 0; lower < replica; lower++) {
      const target = `ws://127.0.0.1:${cluster.members[lower].peer}/peer`;
      const relay = new Relay({ target: () => target, random, counts });
      values.replicas[lower] = `127.0.0.1:${await relay.listen()}`;
      relays.push(relay);
    }
    writeFileSync(config, JSON.stringify(values, null, 2));
  }
  return {
    counts,
    injected: () => relays.reduce((sum, relay) => sum + relay.injected, 0),
    allUp: () => relays.every((relay) => relay.up),
    inject: () => relays.forEach((relay) => relay.inject()),
    close: () => relays.forEach((relay) => relay.close()),
  };
}

/** Injects until that many frames have gone in; gives way to the genuine ones between bursts. */
export async function fuzzPeerLinks({ relays, frames, problems, onProgress = () => {} }) {
  let lastAt = performance.now();
  let last = relays.injected();
  while (relays.injected() < frames) {
    relays.inject();
    await new Promise((resolve) => setImmediate(resolve));
    if (relays.injected() > last) {
      last = relays.injected();
      lastAt = performance.now();
    } else if (performance.now() - lastAt > 30_000) {
      problems.push('no connection between replicas took a frame for 30 s');
      break;
    } else await new Promise((resolve) => setTimeout(resolve, 1));
    onProgress(last);
  }
  return { frames: relays.injected(), counts: relays.counts };
}

const challengeMagic = 0x434c_424b;
function challenge(random, { version = 1, secured = 0, magic = challengeMagic } = {}) {
  const frame = new Uint8Array(38);
  new DataView(frame.buffer).setUint32(0, magic, true);
  frame[4] = version;
  frame[5] = secured;
  frame.set(random.bytes(32), 6);
  return frame;
}

const introduction = (hello) => Buffer.concat([new Uint8Array(32), hello]);

/** How a stranger may introduce itself, and the close code it must meet. 4006: bad frame. */
const strangers = (cluster) => {
  const own = {
    cluster,
    replica: 2,
    incarnation: 0,
    view: 0,
    epoch: 0,
    voters: [0, 1, 2],
    protocolVersion: 1,
    protocolVersionOldest: 1,
    versionInForce: 1,
    pipelineMax: 8,
    slots: 0,
    checkpointInterval: 16_384,
    endpoint: null,
    adminUrl: null,
  };
  const says = (changes) => codec.encodePeerHello({ ...own, ...changes });
  return [
    ['first frame of random bytes', 4006, (r) => [r.bytes(r.below(100))]],
    ['first frame with another magic', 4006, (r) => [challenge(r, { magic: 7 })]],
    ['another version of the handshake', 4001, (r) => [challenge(r, { version: 9 })]],
    ['a secret where there is none', 4005, (r) => [challenge(r, { secured: 1 })]],
    ['introduction of random bytes', [4005, 4006], (r) => [challenge(r), r.bytes(r.below(300))]],
    ['introduction too short', 4006, (r) => [challenge(r), new Uint8Array(r.below(33))]],
    ['a proof where none is needed', 4005, (r) => [challenge(r), Buffer.concat([r.bytes(32).fill(1, 0, 1), says({})])]],
    ['foreign cluster', 4002, (r) => [challenge(r), introduction(says({ cluster: r.hex(32) }))]],
    ['the replica it talks to', 4003, (r) => [challenge(r), introduction(says({ replica: 0 }))]],
    ['a replica that is none', 4003, (r) => [challenge(r), introduction(says({ replica: 5 }))]],
    ['another number of replicas', 4004, (r) => [challenge(r), introduction(says({ voters: [0, 1, 2, 3, 4] }))]],
    [
      'another protocol version',
      4001,
      (r) => [challenge(r), introduction(says({ protocolVersion: 9, protocolVersionOldest: 8 }))],
    ],
    [
      'a frame of another version',
      4001,
      (r) => [challenge(r), introduction(seal(says({}).slice(16), { kind: kinds.peerHello, version: 7 }))],
    ],
    ['a damaged hello', [4006, 4001], (r) => [challenge(r), introduction(flipBits(r, says({}), 1))]],
    [
      'a bomb as a hello',
      4006,
      (r) => [challenge(r), introduction(seal(r.pick(Object.values(bombs))(), { kind: kinds.peerHello }))],
    ],
    ['a message before the handshake', 4006, (r) => [seal(r.bytes(64), { kind: kinds.peer })]],
  ];
};

/** Connections by somebody who is no replica, to replica 0's port. */
export async function fuzzStrangers({ cluster, clusterId, random, connections, problems }) {
  const counts = {};
  const { peer } = cluster.members[0];
  const cases = strangers(clusterId);
  for (let i = 0; i < connections && problems.length < 20; i++) {
    if (random.chance(10)) {
      await rawBytes({ port: peer, random, counts, path: '/peer' });
      continue;
    }
    const [name, codes, make] = cases[i % cases.length];
    const closed = await knock(`ws://127.0.0.1:${peer}/peer`, make(random));
    if (![codes].flat().includes(closed))
      problems.push(`a stranger with ${name} was closed with ${closed} instead of ${codes}`);
    count(counts, name);
  }
  return { frames: Object.values(counts).reduce((sum, n) => sum + n, 0), counts };
}

/** Says those frames one after the other; gives the close code. */
const knock = (url, frames) =>
  new Promise((resolve) => {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    const timer = setTimeout(() => {
      socket.terminate();
      resolve('late');
    }, 8000);
    socket.on('open', () => frames.forEach((frame) => socket.send(frame)));
    socket.on('message', () => {});
    socket.on('error', () => {});
    socket.on('close', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
  });
