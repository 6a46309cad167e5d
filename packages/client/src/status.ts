import { type ClusterId, protocolVersion, protocolVersionOldest } from '@kimberlite/base';
import { createCodec, type StatusRow } from '@kimberlite/wire';
import { randomClientId } from './driver.ts';
import { type Platform, platform } from './socket.ts';

/** One replica, as `kimberlite status` prints it. Of one that did not answer, only what others know is there. */
export type ReplicaStatus =
  | (Omit<StatusRow, 'members'> & { readonly reachable: true })
  | {
      readonly replica: number;
      readonly reachable: false;
      readonly endpoint: string | null;
      readonly adminUrl: string | null;
      readonly role: null;
      readonly status: null;
      /** Why it did not answer. */
      readonly trouble: string;
    };

export interface ClusterStatus {
  readonly cluster: ClusterId | null;
  readonly view: number | null;
  readonly primary: number | null;
  /** How many more replicas may be lost while writes go on. */
  readonly canLose: number;
  readonly replicas: readonly ReplicaStatus[];
  /** Endpoints that did not answer and belong to no known replica. */
  readonly unanswered: readonly { readonly endpoint: string; readonly trouble: string }[];
}

type Answer = { readonly ok: true; readonly row: StatusRow } | { readonly ok: false; readonly trouble: string };

/** Asks one endpoint for its row, on a connection of its own. */
function ask(platformNow: Platform, endpoint: string, timeoutMs: number): Promise<Answer> {
  const codec = createCodec({ hasher: platformNow.hasher, crc32: platformNow.crc32 });
  return new Promise((resolve) => {
    let done = false;
    const end = (answer: Answer): void => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      void socket.close().then(() => resolve(answer));
    };
    const timer = setTimeout(() => end({ ok: false, trouble: `no answer within ${timeoutMs} ms` }), timeoutMs);
    const socket = platformNow.dial(endpoint, {
      onOpen: () => {
        const client = randomClientId();
        const hello = { type: 'hello', protocolVersion, protocolVersionOldest, client, cluster: null } as const;
        // A greeting as well: it is understood before a version is agreed on.
        socket.send(codec.encodeClientFrame([hello, { type: 'status' }]));
      },
      onFrame: (frame) => {
        const messages = codec.decodeServerFrame(frame);
        if (!messages.ok) return end({ ok: false, trouble: messages.error.message });
        for (const message of messages.value) {
          if (message.type === 'status') return end({ ok: true, row: message.row });
          if (message.type === 'error') return end({ ok: false, trouble: message.message });
        }
      },
      onClose: (reason) => end({ ok: false, trouble: reason }),
    });
  });
}

/**
 * The state of every replica that can be found, starting from these endpoints. Never rejects: what does not
 * answer is part of the answer. `timeoutMs` is per endpoint, default 1000.
 */
export async function clusterStatus(
  endpoints: readonly string[],
  options: { readonly timeoutMs?: number } = {},
): Promise<ClusterStatus> {
  const platformNow = await platform();
  const timeoutMs = options.timeoutMs ?? 1_000;
  const answers = new Map<string, Answer>();
  const askAll = async (list: readonly string[]): Promise<void> => {
    const fresh = [...new Set(list)].filter((endpoint) => !answers.has(endpoint));
    const found = await Promise.all(fresh.map((endpoint) => ask(platformNow, endpoint, timeoutMs)));
    fresh.forEach((endpoint, i) => {
      const answer = found[i];
      if (answer !== undefined) answers.set(endpoint, answer);
    });
  };
  await askAll(endpoints);
  const known = (): readonly StatusRow[] => [...answers.values()].flatMap((answer) => (answer.ok ? [answer.row] : []));
  const seen = new Set(known().map((row) => row.replica));
  const others = known().flatMap((row) => row.members.filter((member) => !seen.has(member.replica)));
  await askAll(others.flatMap((member) => (member.endpoint === null ? [] : [member.endpoint])));
  return summarise(answers, known());
}

function summarise(answers: ReadonlyMap<string, Answer>, rows: readonly StatusRow[]): ClusterStatus {
  const newest = rows.reduce<StatusRow | null>(
    (best, row) => (best === null || row.view > best.view ? row : best),
    null,
  );
  const troubleOf = (endpoint: string | null): string => {
    const answer = endpoint === null ? undefined : answers.get(endpoint);
    return answer?.ok === false ? answer.trouble : 'no endpoint of it is known';
  };
  const replicas: ReplicaStatus[] = [];
  const voters = newest?.voters ?? [];
  const members = [...voters, ...(newest?.standbys ?? [])].sort((a, b) => a - b);
  for (const replica of members) {
    const row = rows.find((candidate) => candidate.replica === replica);
    if (row !== undefined) {
      const { members: _members, ...rest } = row;
      replicas.push({ ...rest, reachable: true });
      continue;
    }
    const member = rows.flatMap((other) => other.members).find((m) => m.replica === replica && m.endpoint !== null);
    const endpoint = member?.endpoint ?? null;
    const adminUrl = member?.adminUrl ?? null;
    replicas.push({
      replica,
      reachable: false,
      endpoint,
      adminUrl,
      role: null,
      status: null,
      trouble: troubleOf(endpoint),
    });
  }
  const working = replicas.filter(
    (row) => row.reachable && row.status === 'normal' && row.view === newest?.view && voters.includes(row.replica),
  ).length;
  const quorum = Math.floor(voters.length / 2) + 1;
  const listed = new Set(replicas.map((row) => row.endpoint));
  return {
    cluster: newest?.cluster ?? null,
    view: newest?.view ?? null,
    primary: newest?.primary ?? null,
    canLose: Math.max(0, working - quorum),
    replicas,
    unanswered: [...answers].flatMap(([endpoint, answer]) =>
      answer.ok || listed.has(endpoint) ? [] : [{ endpoint, trouble: answer.trouble }],
    ),
  };
}
