import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import {
  checkpointIntervalOpsDefault,
  ownVersions,
  pipelineMax,
  type RandomState,
  replicaId,
  seedRandom,
} from '@kimberlite/base';
import { Host, type HostOptions, type Journal, type MembersChanged, type Replaced } from '@kimberlite/host';
import type { KernelState } from '@kimberlite/kernel';
import { encodeMembership, type MemberChange, type Membership, membersOf, quorumsOfGroup } from '@kimberlite/vsr';
import {
  createCodec,
  createKernelStateMachine,
  describeDivergence,
  type MemberAddress,
  type PeerHello,
} from '@kimberlite/wire';
import { Access } from './access.ts';
import { Acquaintances } from './acquaintances.ts';
import { type Address, formatAddress, isWildcard, parseAddress, reachable } from './address.ts';
import type { ChangeAnswer, ReplaceAnswer } from './admin-actions.ts';
import { AdminHttp } from './admin-http.ts';
import { ClientNetwork } from './client-network.ts';
import { createClock } from './clock.ts';
import type { NodeConfig } from './config.ts';
import { type DataDirectory, openDataDirectory } from './data-directory.ts';
import { createJournal } from './journal.ts';
import { NodeMetrics } from './metrics.ts';
import { PeerNetwork } from './peer-network.ts';
import { nodeCrc32, nodeDecodeText, nodeHasher } from './platform-checksums.ts';
import { liveChecks, type NodeCondition, readyChecks, startedChecks } from './readiness.ts';
import { createAppliedEffects } from './replica-effects.ts';
import { NodeTimers } from './timers.ts';
import { version } from './version.ts';

export interface StartOptions {
  readonly config: NodeConfig;
  /** The dashboard: HTML that is complete in itself. */
  readonly page?: string;
  /** Default: JSON lines on stderr. */
  readonly journal?: Journal;
}

export interface RunningNode {
  /** Where it listens; ports that were 0 are known here. */
  readonly client: Address;
  readonly peer: Address;
  readonly admin: Address;
  /** URLs to tell people. */
  readonly endpoint: string;
  readonly adminUrl: string;
  readonly journal: Journal;
  /** Resolves when the log has been read and the replica takes part. Never rejects: see `failed`. */
  readonly opened: Promise<void>;
  /** Resolves when the replica was removed from the cluster and is not needed any more. The process should end then. */
  readonly left: Promise<void>;
  /** Resolves, with the reason, if the replica cannot go on. The process should end then. */
  readonly failed: Promise<Error>;
  /** Hands over, closes everything, releases the directory. Bounded by `stopGraceMs` and a little. */
  readonly stop: () => Promise<void>;
}

/** Rejects with `StartError` or `ListenError`, whose messages name the fix. Whatever was opened is closed again. */
export async function startNode(options: StartOptions): Promise<RunningNode> {
  const directory = await openDataDirectory(options.config.dataDir);
  const node = new Node(options, directory);
  try {
    await node.listen();
  } catch (error) {
    await node.abandon();
    throw error;
  }
  return node.run();
}

/** How much longer than the grace a stop may take to close sockets and files. */
const closeMaxMs = 2000;
/** How long a replacement may take to be committed. */
const replaceMaxMs = 10_000;

/** All parts of one node and the wires between them. */
class Node {
  private readonly config: NodeConfig;
  private readonly directory: DataDirectory;
  private readonly journal: Journal;
  private readonly metrics = new NodeMetrics();
  private readonly codec = createCodec({ crc32: nodeCrc32, hasher: nodeHasher });
  private readonly acquaintances: Acquaintances;
  private readonly timers: NodeTimers;
  private readonly peers: PeerNetwork;
  private readonly clients: ClientNetwork;
  private readonly admin: AdminHttp;
  private readonly host: Host<KernelState>;
  private readonly failed: Promise<Error>;
  private readonly left: Promise<void>;
  private leave: () => void = () => {};
  private bound: { client: Address; peer: Address; admin: Address };
  private readonly giveUp: (error: Error) => void;
  private fatal: Error | null = null;
  private stopping: Promise<void> | undefined;

  constructor({ config, page, journal }: StartOptions, directory: DataDirectory) {
    this.config = config;
    this.directory = directory;
    this.bound = { client: config.client, peer: config.peer, admin: config.admin };
    this.journal =
      journal ?? createJournal({ level: config.logLevel, replica: config.replica, standing: () => this.host.status() });
    const random = seedRandom(randomBytes(4).readUInt32LE());
    let fail: (error: Error) => void = () => {};
    this.failed = new Promise((resolve) => {
      fail = resolve;
    });
    this.left = new Promise((resolve) => {
      this.leave = resolve;
    });
    this.timers = new NodeTimers((timer) => this.host.timerFired(timer));
    this.acquaintances = new Acquaintances(config.dataDir, this.journal);
    this.peers = this.makePeers(random);
    const access = this.makeAccess();
    this.clients = this.makeClients(access);
    this.giveUp = (error) => {
      this.fatal = error;
      this.timers.close();
      this.journal.write('error', `the replica cannot go on: ${error.message}`, { stack: error.stack });
      fail(error);
    };
    const hostOptions = this.makeHostOptions(this.giveUp);
    this.host = new Host(hostOptions);
    this.metrics.watchReplica(() => this.host.status());
    this.admin = new AdminHttp({
      access,
      page: page ?? '<!doctype html><title>Kimberlite</title><p>This node was started without a dashboard.',
      registry: this.metrics.registry,
      status: () => this.host.statusRow(),
      live: () => liveChecks(this.condition()),
      ready: () => readyChecks(this.condition()),
      started: () => startedChecks(this.condition()),
      actions: {
        replace: (replica) => this.replace(replica),
        change: (change, dryRun) => this.change(change, dryRun),
        transfer: () => this.host.transfer(),
      },
    });
  }

  /** All ports before the log is read: a busy one is said at once. */
  async listen(): Promise<void> {
    const admin = await this.admin.listen(this.config.admin);
    const client = await this.clients.listen(this.config.client);
    const peer = await this.peers.listen(this.config.peer);
    this.bound = { admin, client, peer };
  }

  async abandon(): Promise<void> {
    await Promise.all([this.admin.stop(), this.clients.stop(), this.peers.close()]);
    await this.directory.close();
  }

  run(): RunningNode {
    const opened = new Promise<void>((resolve) =>
      this.host.start(() => {
        this.checkInterval();
        // Not before: what this node says of itself has to be what its directory holds.
        this.peers.dial();
        resolve();
      }),
    );
    const { endpoint, adminUrl } = this.urls();
    const { replica, clusterId, replicas, dataDir } = this.config;
    const about = { cluster: clusterId, replicas: replicas.map(formatAddress), dataDir, endpoint, adminUrl, version };
    this.journal.write('info', `replica ${replica} of ${replicas.length} starts`, { ...about, pid: process.pid });
    return {
      ...this.bound,
      endpoint,
      adminUrl,
      journal: this.journal,
      opened,
      left: this.left,
      failed: this.failed,
      stop: () => (this.stopping ??= this.stop()),
    };
  }

  private async stop(): Promise<void> {
    this.journal.write('info', 'stopping: handing over', {});
    this.clients.refuseNew();
    const handedOver = new Promise<'done'>((resolve) => this.host.stop(() => resolve('done')));
    const late = await Promise.race([handedOver, this.failed, expire(this.config.stopGraceMs)]);
    if (late === 'late') this.journal.write('warn', 'nobody took over in time; leaving all the same', {});
    this.timers.close();
    const closed = Promise.all([this.clients.stop(), this.peers.close(), this.admin.stop()]);
    await Promise.race([closed, expire(closeMaxMs)]);
    await this.acquaintances.close();
    await this.directory.close();
    this.journal.write('info', 'stopped', {});
  }

  /** As the directory was formatted; until that has been read, as configured. */
  private checkpointInterval(): number {
    const formatted = this.host.inspect()?.checkpointing.interval;
    return formatted ?? this.config.checkpointInterval ?? checkpointIntervalOpsDefault;
  }

  private checkInterval(): void {
    const { checkpointInterval } = this.config;
    if (checkpointInterval === null || checkpointInterval === this.checkpointInterval()) return;
    const formatted = this.checkpointInterval();
    const fix = `leave the key out, or write ${formatted}; all nodes of a cluster have the same`;
    this.giveUp(
      new Error(
        `checkpointInterval is ${checkpointInterval}, and the directory was formatted with ${formatted}: ${fix}`,
      ),
    );
  }

  private async replace(replica: number): Promise<ReplaceAnswer> {
    this.journal.write('warn', `asked to fence off the machine of replica ${replica}, which is said to be gone`, {});
    const asked = new Promise<Replaced>((resolve) => this.host.replaceMember(replica, resolve));
    const result = await Promise.race([asked, expire(replaceMaxMs)]);
    if (result === 'late') return { ok: false, reason: 'no quorum of the others has committed it in time' };
    if (!result.ok) return result;
    const { incarnation, view, membership } = result;
    const checkpointInterval = this.checkpointInterval();
    return { ok: true, incarnation, view, checkpointInterval, membership: membership && hexOf(membership) };
  }

  private async change(change: MemberChange, dryRun: boolean): Promise<ChangeAnswer> {
    if (change.type === 'add' && !parseAddress(change.address).ok) {
      return { ok: false, reason: `"${change.address}" is no peer address of the form "host:port"`, again: false };
    }
    if (!dryRun) this.journal.write('info', 'asked to change the members', { ...change });
    const asked = new Promise<MembersChanged>((resolve) => this.host.changeMembers(change, dryRun, resolve));
    const result = await Promise.race([asked, expire(replaceMaxMs)]);
    if (result === 'late')
      return { ok: false, reason: 'no quorum has committed it in time; see `kimberlite member list`', again: false };
    if (!result.ok) return result;
    const { group } = result.membership;
    const { replication, viewChange } = quorumsOfGroup(group);
    return {
      ok: true,
      dryRun,
      epoch: group.epoch,
      voters: group.voters,
      standbys: group.standbys,
      canLose: group.voters.length - Math.max(replication, viewChange),
      checkpointInterval: this.checkpointInterval(),
      membership: hexOf(result.membership),
    };
  }

  private urls(): { readonly endpoint: string; readonly adminUrl: string } {
    const { advertisedClient, advertisedAdmin } = this.config;
    return {
      endpoint: advertisedClient ?? `ws://${formatAddress(reachable(this.bound.client))}`,
      adminUrl: advertisedAdmin ?? `http://${formatAddress(reachable(this.bound.admin))}`,
    };
  }

  private members(): readonly MemberAddress[] {
    const hellos = this.peers.hellos();
    return [...membersOf(this.host.group())]
      .sort((a, b) => a - b)
      .map((replica) => {
        if (replica === this.config.replica) return { replica: this.config.replica, ...this.urls() };
        const hello = hellos[replica];
        return { replica: replicaId(replica), endpoint: hello?.endpoint ?? null, adminUrl: hello?.adminUrl ?? null };
      });
  }

  private condition(): NodeCondition {
    const status = this.host.status();
    return {
      phase: this.host.phase,
      loading: this.host.loading(),
      status: status?.status,
      divergence: status === undefined || status.divergence === null ? null : describeDivergence(status.divergence),
      fatal: this.fatal,
      stopping: this.stopping !== undefined,
      replica: this.config.replica,
      voters: this.host.group().voters,
      peers: this.peers.problems(),
    };
  }

  /** Null until the directory has been read. */
  private hello(): PeerHello | null {
    const { clusterId, replica } = this.config;
    const own = this.host.inspect();
    if (own === undefined) return null;
    const { epoch, voters } = this.host.group();
    return {
      cluster: clusterId,
      replica,
      incarnation: own.members.incarnation,
      view: own.durable.view,
      epoch,
      voters,
      protocolVersion: ownVersions.newest,
      protocolVersionOldest: ownVersions.oldest,
      // 0 until the log has been read.
      versionInForce: this.host.status()?.versionInForce ?? 0,
      pipelineMax,
      // The log has no slots to run out of: what bounds it is the distance between checkpoints.
      slots: 0,
      checkpointInterval: this.checkpointInterval(),
      ...this.urls(),
    };
  }

  private makePeers(random: RandomState): PeerNetwork {
    const { replica, replicas, peerSecret, peerQueueBytes } = this.config;
    return new PeerNetwork({
      replica,
      addresses: replicas,
      hello: () => this.hello(),
      acquaintances: this.acquaintances,
      secret: peerSecret,
      codec: this.codec,
      queueBytesMax: peerQueueBytes,
      random,
      receive: (from, frame) => this.host.receivePeer(from, frame),
      journal: this.journal,
      metrics: this.metrics,
    });
  }

  private makeAccess(): Access {
    const { allowedOrigins, allowedHosts, client, peer, admin, replicas, advertisedClient, advertisedAdmin } =
      this.config;
    const advertised = [advertisedClient, advertisedAdmin].flatMap((url) =>
      url === null ? [] : [new URL(url).hostname],
    );
    const named = [client, peer, admin, ...replicas].map(({ host }) => host).filter((host) => !isWildcard(host));
    return new Access({
      hosts: [...named, ...advertised, ...allowedHosts, hostname()],
      origins: () => allowedOrigins ?? this.members().flatMap(({ adminUrl }) => (adminUrl === null ? [] : [adminUrl])),
    });
  }

  private makeClients(access: Access): ClientNetwork {
    const { clientsMax, clientQueueBytes, clientQueueBytesTotal } = this.config;
    return new ClientNetwork({
      access,
      codec: this.codec,
      connectionsMax: clientsMax,
      queueBytesMax: clientQueueBytes,
      queueBytesTotalMax: clientQueueBytesTotal,
      opened: (connection) => this.host.clientOpened(connection),
      receive: (connection, frame) => this.host.receiveClient(connection, frame),
      closed: (connection) => this.host.clientClosed(connection),
      journal: this.journal,
      metrics: this.metrics,
    });
  }

  private makeHostOptions(fatal: (error: Error) => void): HostOptions<KernelState> {
    const { clusterId, replica, replicas, dataDir, scrubSeconds } = this.config;
    return {
      cluster: clusterId,
      replica,
      replicaCount: replicas.length,
      hasher: nodeHasher,
      crc32: nodeCrc32,
      codec: this.codec,
      stateMachine: createKernelStateMachine({ decodeText: nodeDecodeText }),
      scrubSeconds,
      // Drawn, so that no two replicas are in step (pitfall 30).
      seed: randomBytes(4).readUInt32LE(),
      nonce: randomBytes(16).toString('hex'),
      ports: {
        network: this.peers,
        clients: this.clients,
        disk: this.directory.disk,
        clock: createClock(),
        timers: this.timers,
        metrics: this.metrics,
        journal: this.journal,
        applied: createAppliedEffects(this.journal, this.metrics),
        removed: () => this.leave(),
        fatal,
      },
      members: () => this.members(),
      describe: () => ({ ...this.urls(), dataDir, pid: process.pid, version }),
    };
  }
}

const hexOf = (membership: Membership): string => Buffer.from(encodeMembership(membership)).toString('hex');

function expire(ms: number): Promise<'late'> {
  return new Promise((resolve) => {
    setTimeout(() => resolve('late'), ms).unref();
  });
}
