import type { FaultAction } from '../nemesis/action.ts';
import { isAmbient } from '../nemesis/kinds.ts';

// Lists of faults made out of lists of faults. None of them has to make sense: what cannot be done is not done.

/** Shapes every link, a clock or the rules from its time on; the others strike once. */
const lastsOn = ({ kind }: FaultAction): boolean => kind === 'calm' || kind === 'exceed' || isAmbient(kind);

const endUs = (action: FaultAction): number => action.atUs + ('forUs' in action ? action.forUs : 0);

/** Without what is over by `us`, and that much earlier; what is still going on then begins at once. */
export function laterStart(script: readonly FaultAction[], us: number): FaultAction[] {
  const kept = script.filter((action) => action.atUs >= us || endUs(action) > us || lastsOn(action));
  return kept.map((action) => {
    if (action.atUs >= us) return { ...action, atUs: action.atUs - us };
    return 'forUs' in action ? { ...action, atUs: 0, forUs: endUs(action) - us } : { ...action, atUs: 0 };
  });
}

/** The faults end at `us` of the list's time. */
export function earlierCalm(script: readonly FaultAction[], us: number): FaultAction[] {
  return [...script.filter((action) => action.kind !== 'calm' && action.atUs < us), { kind: 'calm', atUs: us }];
}

export const lengthUs = (script: readonly FaultAction[]): number =>
  script.reduce((us, { atUs }) => Math.max(us, atUs), 0);

/** Takes most of the time in front of action `index` away, from it and from all after it. */
export function shorterGap(script: readonly FaultAction[], index: number, factor: number): FaultAction[] {
  const gapUs = (script[index]?.atUs ?? 0) - (script[index - 1]?.atUs ?? 0);
  const byUs = Math.floor(gapUs * (1 - factor));
  return script.map((action, i) => (i < index ? action : { ...action, atUs: action.atUs - byUs }));
}

/** The action at `index` is mended sooner. */
export function shorterFault(script: readonly FaultAction[], index: number, factor: number): FaultAction[] {
  return script.map((action, i) => {
    if (i !== index) return action;
    if ('forUs' in action) return { ...action, forUs: Math.floor(action.forUs * factor) };
    if (!('outages' in action)) return action;
    const outages = action.outages.map((outage) => ({ ...outage, forUs: Math.floor(outage.forUs * factor) }));
    return { ...action, outages };
  });
}

/** Time and durations of everything by one factor. */
export const faster = (script: readonly FaultAction[], factor: number): FaultAction[] =>
  script.map((action) => {
    const atUs = Math.floor(action.atUs * factor);
    return 'forUs' in action ? { ...action, atUs, forUs: Math.floor(action.forUs * factor) } : { ...action, atUs };
  });

/** The same faults among other replicas; null stands for a replica that is no more. */
export function amongReplicas(
  script: readonly FaultAction[],
  renamed: (replica: number) => number | null,
): FaultAction[] {
  return script.flatMap((action): FaultAction[] => {
    if (action.kind === 'change-members') {
      const of = (replica: number | null): number | null => (replica === null ? null : renamed(replica));
      return [{ ...action, joins: of(action.joins), leaves: of(action.leaves) }];
    }
    const replica = 'replica' in action ? renamed(action.replica) : 0;
    if (replica === null) return [];
    if ('links' in action) {
      const links = action.links.flatMap(([from, to]) => {
        const ends = [renamed(from), renamed(to)] as const;
        return ends[0] === null || ends[1] === null ? [] : [[ends[0], ends[1]] as const];
      });
      return links.length === 0 ? [] : [{ ...action, links }];
    }
    if ('outages' in action) {
      const outages = action.outages.flatMap((outage) => {
        const other = renamed(outage.replica);
        return other === null ? [] : [{ ...outage, replica: other }];
      });
      if (outages.length === 0) return [];
      return ['replica' in action ? { ...action, replica, outages } : { ...action, outages }];
    }
    return ['replica' in action ? { ...action, replica } : action];
  });
}

/** The same faults among the clients that stay; faults of the others go with them. */
export function amongClients(script: readonly FaultAction[], kept: readonly number[]): FaultAction[] {
  return script.flatMap((action): FaultAction[] => {
    if (!('client' in action)) return [action];
    const client = kept.indexOf(action.client);
    return client === -1 ? [] : [{ ...action, client }];
  });
}
