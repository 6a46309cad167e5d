import type { IncomingMessage } from 'node:http';
import type { MemberChange } from '@kimberlite/vsr';

/** What an operator may ask of a node. Answered by the primary; another node says why not. */
export interface AdminActions {
  /** Fences off the machine that was that replica (Table H). Whoever asks vouches that it never runs again. */
  readonly replace: (replica: number) => Promise<ReplaceAnswer>;
  /** Asks for another group. A dry run changes nothing. */
  readonly change: (change: MemberChange, dryRun: boolean) => Promise<ChangeAnswer>;
  /** Asks the others to take over. */
  readonly transfer: () => TransferAnswer;
}

interface Refusal {
  readonly ok: false;
  readonly reason: string;
}

export type ReplaceAnswer =
  | {
      readonly ok: true;
      readonly incarnation: number;
      readonly view: number;
      readonly checkpointInterval: number;
      /** Hex; null: the founding group. */
      readonly membership: string | null;
    }
  | Refusal;

export type ChangeAnswer =
  | {
      readonly ok: true;
      readonly dryRun: boolean;
      readonly epoch: number;
      readonly voters: readonly number[];
      readonly standbys: readonly number[];
      /** How many of the voters may be lost while writes go on, when all are up. */
      readonly canLose: number;
      readonly checkpointInterval: number;
      /** Hex: what a new machine is formatted with. */
      readonly membership: string;
    }
  /** `again`: the same may be accepted in a while. */
  | (Refusal & { readonly again: boolean });

export type TransferAnswer = { readonly ok: true } | Refusal;

/** No web page can send this header unasked, so none can make a browser act for it. */
export const actionHeader = 'x-kimberlite-action';

type Action = () => Promise<ReplaceAnswer | ChangeAnswer | TransferAnswer>;

/** The action a request is for; null: none there is. */
export function actionOf(request: IncomingMessage, actions: AdminActions): Action | null {
  const [path, query] = splitUrl(request.url ?? '/');
  if (path === '/transfer') return async () => actions.transfer();
  const match = /^\/members\/(\d)\/(replace|add|promote|remove|hand-over)$/.exec(path);
  if (match === null) return null;
  const replica = Number(match[1]);
  if (match[2] === 'replace') return () => actions.replace(replica);
  const change = changeOf(match[2] ?? '', replica, query);
  return change === null ? null : () => actions.change(change, query.has('dryRun'));
}

function splitUrl(url: string): readonly [string, URLSearchParams] {
  const [path = '/', query = ''] = url.split('?', 2);
  return [path, new URLSearchParams(query)];
}

function changeOf(kind: string, replica: number, query: URLSearchParams): MemberChange | null {
  switch (kind) {
    case 'add':
      return { type: 'add', replica, address: query.get('address') ?? '' };
    case 'hand-over': {
      const to = query.get('to') ?? '';
      return /^\d$/.test(to) ? { type: 'replace', replica, by: Number(to) } : null;
    }
    case 'promote':
    case 'remove':
      return { type: kind, replica };
    default:
      return null;
  }
}
