import { type Crc32, crc32, frameBytesMax, type Hasher, sha256Hasher } from '@kimberlite/base';

/** One WebSocket, whichever platform it is of. */
export interface Socket {
  readonly send: (frame: Uint8Array) => void;
  /** Ends it; `closed` resolves when it is gone, at the latest after `closeGraceMs`. */
  readonly close: () => Promise<void>;
}

export interface SocketListener {
  readonly onOpen: () => void;
  readonly onFrame: (frame: Uint8Array) => void;
  /** Exactly once, also when the dial fails. */
  readonly onClose: (reason: string) => void;
}

/** What the shell needs of the platform. */
export interface Platform {
  readonly dial: (endpoint: string, listener: SocketListener) => Socket;
  /** Runs `turn` once what can run now has run: where calls of one turn are gathered. */
  readonly defer: (turn: () => void) => void;
  readonly hasher: Hasher;
  readonly crc32: Crc32;
}

/** How long a closing handshake may take before the socket is cut. */
const closeGraceMs = 250;
const dialTimeoutMs = 2_000;

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { readonly code?: unknown };
  return error.message !== '' ? error.message : typeof code === 'string' ? code : error.name;
}

async function nodePlatform(): Promise<Platform> {
  const [{ WebSocket: NodeSocket }, { createHash }, { crc32: fastCrc32 }] = await Promise.all([
    import('ws'),
    import('node:crypto'),
    import('node:zlib'),
  ]);
  const dial = (endpoint: string, listener: SocketListener): Socket => {
    const socket = new NodeSocket(endpoint, {
      perMessageDeflate: false,
      skipUTF8Validation: true,
      maxPayload: frameBytesMax,
      handshakeTimeout: dialTimeoutMs,
      // Masking guards proxies against scripts in web pages; here it would only cost time. Zeros are a mask too.
      generateMask: (mask) => mask.fill(0),
    });
    let reason = 'the connection was closed';
    socket.on('open', listener.onOpen);
    socket.on('message', (data) => {
      if (data instanceof Uint8Array) listener.onFrame(data);
    });
    socket.on('error', (error) => {
      reason = describeError(error);
    });
    socket.on('close', (_code, text) => listener.onClose(text.length > 0 ? text.toString() : reason));
    return {
      send: (frame) => socket.send(frame),
      close: () =>
        new Promise((resolve) => {
          const cut = setTimeout(() => socket.terminate(), closeGraceMs);
          socket.once('close', () => {
            clearTimeout(cut);
            resolve();
          });
          if (socket.readyState === NodeSocket.CONNECTING) socket.terminate();
          else socket.close(1000);
          if (socket.readyState === NodeSocket.CLOSED) {
            clearTimeout(cut);
            resolve();
          }
        }),
    };
  };
  return {
    dial,
    defer: (turn) => setImmediate(turn),
    hasher: (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 32) as ReturnType<Hasher>,
    crc32: (bytes, seed) => fastCrc32(bytes, seed),
  };
}

function browserPlatform(): Platform {
  const dial = (endpoint: string, listener: SocketListener): Socket => {
    const socket = new WebSocket(endpoint);
    socket.binaryType = 'arraybuffer';
    socket.onopen = listener.onOpen;
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (event.data instanceof ArrayBuffer) listener.onFrame(new Uint8Array(event.data));
    };
    let ended: (() => void) | null = null;
    socket.onclose = (event) => {
      listener.onClose(event.reason !== '' ? event.reason : 'the connection was closed');
      ended?.();
    };
    return {
      send: (frame) => socket.send(new Uint8Array(frame)),
      close: () =>
        new Promise((resolve) => {
          if (socket.readyState === WebSocket.CLOSED) return resolve();
          ended = resolve;
          setTimeout(resolve, closeGraceMs);
          socket.close(1000);
        }),
    };
  };
  const turns: (() => void)[] = [];
  const channel = new MessageChannel();
  channel.port1.onmessage = () => turns.shift()?.();
  return {
    dial,
    defer: (turn) => {
      turns.push(turn);
      channel.port2.postMessage(null);
    },
    hasher: sha256Hasher,
    crc32,
  };
}

let loaded: Promise<Platform> | null = null;

/** Node's sockets and checksums where there are any, else the browser's. */
export function platform(): Promise<Platform> {
  const isNode = typeof process !== 'undefined' && typeof process.versions?.node === 'string';
  loaded ??= isNode ? nodePlatform() : Promise.resolve(browserPlatform());
  return loaded;
}
