import { assert, compareText, FixedWriter, concatBytes, encodeUtf8, toHex, type Checksum } from '@kimberlite/base';
import type { Replica } from './replica.ts';

/** An independent copy. Entries are immutable, so maps are copied one level deep; session outcomes two. */
export function cloneReplica<S>(r: Replica<S>): Replica<S> {
  assert(r.loading === null, 'a replica that reads a checkpoint is not cloned');
  return {
    ...r,
    checkpointing: { ...r.checkpointing },
    members: {
      ...r.members,
      fences: new Map(r.members.fences),
      boundaries: new Set(r.members.boundaries),
      heard: new Map(r.members.heard),
      changing: r.members.changing === null ? null : { ...r.members.changing },
      replacing: r.members.replacing === null ? null : { ...r.members.replacing },
    },
    versions: { ...r.versions, said: new Map(r.versions.said) },
    log: new Map(r.log),
    slots: new Map(r.slots),
    bodies: new Map(r.bodies),
    unwritten: new Set(r.unwritten),
    stash: new Map(r.stash),
    acks: new Map(r.acks),
    sent: new Map(r.sent),
    queue: [...r.queue],
    admissions: new Map(
      [...r.admissions].map(([key, a]) => [
        key,
        { next: a.next, inFlight: new Set(a.inFlight), waiting: new Map(a.waiting) },
      ]),
    ),
    heardUs: [...r.heardUs],
    armed: new Set(r.armed),
    rounds: [...r.rounds],
    queries: new Map(r.queries),
    queriesAfter: new Map([...r.queriesAfter].map(([key, numbers]) => [key, [...numbers]])),
    queriesBehind: new Set(r.queriesBehind),
    positionQueries: new Map(r.positionQueries),
    votes: new Map(r.votes),
    dvcs: new Map(r.dvcs),
    damaged: new Set(r.damaged),
    fetches: new Map(r.fetches),
    misses: [...r.misses],
    reads: new Map(r.reads),
    walks: new Map(r.walks),
    sessions: new Map(
      [...r.sessions].map(([client, entry]) => [client, { ...entry, outcomes: new Map(entry.outcomes) }]),
    ),
    samples: new Map(r.samples),
    random: { ...r.random },
    out: [...r.out],
    last: { ...r.last },
  };
}

const compareKeys = (a: unknown, b: unknown): number =>
  typeof a === 'number' && typeof b === 'number' ? a - b : compareText(String(a), String(b));

/** One text per value: maps and sets by key, objects by field name (pitfall 39). */
function canonical(value: unknown): string {
  if (value === null || value === undefined) return 'n';
  if (typeof value === 'string') return `"${value.length}:${value}`;
  if (typeof value === 'number' || typeof value === 'boolean') return `${String(value)};`;
  if (value instanceof Uint8Array) return `x${toHex(value)};`;
  if (Array.isArray(value)) return `[${value.map(canonical).join('')}]`;
  if (value instanceof Map) {
    const entries = [...value].sort(([a], [b]) => compareKeys(a, b));
    return `{${entries.map(([key, item]) => canonical(key) + canonical(item)).join('')}}`;
  }
  if (value instanceof Set) return `<${[...value].sort(compareKeys).map(canonical).join('')}>`;
  if (typeof value === 'object') {
    const entries = Object.entries(value).sort(([a], [b]) => compareText(a, b));
    return `(${entries.map(([key, item]) => `${key}=${canonical(item)}`).join('')})`;
  }
  return '';
}

/**
 * The one encoding of everything that decides what the replica does next. The state machine's state is in it by
 * its hash. Not meant to be decoded: equal bytes, equal replicas.
 */
export function encodeReplica<S>(r: Replica<S>): Uint8Array {
  const {
    machine,
    hasher,
    mark,
    auditor,
    out,
    recovered,
    state,
    queries,
    last,
    loading,
    syncing,
    checkpointing,
    ...rest
  } = r;
  const described = {
    ...rest,
    state: machine.stateHash(state),
    checkpointing: {
      ...checkpointing,
      waiting: checkpointing.waiting?.header.op,
      writing: checkpointing.writing?.header.op,
    },
    loading: loading === null ? null : { ref: loading.ref, next: loading.next, asked: loading.asked },
    syncing: syncing === null ? null : { ...syncing, content: syncing.content !== null },
    queries: new Map(
      [...queries].map(([key, q]) => [
        key,
        {
          ...q,
          captured: q.captured === null ? null : { op: q.captured.op, hash: machine.stateHash(q.captured.state) },
        },
      ]),
    ),
  };
  const text = encodeUtf8(canonical(described));
  const length = new FixedWriter(4).u32(text.length).bytes;
  return concatBytes([length, text]);
}

/** A short name for the whole state. */
export const hashReplica = <S>(r: Replica<S>): Checksum => r.hasher(encodeReplica(r));
