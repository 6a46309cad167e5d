/** The state hash of each replica, by replica, all at one op. */
export interface HashesAtOp {
  readonly op: number;
  readonly hashes: readonly string[];
}

/** The part of a status row that says what a replica's state is, and whether it is done for now. */
export interface HashStatus {
  readonly status: string;
  readonly op: number;
  readonly stateHash: string;
  readonly stateHashOp: number;
}

/** Undefined: nothing to say yet. A replica is missing or still opens its log, the ops differ, or work goes on. */
export function compareHashes(rows: readonly (HashStatus | undefined)[]): HashesAtOp | undefined {
  const present = rows.flatMap((row) => (row === undefined || row.stateHash === '' ? [] : [row]));
  const [first] = present;
  if (first === undefined || present.length < rows.length) return undefined;
  const op = first.stateHashOp;
  if (present.some((row) => row.stateHashOp !== op)) return undefined;
  const found = { op, hashes: present.map((row) => row.stateHash) };
  const idle = present.every((row) => row.status === 'normal' && row.op === op);
  return idle || isDiverged(found) ? found : undefined;
}

export const isDiverged = ({ hashes }: HashesAtOp): boolean => new Set(hashes).size > 1;
