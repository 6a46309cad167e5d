import type { DevNode } from './layout.ts';

const pollMs = 50;
const answerTimeoutMs = 1000;

interface Seen {
  readonly role: unknown;
  readonly status: unknown;
  readonly view: unknown;
}

async function look(node: DevNode): Promise<Seen | null> {
  try {
    const signal = AbortSignal.timeout(answerTimeoutMs);
    const response = await fetch(`http://127.0.0.1:${node.admin}/status`, { signal });
    return (await response.json()) as Seen;
  } catch {
    return null;
  }
}

/** Resolves to true once every node is in normal status and one of them primary; false when `given up` or out of time. */
export async function clusterAnswers(
  nodes: readonly DevNode[],
  options: { readonly timeoutMs: number; readonly giveUp: () => boolean },
): Promise<boolean> {
  const deadline = performance.now() + options.timeoutMs;
  while (!options.giveUp() && performance.now() < deadline) {
    const seen = await Promise.all(nodes.map(look));
    const normal = seen.filter((row) => row?.status === 'normal');
    if (normal.length === nodes.length && normal.some((row) => row?.role === 'primary')) return true;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return false;
}
