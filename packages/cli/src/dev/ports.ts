import { createServer } from 'node:net';
import { fail } from '../failure.ts';
import type { DevNode } from './layout.ts';

/** Nodes whose `dev` was killed stop by themselves; this long a start waits for their ports. */
const leavingGraceMs = 10_000;
const retryMs = 100;

function isBusy(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(true);
      else reject(fail('PortUnusable', `Port ${port} of 127.0.0.1 cannot be opened: ${error.message}.`, otherPort));
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(false)));
  });
}

const otherPort = 'Choose other ports with --base-port, such as: kimberlite dev --base-port 8001';

async function firstBusy(nodes: readonly DevNode[]): Promise<{ port: number; use: string } | null> {
  for (const node of nodes) {
    for (const use of ['client', 'peer', 'admin'] as const) {
      if (await isBusy(node[use]))
        return { port: node[use], use: `${use}s of node ${node.replica}`.replace('admins', 'the admin page') };
    }
  }
  return null;
}

/** All ports of the cluster, before anything is started. `leaving`: an earlier run may still be on its way out. */
export async function requireFreePorts(nodes: readonly DevNode[], leaving: boolean): Promise<void> {
  const deadline = performance.now() + (leaving ? leavingGraceMs : 0);
  for (;;) {
    const busy = await firstBusy(nodes);
    if (busy === null) return;
    if (performance.now() >= deadline) {
      throw fail(
        'PortBusy',
        `Port ${busy.port} (for ${busy.use}) is in use by another process.`,
        `Perhaps a cluster runs already: \`kimberlite status\` would show it. ${otherPort}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}
