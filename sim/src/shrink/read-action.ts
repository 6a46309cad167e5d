import { err, type Result } from '@kimberlite/base';
import type { FaultAction, Outage } from '../nemesis/action.ts';
import { flipParts } from '../nemesis/flip-state.ts';
import { isObject, listOf, nullOr, number, objectOf, oneOf, pairOf, type Shape, text, whole } from './json-shape.ts';

/** Links, crashes and the like in one action: far more than any cluster has. */
const partsMax = 1_000;

/** The member that has this kind, also where it shares its shape with others. */
type Of<Kind extends FaultAction['kind'], Action = FaultAction> = Action extends { readonly kind: infer Kinds }
  ? Kind extends Kinds
    ? Action
    : never
  : never;

/** For each kind of action what its fields are; the compiler holds it to the type. */
const fields: {
  readonly [Kind in FaultAction['kind']]: {
    readonly [Field in Exclude<keyof Of<Kind>, 'kind' | 'atUs'>]: Shape<Of<Kind>[Field]>;
  };
} = (() => {
  const lasting = { replica: whole, forUs: whole };
  const broken = { links: listOf(pairOf(whole), partsMax), forUs: whole };
  const outage = objectOf<Outage>({ replica: whole, afterUs: whole, forUs: whole });
  const outages = listOf(outage, partsMax);
  const target = oneOf(['segment', 'headers', 'superblock'] as const);
  const place = { replica: whole, file: text, offset: whole };
  const patch = { replica: whole, target: oneOf(['segment', 'headers'] as const) };
  return {
    loss: { rate: number },
    duplication: { rate: number },
    replay: { rate: number },
    reordering: {},
    'slow-network': { latencyMinUs: number, latencyMeanUs: number },
    'narrow-network': { bytesPerSecond: number },
    partition: broken,
    isolate: broken,
    'one-way': broken,
    bridge: broken,
    clog: broken,
    flapping: { ...broken, periodUs: whole },
    'old-messages': { count: whole },
    crash: lasting,
    kill: lasting,
    stop: lasting,
    pause: lasting,
    upgrade: lasting,
    'crash-mid-turn': { ...lasting, calls: whole },
    'crash-in-view-change': { ...lasting, calls: whole },
    'crash-all': { outages },
    'power-cut-while-writing': { replica: whole, target, outages },
    skew: { replica: whole, skewUs: number },
    drift: { replica: whole, driftPpm: number },
    'clock-jump': { ...lasting, byUs: number },
    'torn-write': { ...lasting, target },
    'lost-writes': { ...lasting, target },
    'lost-names': lasting,
    'failed-sync': lasting,
    'failed-write': lasting,
    'full-disk': lasting,
    'slow-disk': { ...lasting, factor: number },
    rot: { ...place, op: whole, bit: whole },
    'rot-header': { ...place, op: whole, bit: whole },
    'rot-superblock': { ...place, bit: whole },
    'rot-file-header': { ...place, bit: whole },
    'bad-sector': { ...place, op: whole },
    'read-errors': { ...lasting, rate: number },
    'misdirected-write': { ...patch, op: whole, toOp: whole },
    'lost-write': { ...patch, op: whole },
    'superblock-astray': { replica: whole, fate: oneOf(['lost', 'misdirected'] as const) },
    'client-crash': { client: whole, forUs: whole },
    'slow-reader': { client: whole, forUs: whole },
    'client-cut': { client: whole, replica: whole, forUs: whole },
    'rude-client': { replica: whole },
    'lose-machine': { replica: whole },
    'change-members': { joins: nullOr(whole), leaves: nullOr(whole) },
    'flip-state': { replica: whole, part: oneOf(flipParts), pick: whole },
    flood: { replica: whole, sessions: whole, leadUs: whole },
    'session-flood': { replica: whole, sessions: whole },
    exceed: {},
    calm: {},
  };
})();

const kinds = Object.keys(fields) as FaultAction['kind'][];

/** One action of a list somebody may have written by hand. */
export const readAction: Shape<FaultAction> = (value, at): Result<FaultAction, string> => {
  const kind = isObject(value) ? oneOf(kinds)(value['kind'], `${at}.kind`) : err(`${at} is not a fault`);
  if (!kind.ok) return kind;
  const shape: Shape<unknown> = objectOf({ kind: oneOf([kind.value]), atUs: whole, ...fields[kind.value] });
  // `fields` says of this very kind what belongs to it.
  return shape(value, at) as Result<FaultAction, string>;
};
