import { unreachable } from '@kimberlite/base';
import { applyBatch, type KernelState } from '@kimberlite/kernel';
import { type Replica, replicaStatus } from '@kimberlite/vsr';
import type { Flip } from '../flips.ts';
import { simTenant } from '../workload.ts';
import type { ActionOf } from './action.ts';
import type { ActionEffect, FaultWorld } from './world.ts';

/** Parts of a replica's state in which a value may change by itself. */
export const flipParts = [
  'tenant',
  'schema',
  'row',
  'row-version',
  'row-hash',
  'remembered-outcome',
  'bytes-in-use',
  'session',
  // No damage to memory: as if a bug had let this replica do something else, with every hash in order.
  'other-row',
] as const;
export type FlipPart = (typeof flipParts)[number];

type State = Replica<KernelState>;

/** Damaged memory knows nothing of what is readonly: a value is changed where it is. */
const change = (target: object, values: Readonly<Record<string, unknown>>): void => void Object.assign(target, values);

/** So many steps into a map that may be shorter. */
function nth<V>(
  map: { readonly size: number; ascend(): { key: string | undefined; value: V; next(): void } },
  n: number,
): V | null {
  if (map.size === 0) return null;
  const at = map.ascend();
  for (let i = n % map.size; i > 0; i--) at.next();
  return at.value;
}

const flipOneBit = (text: string): string => String.fromCharCode(text.charCodeAt(0) ^ 1) + text.slice(1);

type Gone = NonNullable<Flip['isGone']>;

/** Changes one value, and says how to see that it is gone. Null: there is nothing of that kind. */
function flip(replica: State, part: FlipPart, pick: number): Gone | 'in-another-state' | null {
  const { state } = replica;
  switch (part) {
    case 'tenant': {
      const tenant = nth(state.tenants, pick);
      if (tenant === null) return null;
      change(tenant, { name: flipOneBit(tenant.name) });
      return 'in-another-state';
    }
    case 'schema': {
      const column = nth(state.tables, pick)?.columns[1];
      if (column === undefined) return null;
      change(column, { nullable: !column.nullable });
      return 'in-another-state';
    }
    case 'row':
    case 'row-version':
    case 'row-hash':
      return flipRow(state, part, pick);
    case 'remembered-outcome': {
      const window = nth(state.idempotency, pick);
      const remembered = window === null ? null : nth(window.byPosition, pick);
      if (remembered === null) return null;
      change(remembered, { commandHash: flipOneBit(remembered.commandHash) });
      return 'in-another-state';
    }
    case 'bytes-in-use':
      change(state, { usedBytes: state.usedBytes ^ 64 });
      return 'in-another-state';
    case 'session':
      return flipSession(replica, pick);
    case 'other-row': {
      const { position, op, timestamp } = state;
      const row = { id: 1 + (pick % 4), value: `never ${pick}` };
      const command = { type: 'Upsert', tenantId: simTenant, table: 'rows', row } as const;
      const entry = { position: position + 1, op, timestamp, session: 0, command };
      const other = applyBatch(state, [entry]).state;
      change(replica, { state: { ...other, position, op, timestamp } });
      // Written over, it is as if it had never been.
      return () => true;
    }
    default:
      return unreachable(part);
  }
}

function flipRow(state: KernelState, part: 'row' | 'row-version' | 'row-hash', pick: number): Gone | null {
  const table = nth(state.tables, pick);
  const row = table === null ? null : nth(table.rows, pick);
  if (table === null || row === null) return null;
  const value = row.cells[1];
  if (part === 'row-hash') change(row, { b: row.b ^ 1 });
  else if (part === 'row-version') change(row, { version: row.version ^ 1 });
  else if (typeof value === 'string' && value !== '') change(row.cells, { 1: flipOneBit(value) });
  else return null;
  return ({ state: now }) => {
    const rows = now.tables.get(table.key)?.rows;
    if (rows === undefined) return true;
    for (const at = rows.ascend(); at.key !== undefined; at.next()) if (at.value === row) return false;
    return true;
  };
}

interface FlippedOutcome {
  readonly client: string;
  readonly number: number;
  readonly body: Uint8Array;
}

/** One bit of an outcome that a client may still ask for. */
function flipSession({ sessions }: State, pick: number): Gone | null {
  const kept = [...sessions].flatMap(([client, { outcomes }]) => [...outcomes].map(([number]) => ({ client, number })));
  const chosen = kept[pick % Math.max(1, kept.length)];
  if (chosen === undefined) return null;
  const { client, number } = chosen;
  const outcomes = sessions.get(client)?.outcomes;
  const outcome = outcomes?.get(number);
  if (outcomes === undefined || outcome === undefined) return null;
  const body = outcome.body.map((byte, i) => (i === outcome.body.length - 1 ? byte ^ 1 : byte));
  outcomes.set(number, { ...outcome, body });
  return (now) => sessionIsGone(now, { client, number, body });
}

/** What a session's outcome was changed to is still there, in this boot or in one that read it from a checkpoint. */
function sessionIsGone(replica: State, flipped: FlippedOutcome): boolean {
  const entry = [...replica.sessions].find(([client]) => client === flipped.client)?.[1];
  const body = entry?.outcomes.get(flipped.number)?.body;
  return body === undefined || body.length !== flipped.body.length || body.some((byte, i) => byte !== flipped.body[i]);
}

/** Found by a replica that looks through its memory; the others only by comparison, so there must be calls to compare. */
const isSeenAlone = (part: FlipPart): boolean => part !== 'other-row';
/** What a call may write over. */
const vanishing: ReadonlySet<FlipPart> = new Set(['row', 'row-version', 'row-hash', 'session', 'other-row']);
/** Of these something may be left that only a comparison shows, which a replica that is broken to the end has not. */
const comparedOnly: ReadonlySet<FlipPart> = new Set(['other-row', 'row-hash']);

/** In fewer virtual seconds of faults too few ops are executed for a comparison, which is made at every 64th. */
const comparisonSeconds = 10;

export const flipPartsWithin = (seconds: number): readonly FlipPart[] =>
  seconds >= comparisonSeconds ? flipParts : flipParts.filter((part) => !comparedOnly.has(part));

export function flipState(
  { cluster, atlas, isLeftBroken }: FaultWorld,
  { replica, part, pick }: ActionOf<'flip-state'>,
): ActionEffect {
  const state = cluster.state(replica);
  // A majority has to know better; and one wrong replica at a time is enough to judge by.
  if (state === undefined || cluster.nodes < 3 || cluster.flips.size > 0 || !atlas.isWeak(replica)) return 'nothing';
  const isWell = state.status === 'normal' && state.stateLoaded && state.syncing === null;
  if (!isWell || state.state.position === 0 || state.divergence.quarantine !== null) return 'nothing';
  if (comparedOnly.has(part) && isLeftBroken(replica)) return 'nothing';
  // A primary of which clients hear nothing commits little, and little is compared.
  if (part === 'other-row' && replicaStatus(state).role === 'primary') return 'nothing';
  const found = flip(state, part, pick);
  if (found === null) return 'nothing';
  const isGone = found === 'in-another-state' ? null : found;
  const flipped: Flip = { part, isSeenAlone: isSeenAlone(part), vanishes: vanishing.has(part), isGone };
  cluster.flips.begin(replica, flipped, cluster.scheduler.nowUs);
  return 'struck';
}
