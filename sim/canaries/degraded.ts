import type { DegradedReport } from '@kimberlite/sim';

/**
 * What a command may cost a cluster of three, whatever the comparison says: a bug that makes every command dearer, with
 * all replicas up or not, shows only against a number from outside the run. Well above what the build without bugs
 * costs, which is a little over four messages a command or read.
 */
const messagesMax = 6;

/** What is over its bound, in words; null: nothing. */
export function tooDear({ healthy, degraded }: DegradedReport): string | null {
  for (const { messages } of [healthy, degraded]) {
    if (messages > messagesMax) return `${messages.toFixed(1)} messages per call, and ${messagesMax} are allowed`;
  }
  return null;
}
