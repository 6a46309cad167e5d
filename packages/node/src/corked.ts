import type { Duplex } from 'node:stream';

const pending = new Set<Duplex>();

function flush(): void {
  for (const socket of pending) socket.uncork();
  pending.clear();
}

/**
 * Holds back what is written to `socket` until the code that runs now has returned: all frames of one turn leave in
 * one system call. Call it before each write.
 */
export function cork(socket: Duplex): void {
  if (pending.has(socket)) return;
  if (pending.size === 0) process.nextTick(flush);
  pending.add(socket);
  socket.cork();
}
