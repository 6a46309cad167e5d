import type { IncomingMessage } from 'node:http';

/** What an operator may ask of a node. Answered by the primary; another node says why not. */
export interface AdminActions {
  /** Fences off the machine that was that replica (Table H). Whoever asks vouches that it never runs again. */
  readonly replace: (replica: number) => Promise<ReplaceAnswer>;
  /** Asks the others to take over. */
  readonly transfer: () => TransferAnswer;
}

export type ReplaceAnswer =
  | { readonly ok: true; readonly incarnation: number; readonly view: number; readonly checkpointInterval: number }
  | { readonly ok: false; readonly reason: string };
export type TransferAnswer = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** No web page can send this header unasked, so none can make a browser act for it. */
export const actionHeader = 'x-kimberlite-action';

/** The action a request is for; null: none there is. */
export function actionOf(
  request: IncomingMessage,
  actions: AdminActions,
): (() => Promise<ReplaceAnswer | TransferAnswer>) | null {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  if (path === '/transfer') return async () => actions.transfer();
  const replica = /^\/members\/(\d)\/replace$/.exec(path)?.[1];
  return replica === undefined ? null : () => actions.replace(Number(replica));
}
