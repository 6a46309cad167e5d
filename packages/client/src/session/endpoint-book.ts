import { assert, randomFloat, type RandomState, type ReplicaId } from '@kimberlite/base';
import type { MemberAddress } from '@kimberlite/wire';
import { type ClientTiming, endpointsMax } from './limits.ts';

interface Entry {
  readonly endpoint: string;
  /** Who answered there last, or who is said to be there. */
  replica: ReplicaId | null;
  failures: number;
  /** Not to be dialled before this time. */
  nextTryMs: number;
  trouble: string | null;
}

/**
 * Where replicas can be reached: the endpoints the caller gave, and those that members told. Owns the pauses
 * between dials of an endpoint that failed, so that many clients do not dial in step (pitfall 30).
 */
export class EndpointBook {
  private readonly entries: Entry[] = [];
  private readonly timing: ClientTiming;
  private readonly random: RandomState;
  private members: readonly MemberAddress[] = [];
  private turn = 0;

  constructor(endpoints: readonly string[], timing: ClientTiming, random: RandomState) {
    assert(endpoints.length > 0, 'a client knows at least one endpoint');
    this.timing = timing;
    this.random = random;
    for (const endpoint of endpoints) this.add(endpoint, null);
  }

  list(): readonly string[] {
    return this.entries.map((entry) => entry.endpoint);
  }
  known(): readonly MemberAddress[] {
    return this.members;
  }
  troubles(): readonly string[] {
    return this.entries.flatMap(({ endpoint, trouble }) => (trouble === null ? [] : [`${endpoint}: ${trouble}`]));
  }

  /** An endpoint greeted as this replica. What was dialled beats what members say of each other. */
  greeted(endpoint: string, replica: ReplicaId, members: readonly MemberAddress[]): void {
    const entry = this.find(endpoint);
    entry.replica = replica;
    entry.failures = 0;
    entry.nextTryMs = 0;
    entry.trouble = null;
    if (members.length > 0) this.members = members;
    for (const member of members) {
      if (member.endpoint === null || this.entries.some((known) => known.replica === member.replica)) continue;
      this.add(member.endpoint, member.replica);
    }
  }

  failed(endpoint: string, trouble: string, nowMs: number): void {
    const entry = this.find(endpoint);
    entry.trouble = trouble;
    const { redialMs, redialMaxMs } = this.timing;
    const pauseMs = Math.min(redialMaxMs, redialMs * 2 ** Math.min(entry.failures, 16));
    entry.failures++;
    entry.nextTryMs = nowMs + pauseMs * (0.5 + randomFloat(this.random));
  }

  /** Where this replica can be dialled now. */
  of(replica: ReplicaId, nowMs: number): string | null {
    const entry = this.entries.find((candidate) => candidate.replica === replica && candidate.nextTryMs <= nowMs);
    return entry?.endpoint ?? null;
  }

  /** The next endpoint in turn that may be dialled now, leaving one out. */
  next(except: string | null, nowMs: number): string | null {
    for (let i = 0; i < this.entries.length; i++) {
      const entry = this.entries[(this.turn + i) % this.entries.length];
      if (entry === undefined || entry.endpoint === except || entry.nextTryMs > nowMs) continue;
      this.turn = (this.turn + i + 1) % this.entries.length;
      return entry.endpoint;
    }
    return null;
  }

  private add(endpoint: string, replica: ReplicaId | null): void {
    const known = this.entries.find((entry) => entry.endpoint === endpoint);
    if (known !== undefined) {
      known.replica ??= replica;
      return;
    }
    if (this.entries.length >= endpointsMax) return;
    this.entries.push({ endpoint, replica, failures: 0, nextTryMs: 0, trouble: null });
  }

  private find(endpoint: string): Entry {
    const entry = this.entries.find((candidate) => candidate.endpoint === endpoint);
    assert(entry !== undefined, 'only known endpoints are dialled');
    return entry;
  }
}
