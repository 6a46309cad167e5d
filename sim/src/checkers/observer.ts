import type { KernelState } from '@kimberlite/kernel';
import type { StateMachine } from '@kimberlite/vsr';
import type { Codec, ServerMessage } from '@kimberlite/wire';
import type { Call } from '../history.ts';
import type { CrashableDisk } from '../machine.ts';
import type { ApplyEffects, Checker, Ending, JournalLine, MessageType, SuperblockView, World } from './checker.ts';
import { eachHeaderRecord, eachRecord } from './platters.ts';
import { emptySuperblock, type WatchableDisk, watchDisk } from './superblocks.ts';

type Hook = Exclude<keyof Checker, 'name' | 'sent' | 'sentTypes' | 'heard' | 'heardTypes'>;
type Listeners = { readonly [Name in Hook]: readonly NonNullable<Checker[Name]>[] };
type MessageListener = NonNullable<Checker['sent']>;
type MessageListeners = { readonly [Type in MessageType]: MessageListener[] };

function listenersOf(checkers: readonly Checker[]): Listeners {
  const of = <Name extends Hook>(name: Name): readonly NonNullable<Checker[Name]>[] => {
    const found: NonNullable<Checker[Name]>[] = [];
    for (const checker of checkers) {
      const listener = checker[name];
      if (listener !== undefined) found.push(listener);
    }
    return found;
  };
  return {
    booted: of('booted'),
    down: of('down'),
    wiped: of('wiped'),
    recorded: of('recorded'),
    headerRecorded: of('headerRecorded'),
    superblockWritten: of('superblockWritten'),
    superblockSynced: of('superblockSynced'),
    synced: of('synced'),
    removed: of('removed'),
    executed: of('executed'),
    restored: of('restored'),
    handedOn: of('handedOn'),
    asked: of('asked'),
    told: of('told'),
    muted: of('muted'),
    journaled: of('journaled'),
    returned: of('returned'),
    ended: of('ended'),
  };
}

/** By type, since most messages are heartbeats and pings, which concern few. */
function messageListenersOf(
  checkers: readonly Checker[],
  of: (checker: Checker) => readonly [MessageListener | undefined, readonly MessageType[] | undefined],
): MessageListeners {
  const listeners: MessageListeners = {
    prepare: [],
    'prepare-ok': [],
    heartbeat: [],
    'heartbeat-ok': [],
    ping: [],
    pong: [],
    'start-view-change': [],
    'do-view-change': [],
    'start-view': [],
    'request-start-view': [],
    'request-headers': [],
    headers: [],
    'request-prepare': [],
    'repair-prepare': [],
    'request-checkpoint': [],
    'checkpoint-offer': [],
    'request-checkpoint-part': [],
    'checkpoint-part': [],
    'new-epoch': [],
  };
  for (const checker of checkers) {
    const [listener, types] = of(checker);
    if (listener === undefined) continue;
    for (const [type, list] of Object.entries(listeners)) {
      if (types === undefined || types.some((wanted) => wanted === type)) list.push(listener);
    }
  }
  return listeners;
}

/**
 * Stands between the ports of all replicas and the checkers: what is sent, written, executed, handed on and told goes
 * through here. `alive` says whether the process whose port it is still runs: a crash in the middle of a turn leaves
 * the rest of that turn running, unheard.
 */
export class Observer {
  private readonly listeners: Listeners;
  private readonly sent: MessageListeners;
  private readonly heard: MessageListeners;
  private readonly superblocks: SuperblockView[] = [];
  /** By replica: a state decoded from a checkpoint, of which nothing has been made yet. */
  private readonly decoded: (KernelState | undefined)[] = [];
  /** Connection whose frame is being handled. */
  private asking = 0;
  /** Encoded for a client, not yet sent. */
  private telling: readonly ServerMessage[] = [];

  constructor(createCheckers: (superblock: World['superblock']) => readonly Checker[]) {
    const checkers = createCheckers((replica) => this.superblocks[replica] ?? emptySuperblock);
    this.listeners = listenersOf(checkers);
    this.sent = messageListenersOf(checkers, (checker) => [checker.sent, checker.sentTypes]);
    this.heard = messageListenersOf(checkers, (checker) => [checker.heard, checker.heardTypes]);
  }

  watchDisk(disk: WatchableDisk, replica: number): CrashableDisk {
    const { recorded, headerRecorded, superblockWritten, superblockSynced, synced } = this.listeners;
    return watchDisk(disk, {
      wrote: (file, offset, bytes) => {
        eachRecord(file, offset, bytes, (record) => {
          for (const listener of recorded) listener(replica, record);
        });
        eachHeaderRecord(file, offset, bytes, (claim) => {
          for (const listener of headerRecorded) listener(replica, claim);
        });
      },
      superblockWritten: (superblock) => {
        for (const listener of superblockWritten) listener(replica, superblock);
      },
      superblockSynced: (superblock) => {
        this.superblocks[replica] = superblock;
        for (const listener of superblockSynced) listener(replica, superblock);
      },
      wiped: () => {
        this.superblocks[replica] = emptySuperblock;
        for (const listener of this.listeners.wiped) listener(replica);
      },
      removed: (file) => {
        for (const listener of this.listeners.removed) listener(replica, file);
      },
      synced: synced.length === 0 ? null : (file) => synced.forEach((listener) => listener(replica, file)),
    });
  }

  watchCodec(codec: Codec, replica: number, alive: () => boolean): Codec {
    const { sent, heard } = this;
    const { asked } = this.listeners;
    return {
      ...codec,
      encodePeerMessage: (message, incarnation, version) => {
        if (alive()) for (const listener of sent[message.type]) listener(replica, message);
        return codec.encodePeerMessage(message, incarnation, version);
      },
      decodePeerMessage: (frame) => {
        const message = codec.decodePeerMessage(frame);
        if (message.ok && heard[message.value.type].length > 0 && alive()) {
          for (const listener of heard[message.value.type]) listener(replica, message.value);
        }
        return message;
      },
      decodeClientFrame: (frame) => {
        const messages = codec.decodeClientFrame(frame);
        if (messages.ok && alive()) for (const listener of asked) listener(replica, this.asking, messages.value);
        return messages;
      },
      encodeServerFrame: (messages, version) => {
        this.telling = messages;
        return codec.encodeServerFrame(messages, version);
      },
      encodeServerFrames: (messages, version) => {
        this.telling = messages;
        return codec.encodeServerFrames(messages, version);
      },
    };
  }

  watchMachine(machine: StateMachine<KernelState>, replica: number, alive: () => boolean): StateMachine<KernelState> {
    const { executed } = this.listeners;
    return {
      ...machine,
      decoder: () => {
        const decoder = machine.decoder();
        const finish = (): ReturnType<typeof decoder.finish> => {
          const state = decoder.finish();
          if (state.ok && alive()) this.decoded[replica] = state.value;
          return state;
        };
        return { push: (bytes) => decoder.push(bytes), finish };
      },
      apply: (state, request) => {
        if (alive()) this.looksAt(replica, state);
        const applied = machine.apply(state, request);
        if (alive()) for (const listener of executed) listener({ replica, request, applied });
        return applied;
      },
    };
  }

  /** The replica's state, at the end of a turn or just before it is changed. */
  looksAt(replica: number, state: KernelState): void {
    // The first state of all is gone on from too: after a boot, or where there never was a checkpoint.
    const isDecoded = this.decoded[replica] === state;
    if (!isDecoded && state.position > 0) return;
    // One that waits to be gone on from still waits.
    if (isDecoded) this.decoded[replica] = undefined;
    for (const listener of this.listeners.restored) listener(replica, state);
  }

  booted(replica: number): void {
    for (const listener of this.listeners.booted) listener(replica);
  }

  down(replica: number): void {
    this.decoded[replica] = undefined;
    for (const listener of this.listeners.down) listener(replica);
  }

  /** The next client frame that is decoded came over this connection. */
  clientAsks(connection: number): void {
    this.asking = connection;
  }

  /** A frame to a client leaves: what was encoded last, in as many frames as it took. */
  clientTold(replica: number, connection: number): void {
    if (this.telling.length === 0) return;
    const messages = this.telling;
    this.telling = [];
    for (const listener of this.listeners.told) listener(replica, connection, messages);
  }

  /** The same of a frame that is not to arrive. */
  clientMuted(replica: number): void {
    const messages = this.telling;
    this.telling = [];
    for (const listener of this.listeners.muted) listener(replica, messages);
  }

  journaled(replica: number, line: JournalLine): void {
    for (const listener of this.listeners.journaled) listener(replica, line);
  }

  handedOn(replica: number, effects: ApplyEffects): void {
    for (const listener of this.listeners.handedOn) listener(replica, effects);
  }

  returned(call: Call): void {
    for (const listener of this.listeners.returned) listener(call);
  }

  ended(ending: Ending): void {
    for (const listener of this.listeners.ended) listener(ending);
  }
}
