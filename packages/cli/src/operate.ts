import { clusterStatus } from '@kimberlite/client';
import type { Endpoints } from './endpoints.ts';
import { fail } from './failure.ts';
import { type StatusDocument, statusDocument } from './status-document.ts';

// What operators ask of the primary, over its admin port.

const answerTimeoutMs = 2000;
/** A primary waits for a quorum of the others that long. */
const actionTimeoutMs = 15_000;
const actionHeader = 'x-kimberlite-action';

export async function statusOf(endpoints: Endpoints): Promise<StatusDocument> {
  const document = statusDocument(await clusterStatus(endpoints, { timeoutMs: answerTimeoutMs }));
  if (document !== null) return document;
  throw fail(
    'ConnectFailed',
    `No node answered at ${endpoints.join(', ')}.`,
    'Name the client endpoints of nodes that run with --endpoints.',
  );
}

/** The primary's answer; a refusal too where there is no primary, or it cannot be reached. */
export async function askPrimary(endpoints: Endpoints, path: string): Promise<Readonly<Record<string, unknown>>> {
  const { primary, replicas } = await statusOf(endpoints);
  const row = replicas.find(({ replica }) => replica === primary);
  const adminUrl = row?.reachable === true ? row.adminUrl : null;
  if (adminUrl === null) return { ok: false, reason: 'there is no primary just now', again: true };
  try {
    const response = await fetch(`${adminUrl}${path}`, {
      method: 'POST',
      headers: { [actionHeader]: '1' },
      signal: AbortSignal.timeout(actionTimeoutMs),
    });
    const text = await response.text();
    if (response.status !== 200 && response.status !== 409) return { ok: false, reason: text.trim() };
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { ok: false, reason: `the primary's admin port ${adminUrl} does not answer: ${reason}` };
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
