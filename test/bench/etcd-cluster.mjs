import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const clientPorts = [12379, 22379, 32379];
const peerPorts = [12380, 22380, 32380];

/** Three etcd processes on loopback with default settings: every acknowledged write is synced on a quorum. */
export async function startEtcd(directory) {
  mkdirSync(directory, { recursive: true });
  const names = clientPorts.map((_, i) => `e${i}`);
  const initial = names.map((name, i) => `${name}=http://127.0.0.1:${peerPorts[i]}`).join(',');
  const processes = names.map((name, i) =>
    spawn(
      'etcd',
      [
        '--name',
        name,
        '--data-dir',
        join(directory, name),
        '--listen-client-urls',
        `http://127.0.0.1:${clientPorts[i]}`,
        '--advertise-client-urls',
        `http://127.0.0.1:${clientPorts[i]}`,
        '--listen-peer-urls',
        `http://127.0.0.1:${peerPorts[i]}`,
        '--initial-advertise-peer-urls',
        `http://127.0.0.1:${peerPorts[i]}`,
        '--initial-cluster',
        initial,
        '--initial-cluster-state',
        'new',
      ],
      { stdio: 'ignore' },
    ),
  );
  const running = {
    endpoints: clientPorts.map((port) => `127.0.0.1:${port}`).join(','),
    pids: processes.map((child) => child.pid),
    stop: async () => {
      const gone = processes.map(
        (child) =>
          new Promise((resolve) =>
            child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve(),
          ),
      );
      for (const child of processes) child.kill('SIGTERM');
      await Promise.all(gone);
    },
  };
  const deadline = performance.now() + 20_000;
  for (;;) {
    const healthy = await Promise.all(
      clientPorts.map((port) =>
        fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(1000) })
          .then((response) => response.text())
          .then((text) => text.includes('"true"'))
          .catch(() => false),
      ),
    );
    if (healthy.every(Boolean)) return running;
    if (performance.now() > deadline) {
      await running.stop();
      throw new Error('etcd did not come up within 20 s (is the package etcd-server installed?)');
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
