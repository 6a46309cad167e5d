import { WebSocket } from 'ws';
import { connect as connectTcp } from 'node:net';
import { fatal, hello, oversized, survivable } from './client-frames.mjs';

const survivableKinds = Object.entries(survivable);
const fatalKinds = Object.entries(fatal);
const closeWithinMs = 10_000;

/** Frames after which a whole connection is thrown away cost most; so many others go in front of each. */
const survivablePerConnection = 16;

const open = (endpoint) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(endpoint, { perMessageDeflate: false });
    socket.once('open', () => resolve(socket));
    socket.once('error', reject);
  });

const count = (counts, name, more = 1) => {
  counts[name] = (counts[name] ?? 0) + more;
};

/** What the node did not do although it should have. */
async function oneConnection({ endpoint, random, counts, problems }) {
  const socket = await open(endpoint);
  let closed = false;
  const ended = new Promise((resolve) => {
    socket.on('close', () => {
      closed = true;
      resolve();
    });
  });
  socket.on('error', () => {});
  // Replies are read and thrown away: a client that does not read is another test.
  socket.on('message', () => {});
  const greeted = !random.chance(12);
  if (greeted) socket.send(hello(random.hex(32)));
  if (greeted) {
    for (let i = random.below(2 * survivablePerConnection); i >= 0 && !closed; i--) {
      const [name, make] = random.pick(survivableKinds);
      const frame = make(random);
      // The very same bytes again, now and then several times.
      for (let times = random.chance(5) ? 2 + random.below(4) : 1; times > 0; times--) {
        socket.send(frame);
        count(counts, name);
      }
    }
  }
  const [name, make] = random.chance(400) ? ['oversized', oversized] : random.pick(fatalKinds);
  const before = !greeted && random.chance(2) ? ['before the hello', survivable.status] : [name, make];
  if (random.chance(40)) {
    socket.send('a text frame');
    count(counts, 'text frame');
  } else {
    socket.send(before[1](random));
    count(counts, before[0]);
  }
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve('late'), closeWithinMs);
  });
  if ((await Promise.race([ended, late])) === 'late')
    problems.push(`${before[0]}: the connection was still open after ${closeWithinMs} ms`);
  clearTimeout(timer);
  socket.terminate();
}

/** Bytes that are not even WebSocket, or are wrong as such. */
export async function rawBytes({ port, random, counts, path = '/' }) {
  const upgrade = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  const sent = random.pick([
    () => random.bytes(1 + random.below(2000)),
    () => Buffer.from(`GET / HTTP/1.1\r\nHost: ${'x'.repeat(random.below(20_000))}\r\n\r\n`),
    () => Buffer.from(upgrade.slice(0, random.below(upgrade.length))),
    // A frame without a mask, one with reserved bits, one that says it has 2^63 bytes, fragments that never end.
    () => Buffer.concat([Buffer.from(upgrade), Buffer.from([0x82, 0x01, 0x00])]),
    () => Buffer.concat([Buffer.from(upgrade), Buffer.from([0xf2, 0x81, 0, 0, 0, 0, 0])]),
    () =>
      Buffer.concat([
        Buffer.from(upgrade),
        Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
      ]),
    () =>
      Buffer.concat([
        Buffer.from(upgrade),
        Buffer.from([0x02, 0x81, 0, 0, 0, 0, 1]),
        Buffer.from([0x82, 0x81, 0, 0, 0, 0, 1]),
      ]),
    () => Buffer.concat([Buffer.from(upgrade), random.bytes(500)]),
  ])();
  await new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.write(sent));
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('close', resolve);
    setTimeout(() => socket.destroy(), 50);
  });
  count(counts, 'not WebSocket at all');
}

/** Sends at least `frames` bad frames to the client ports, over several connections at a time. */
export async function fuzzClientPorts({ cluster, random, frames, lanes = 6, problems, onProgress = () => {} }) {
  const counts = {};
  const total = () => Object.values(counts).reduce((sum, n) => sum + n, 0);
  const lane = async () => {
    while (total() < frames && problems.length < 20) {
      const { client } = random.pick(cluster.members);
      try {
        if (random.chance(30)) await rawBytes({ port: client, random, counts });
        else await oneConnection({ endpoint: `ws://127.0.0.1:${client}`, random, counts, problems });
      } catch (error) {
        problems.push(`the client port ${client} does not take connections: ${error}`);
      }
      onProgress(total());
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { frames: total(), counts };
}
