import type { Checker } from './checker.ts';

/** What clients have asked, as it reached any replica. */
export interface Asked {
  readonly checker: Checker;
  /** The client that a connection has named. */
  readonly clientOf: (connection: number) => string | undefined;
  /** Highest request number of the client's session that has reached a replica. */
  readonly highest: (client: string, session: number) => number;
  /** Two different requests have come under that number. */
  readonly isAmbiguous: (client: string, session: number, number: number) => boolean;
}

interface AskedSession {
  highest: number;
  /** The checksum that came first, by number. */
  readonly checksums: Map<number, string>;
  readonly ambiguous: Set<number>;
}

export function watchAsked(): Asked {
  const clients = new Map<number, string>();
  const sessions = new Map<string, AskedSession>();
  const sessionOf = (client: string, session: number): AskedSession | undefined => sessions.get(`${client}/${session}`);

  const note = (client: string, session: number, number: number, checksum: string): void => {
    let known = sessionOf(client, session);
    if (known === undefined) {
      known = { highest: 0, checksums: new Map(), ambiguous: new Set() };
      sessions.set(`${client}/${session}`, known);
    }
    known.highest = Math.max(known.highest, number);
    const first = known.checksums.get(number);
    if (first === undefined) known.checksums.set(number, checksum);
    else if (first !== checksum) known.ambiguous.add(number);
  };

  return {
    checker: {
      name: 'replies',
      asked: (_replica, connection, messages) => {
        for (const message of messages) {
          if (message.type === 'hello') clients.set(connection, message.client);
          else if (message.type === 'request' && message.request.session > 0) {
            const { session, number, checksum } = message.request;
            note(clients.get(connection) ?? '', session, number, checksum);
          }
        }
      },
    },
    clientOf: (connection) => clients.get(connection),
    highest: (client, session) => sessionOf(client, session)?.highest ?? 0,
    isAmbiguous: (client, session, number) => sessionOf(client, session)?.ambiguous.has(number) ?? false,
  };
}
