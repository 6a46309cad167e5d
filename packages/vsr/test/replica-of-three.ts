import {
  clusterId,
  makePrepare,
  op as toOp,
  type Prepare,
  type RecoveredSlot,
  replicaId,
  rootHeader,
  sha256Hasher,
  timestamp,
  view as toView,
} from '@kimberlite/base';
import {
  createReplica,
  type DurableState,
  type Effect,
  encodeBatch,
  type Event,
  initialDurableState,
  type Message,
  step,
} from '../src/index.ts';
import { byteMachine } from './byte-machine.ts';

// One replica of three, its peers and its disk played by hand: what it must not do, and when.

export const cluster = clusterId('ab'.repeat(16));
export const startUs = 1_700_000_000_000_000;

/** A chain of prepares from `parent` on, made in `view`. */
export function chain(view: number, count: number, parent = rootHeader(cluster, sha256Hasher)): readonly Prepare[] {
  const prepares: Prepare[] = [];
  let last = parent;
  for (let i = 0; i < count; i++) {
    const fields = { cluster, op: last.op + 1, view, parent: last.id, timestamp: last.timestamp + 10 };
    const prepare = makePrepare({ ...fields, body: encodeBatch([]) }, sha256Hasher);
    prepares.push(prepare);
    last = prepare.header;
  }
  return prepares;
}

export const slot = (prepare: Prepare, state: RecoveredSlot['state']): RecoveredSlot => ({
  op: prepare.header.op,
  id: prepare.header.id,
  header: prepare.header,
  state,
});

export interface Start {
  readonly self: number;
  readonly durable?: Partial<Record<'view' | 'logView' | 'commit', number>>;
  readonly slots?: readonly RecoveredSlot[];
  readonly checkpointInterval?: number;
}

export function replicaOfThree({ self, durable = {}, slots = [], checkpointInterval }: Start) {
  const state: DurableState = {
    ...initialDurableState(checkpointInterval),
    view: toView(durable.view ?? 0),
    logView: toView(durable.logView ?? durable.view ?? 0),
    commit: toOp(durable.commit ?? 0),
  };
  const replica = createReplica({
    cluster,
    replica: replicaId(self),
    replicaCount: 3,
    hasher: sha256Hasher,
    seed: 1,
    nonce: 'n',
    stateMachine: byteMachine,
    durable: state,
    recovered: { slots: [...slots], head: toOp(slots.length), headCertain: true },
  });
  let nowUs = 1_000_000;
  let flush = 0;
  const send = (event: Event): Effect[] => {
    const clock = { monotonicUs: nowUs, realtimeUs: startUs + nowUs };
    const effects = step(replica, event, clock);
    for (const effect of effects) if (effect.type === 'flush-to-disk') flush = effect.sequence;
    return effects;
  };
  return {
    replica,
    send,
    start: () => send({ type: 'start' }),
    hear: (message: Message) => send({ type: 'message', message }),
    flushed: () => send({ type: 'superblock-written', sequence: flush }),
    written: ({ header }: Prepare) => send({ type: 'log-written', op: header.op, id: header.id }),
    later: (ms: number) => void (nowUs += ms * 1000),
  };
}

export const types = (effects: readonly Effect[]): readonly string[] => effects.map((effect) => effect.type);
export const messages = (effects: readonly Effect[]): readonly Message[] =>
  effects.flatMap((effect) => ('message' in effect ? [effect.message] : []));
export const ofType = <T extends Message['type']>(
  effects: readonly Effect[],
  type: T,
): readonly (Message & { type: T })[] => messages(effects).filter((m): m is Message & { type: T } => m.type === type);

export const startView = (view: number, suffix: readonly Prepare[], commit: number): Message => ({
  type: 'start-view',
  from: replicaId(view % 3),
  view: toView(view),
  suffix: suffix.map(({ header }) => header),
  commit: toOp(commit),
  checkpoint: toOp(0),
  nonce: '',
});
export const vote = (from: number, view: number): Message => ({
  type: 'start-view-change',
  from: replicaId(from),
  view: toView(view),
});
export const doViewChange = (
  from: number,
  view: number,
  logView: number,
  suffix: readonly Prepare[],
  commit: number,
): Message => ({
  type: 'do-view-change',
  from: replicaId(from),
  view: toView(view),
  logView: toView(logView),
  commit: toOp(commit),
  checkpoint: toOp(0),
  head: toOp(suffix.at(-1)?.header.op ?? 0),
  timestamp: timestamp(suffix.at(-1)?.header.timestamp ?? 0),
  suffix: suffix.map(({ header }) => ({ op: header.op, id: header.id, header, present: true, nack: false })),
});
export const prepareOf = (view: number, prepare: Prepare, commit: number): Message => ({
  type: 'prepare',
  from: replicaId(view % 3),
  view: toView(view),
  commit: toOp(commit),
  round: 0,
  prepare,
});
