import { err, type Result } from '@kimberlite/base';
import type { FaultAction } from '../nemesis/action.ts';
import { isObject, listOf, number, objectOf, oneOf, pairOf, type Shape, text, whole } from './json-shape.ts';

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
  const links = listOf(pairOf(whole), partsMax);
  const broken = { links, forUs: whole };
  const crash = objectOf<{ replica: number; afterUs: number; forUs: number }>({
    replica: whole,
    afterUs: whole,
    forUs: whole,
  });
  return {
    loss: { rate: number },
    duplication: { rate: number },
    replay: { rate: number },
    reordering: {},
    'slow-network': { latencyMinUs: number, latencyMeanUs: number },
    partition: broken,
    isolate: broken,
    'one-way': broken,
    bridge: broken,
    clog: broken,
    crash: { replica: whole, forUs: whole },
    pause: { replica: whole, forUs: whole },
    'crash-mid-turn': { replica: whole, calls: whole, forUs: whole },
    'crash-all': { crashes: listOf(crash, partsMax) },
    skew: { replica: whole, skewUs: number, driftPpm: number },
    'clock-jump': { replica: whole, skewUs: number, forUs: whole },
    'client-crash': { client: whole, forUs: whole },
    'client-cut': { client: whole, replica: whole, forUs: whole },
    'slow-disk': { replica: whole, factor: number },
    rot: { replica: whole, file: text, offset: whole, bit: whole },
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
