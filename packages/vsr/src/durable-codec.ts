import {
  type CheckpointRef,
  checkpointIntervalOpsDefault,
  type Checksum,
  err,
  FixedReader,
  FixedWriter,
  ok,
  type Op,
  op,
  pipelineMax,
  type Result,
  type View,
  view,
} from '@kimberlite/base';
import type { CheckpointMark, DurableState, DurableSuffixEntry } from './durable-state.ts';
import {
  encodeMembership,
  epochOf,
  firstViewOf,
  headerBytes,
  type Membership,
  readHeader,
  readMembership,
  writeHeader,
} from './group.ts';
import { firstVersion, foundingVersion } from './version.ts';

// The replica's part of the superblock, in bytes. The superblock itself carries the checksum.
// view u64 · log view u64 · commit u64 · checkpoint u64 · P u32 · count u32, then per entry
// op u64 · flags u8 (1: id, 2: header) · id 16 · header 92.
// Then, unless it was written before there were checkpoints: interval u32 · stable op u64, checksum 16 (0: none) ·
// incarnation u32 · replaced u8 · count u8, then per checkpoint header 92 · content bytes u64 · checksum 16.
// Then, unless it was written before there was a quarantine: op u64 (0: none).
// Then, unless the group is the founding one: the membership, as in group.ts.
// Then, unless both are 1: the version the cluster was founded in u32 · the version in force u32. With no membership
// before them, a u32 of 0 stands in its place: no group but the founding one has epoch 0.

const headBytes = 8 * 4 + 4 + 4;
const entryBytes = 8 + 1 + 16 + headerBytes;
const checkpointsHeadBytes = 4 + 8 + 16 + 4 + 1 + 1;
const checkpointBytes = headerBytes + 8 + 16;
const quarantineBytes = 8;
/** The newest and the one it may be replaced by. */
export const checkpointsKept = 2;
const zeros = '0'.repeat(32);

/** What a freshly formatted replica knows: nothing. */
export const initialDurableState = (checkpointInterval: number = checkpointIntervalOpsDefault): DurableState => ({
  view: view(0),
  logView: view(0),
  commit: op(0),
  checkpoint: op(0),
  suffix: [],
  checkpoints: [],
  stable: null,
  checkpointInterval,
  incarnation: 0,
  replaced: false,
  quarantined: op(0),
  membership: null,
  foundedIn: foundingVersion,
  versionInForce: foundingVersion,
});

/** What an empty machine knows that joins as a standby: the group that it is one of. It waits for a view of that. */
export const joiningDurableState = (options: {
  readonly membership: Membership;
  readonly replica: number;
  readonly checkpointInterval?: number;
}): DurableState => ({
  ...initialDurableState(options.checkpointInterval),
  view: view(firstViewOf(options.membership.group.epoch) + 1),
  incarnation: options.membership.group.incarnations[options.replica] ?? 0,
  replaced: true,
  membership: options.membership,
});

/**
 * What an empty machine knows that takes the place of a lost one (Table H, row 4): two views above the one in which its
 * predecessor was fenced off, so that nothing said of that one counts.
 */
export const replacedDurableState = (options: {
  readonly replica: number;
  readonly view: number;
  readonly incarnation: number;
  readonly checkpointInterval?: number;
  /** Null: the founding group. */
  readonly membership?: Membership | null;
}): DurableState => ({
  ...initialDurableState(options.checkpointInterval),
  // Without a vote it cannot bring the others there, and need not: nothing it says counts.
  view: view(options.membership?.group.standbys.includes(options.replica) ? options.view : options.view + 2),
  incarnation: options.incarnation,
  replaced: true,
  membership: options.membership ?? null,
});

/** What a replica of a cluster knows that begins with a checkpoint: nothing but that. */
export const restoredDurableState = (ref: CheckpointRef, checkpointInterval: number): DurableState => {
  const { header, checksum } = ref;
  return {
    ...initialDurableState(checkpointInterval),
    commit: header.op,
    checkpoint: header.op,
    suffix: [{ op: header.op, id: header.id, header }],
    checkpoints: [ref],
    stable: { op: header.op, checksum },
  };
};

export function encodeDurableState(state: DurableState): Uint8Array {
  const { checkpoints, stable } = state;
  const checkpointsBytes = checkpointsHeadBytes + checkpoints.length * checkpointBytes + quarantineBytes;
  const membership = state.membership === null ? new Uint8Array(0) : encodeMembership(state.membership);
  const fixedBytes = headBytes + state.suffix.length * entryBytes + checkpointsBytes;
  const versions = encodeVersions(state);
  const writer = new FixedWriter(fixedBytes + membership.length + versions.length);
  writer.u64(state.view).u64(state.logView).u64(state.commit).u64(state.checkpoint);
  writer.u32(pipelineMax).u32(state.suffix.length);
  for (const entry of state.suffix) {
    writer.u64(entry.op).u8((entry.id === null ? 0 : 1) | (entry.header === null ? 0 : 2));
    writer.hex128(entry.id ?? zeros);
    writeHeader(writer, entry.header);
  }
  writer
    .u32(state.checkpointInterval)
    .u64(stable?.op ?? 0)
    .hex128(stable?.checksum ?? zeros)
    .u32(state.incarnation)
    .u8(state.replaced ? 1 : 0)
    .u8(checkpoints.length);
  for (const { header, contentBytes, checksum } of checkpoints) {
    writeHeader(writer, header);
    writer.u64(contentBytes).hex128(checksum);
  }
  writer.u64(state.quarantined);
  return writer.raw(membership).raw(versions).bytes;
}

type VersionsHeld = Pick<DurableState, 'foundedIn' | 'versionInForce'>;

function encodeVersions({ membership, foundedIn, versionInForce }: DurableState): Uint8Array {
  if (foundedIn === firstVersion && versionInForce === firstVersion) return new Uint8Array(0);
  const writer = new FixedWriter(membership === null ? 12 : 8);
  if (membership === null) writer.u32(0);
  return writer.u32(foundedIn).u32(versionInForce).bytes;
}

/** Everything behind the checkpoints. */
function readMembershipAndVersions(
  reader: FixedReader,
): Result<VersionsHeld & Pick<DurableState, 'membership'>, string> {
  const first = { foundedIn: firstVersion, versionInForce: firstVersion };
  if (reader.remaining === 0) return ok({ membership: null, ...first });
  const isFounding = new FixedReader(reader.bytes, reader.offset).u32() === 0;
  if (isFounding) reader.u32();
  const membership = isFounding ? ok(null) : readMembership(reader);
  if (!membership.ok) return membership;
  if (!isFounding && reader.remaining === 0) return ok({ membership: membership.value, ...first });
  const [foundedIn, versionInForce] = [reader.u32(), reader.u32()];
  if (foundedIn < firstVersion || versionInForce < foundedIn) return err('a version below the one before it');
  return ok({ membership: membership.value, foundedIn, versionInForce });
}

type Checkpoints = Pick<DurableState, 'checkpoints' | 'stable' | 'checkpointInterval' | 'incarnation' | 'replaced'>;

function readCheckpoints(reader: FixedReader): Result<Checkpoints, string> {
  // A superblock from before there were checkpoints ends here.
  if (reader.remaining === 0) {
    const { checkpoints, stable, checkpointInterval, incarnation, replaced } = initialDurableState();
    return ok({ checkpoints, stable, checkpointInterval, incarnation, replaced });
  }
  const checkpointInterval = reader.u32();
  const stableOp = reader.u64() as Op;
  const stableChecksum = reader.hex128() as Checksum;
  const stable: CheckpointMark | null = stableOp === 0 ? null : { op: stableOp, checksum: stableChecksum };
  const [incarnation, replaced] = [reader.u32(), reader.u8()];
  const count = reader.u8();
  if (replaced > 1) return err('a flag is neither 0 nor 1');
  if (checkpointInterval === 0 || count > checkpointsKept) return err('damaged list of checkpoints');
  const checkpoints: CheckpointRef[] = [];
  for (let i = 0; i < count; i++) {
    const header = readHeader(reader);
    const contentBytes = reader.u64();
    checkpoints.push({ header, contentBytes, checksum: reader.hex128() as Checksum });
  }
  const [newest, older] = checkpoints;
  if (newest !== undefined && older !== undefined && newest.header.op <= older.header.op) {
    return err('checkpoints in the wrong order');
  }
  return ok({ checkpoints, stable, checkpointInterval, incarnation, replaced: replaced === 1 });
}

function readEntry(reader: FixedReader): DurableSuffixEntry | null {
  const entryOp = reader.u64() as Op;
  const flags = reader.u8();
  const id = reader.hex128() as Checksum;
  const header = readHeader(reader);
  if (flags > 3) return null;
  return { op: entryOp, id: (flags & 1) === 0 ? null : id, header: (flags & 2) === 0 ? null : header };
}

/** Total. Checks what the protocol relies on: order, bounds, the same P. */
export function decodeDurableState(bytes: Uint8Array): Result<DurableState, string> {
  const reader = new FixedReader(bytes);
  const stateView = reader.u64() as View;
  const logView = reader.u64() as View;
  const commit = reader.u64() as Op;
  const checkpoint = reader.u64() as Op;
  if (reader.u32() !== pipelineMax) return err('written with another pipeline bound');
  const count = reader.u32();
  if (reader.failed || count > pipelineMax + 1) return err('damaged suffix length');
  const suffix: DurableSuffixEntry[] = [];
  for (let i = 0; i < count; i++) {
    const entry = readEntry(reader);
    const below = suffix.at(-1);
    if (entry === null || (below !== undefined && entry.op !== below.op + 1)) return err('damaged suffix');
    if (entry.header !== null && (entry.header.id !== entry.id || entry.header.op !== entry.op)) {
      return err('a suffix header is not that of its id');
    }
    suffix.push(entry);
  }
  const checkpoints = readCheckpoints(reader);
  if (!reader.failed && !checkpoints.ok) return checkpoints;
  // A superblock from before there was a quarantine ends here.
  const quarantined = reader.remaining === 0 ? op(0) : (reader.u64() as Op);
  const behind = readMembershipAndVersions(reader);
  if (reader.failed || reader.remaining !== 0) return err('wrong length');
  if (!checkpoints.ok) return checkpoints;
  if (!behind.ok) return behind;
  const { membership } = behind.value;
  if (logView > stateView) return err('log view above view');
  if (checkpoint !== (checkpoints.value.checkpoints[0]?.header.op ?? 0)) return err('another newest checkpoint');
  const epoch = membership?.group.epoch ?? 0;
  if (epochOf(stateView) !== epoch) return err(`a view of another epoch than the group's`);
  return ok({
    view: stateView,
    logView,
    commit,
    checkpoint,
    suffix,
    quarantined,
    ...checkpoints.value,
    ...behind.value,
  });
}
