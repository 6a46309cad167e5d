import type { ClientId, ClusterId, ReplicaId, View } from '@kimberlite/base';
import type { ClientQuery, ClientReply, ClientRequest, DivergenceStatus } from '@kimberlite/vsr';

// What travels on a client connection. One frame carries a list of messages, so that whatever one turn of
// either side produced is one write. A connection belongs to one client id, named in its hello.

/** First message of a connection. */
export interface Hello {
  readonly type: 'hello';
  /** The newest version that the client speaks. */
  readonly protocolVersion: number;
  /** The oldest; left out: that one alone. */
  readonly protocolVersionOldest?: number;
  readonly client: ClientId;
  /** Null: any cluster; the SDK remembers the one it met first and insists on it afterwards. */
  readonly cluster: ClusterId | null;
}

export type ClientMessage =
  | Hello
  | { readonly type: 'request'; readonly request: Omit<ClientRequest, 'client'> }
  | { readonly type: 'query'; readonly query: Omit<ClientQuery, 'client'> }
  /** Asks for the row that `kimberlite status` prints. */
  | { readonly type: 'status' };

/** Where a replica of the cluster can be reached, as far as the answering node knows. */
export interface MemberAddress {
  readonly replica: ReplicaId;
  /** `ws://host:port`, or null while that peer was never met. */
  readonly endpoint: string | null;
  readonly adminUrl: string | null;
}

/** The row of `status --json` for one replica; hashes are hex. */
export interface StatusRow {
  readonly cluster: ClusterId;
  readonly replica: ReplicaId;
  readonly endpoint: string | null;
  readonly adminUrl: string | null;
  readonly dataDir: string;
  readonly pid: number;
  readonly reachable: boolean;
  readonly role: 'primary' | 'backup' | 'standby' | null;
  readonly status: 'normal' | 'view-change' | 'recovering' | 'recovering-head' | 'quarantined';
  readonly view: number;
  readonly primary: ReplicaId;
  /** The group, as this replica knows it. */
  readonly epoch: number;
  readonly voters: readonly number[];
  readonly standbys: readonly number[];
  readonly op: number;
  readonly commit: number;
  readonly checkpoint: number;
  readonly position: number;
  readonly stateHash: string;
  readonly stateHashOp: number;
  readonly version: string;
  /** The protocol version in force, as this replica's log says, and the newest that its release speaks. */
  readonly versionInForce: number;
  readonly versionNewest: number;
  /** Microseconds this replica's wall clock is away from what a majority agrees on; null without agreement. */
  readonly clockOffsetUs: number | null;
  readonly diskUsedBytes: number;
  /** Why it is quarantined, and how far it has come. Null while its state is believed. */
  readonly divergence: DivergenceStatus | null;
  /** Whether the log's next file can be made; `none`: writes wait for it. */
  readonly diskRoom: 'enough' | 'little' | 'none';
  /** Damaged pieces of the data directory found since the node started, and how many of them were written again. */
  readonly damageFound: number;
  readonly damageRepaired: number;
  readonly members: readonly MemberAddress[];
}

export type ConnectionErrorCode =
  | 'wrong-version'
  | 'wrong-cluster'
  | 'bad-frame'
  | 'too-large'
  | 'not-greeted'
  | 'slow-reader'
  | 'stopping';

export type ServerMessage =
  | {
      readonly type: 'welcome';
      /** What this connection speaks from now on. */
      readonly protocolVersion: number;
      readonly cluster: ClusterId;
      readonly replica: ReplicaId;
      readonly view: View;
      readonly primary: ReplicaId;
      readonly members: readonly MemberAddress[];
    }
  /** The view changed: requests belong to another primary now. Only ever a durable log view. */
  | { readonly type: 'view'; readonly view: View; readonly primary: ReplicaId }
  | { readonly type: 'reply'; readonly reply: ClientReply }
  | { readonly type: 'status'; readonly row: StatusRow }
  /** The last message before the node closes the connection. */
  | { readonly type: 'error'; readonly code: ConnectionErrorCode; readonly message: string };
