import {
  type Checksum,
  type ClientId,
  compareText,
  concatBytes,
  FixedWriter,
  type Hasher,
  stateHashInterval,
} from '@kimberlite/base';
import type { SessionEntry } from './sessions.ts';

// The session table is state that the state machine's hash does not cover. A report has the hash of some of it: of all
// where there are few sessions, else of another part each time.

/** Sessions in one report, more or less. */
const sessionsPerReport = 64;
/** Bytes of outcomes that go into one report: hashing them is within what an op may take. */
const outcomeBytesMax = 65_536;
const sessionBytes = 16 + 8 * 4 + 4;
const outcomeBytes = 8 + 16 + 8 + 8 + 4;

/** Which share of the sessions is reported at an op. Depends on the client's id alone, which is random. */
const shareOf = (client: ClientId): number => Number.parseInt(client.slice(0, 8), 16);

/** Equal on all replicas at equal ops. */
export function sessionsHash(sessions: ReadonlyMap<ClientId, SessionEntry>, op: number, hasher: Hasher): Checksum {
  const shares = Math.max(1, Math.ceil(sessions.size / sessionsPerReport));
  const share = (op / stateHashInterval) % shares;
  const chosen = [...sessions].filter(([client]) => shareOf(client) % shares === share);
  const pieces: Uint8Array[] = [new FixedWriter(4).u32(sessions.size).bytes];
  let left = outcomeBytesMax;
  for (const [client, entry] of chosen.sort(([a], [b]) => compareText(a, b))) {
    const { session, floor, lastOp, executed, outcomes } = entry;
    const head = new FixedWriter(sessionBytes).hex128(client).u64(session).u64(floor).u64(lastOp).u64(executed);
    pieces.push(head.u32(outcomes.size).bytes);
    // The latest are those that may still be asked for.
    for (const [number, outcome] of [...outcomes].sort(([a], [b]) => b - a)) {
      if (left <= 0) break;
      const { checksum, op: at, timestamp, body } = outcome;
      const said = new FixedWriter(outcomeBytes).u64(number).hex128(checksum).u64(at).u64(timestamp);
      const shown = body.subarray(0, left);
      pieces.push(said.u32(body.length).bytes, shown);
      left -= outcomeBytes + shown.length;
    }
  }
  return hasher(concatBytes(pieces));
}
