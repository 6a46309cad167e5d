import type { KernelState } from '@kimberlite/kernel';
import type { StateMachine } from '@kimberlite/vsr';
import type { Codec, ServerMessage } from '@kimberlite/wire';
import type { Call } from '../history.ts';
import type { CrashableDisk } from '../machine.ts';
import type { ApplyEffects, Checker, Ending, SuperblockView, World } from './checker.ts';
import { emptySuperblock, watchDisk } from './superblocks.ts';

type Hook = Exclude<keyof Checker, 'name'>;
type Listeners = { readonly [Name in Hook]: readonly NonNullable<Checker[Name]>[] };

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
    sent: of('sent'),
    heard: of('heard'),
    wrote: of('wrote'),
    superblockWritten: of('superblockWritten'),
    superblockSynced: of('superblockSynced'),
    synced: of('synced'),
    executed: of('executed'),
    handedOn: of('handedOn'),
    asked: of('asked'),
    told: of('told'),
    returned: of('returned'),
    ended: of('ended'),
  };
}

/**
 * Stands between the ports of all replicas and the checkers: what is sent, written, executed, handed on and told goes
 * through here. `alive` says whether the process whose port it is still runs: a crash in the middle of a turn leaves
 * the rest of that turn running, unheard.
 */
export class Observer {
  private readonly listeners: Listeners;
  private readonly superblocks: SuperblockView[] = [];
  /** Connection whose frame is being handled. */
  private asking = 0;
  /** Encoded for a client, not yet sent. */
  private telling: readonly ServerMessage[] = [];

  constructor(createCheckers: (superblock: World['superblock']) => readonly Checker[]) {
    this.listeners = listenersOf(createCheckers((replica) => this.superblocks[replica] ?? emptySuperblock));
  }

  watchDisk(disk: CrashableDisk, replica: number): CrashableDisk {
    const { wrote, superblockWritten, superblockSynced, synced } = this.listeners;
    return watchDisk(disk, {
      wrote: (file, offset, bytes) => {
        for (const listener of wrote) listener(replica, file, offset, bytes);
      },
      superblockWritten: (superblock) => {
        for (const listener of superblockWritten) listener(replica, superblock);
      },
      superblockSynced: (superblock) => {
        this.superblocks[replica] = superblock;
        for (const listener of superblockSynced) listener(replica, superblock);
      },
      synced: synced.length === 0 ? null : (file) => synced.forEach((listener) => listener(replica, file)),
    });
  }

  watchCodec(codec: Codec, replica: number, alive: () => boolean): Codec {
    const { sent, heard, asked } = this.listeners;
    return {
      ...codec,
      encodePeerMessage: (message) => {
        if (alive()) for (const listener of sent) listener(replica, message);
        return codec.encodePeerMessage(message);
      },
      decodePeerMessage: (frame) => {
        const message = codec.decodePeerMessage(frame);
        if (message.ok && alive()) for (const listener of heard) listener(replica, message.value);
        return message;
      },
      decodeClientFrame: (frame) => {
        const messages = codec.decodeClientFrame(frame);
        if (messages.ok && alive()) for (const listener of asked) listener(replica, this.asking, messages.value);
        return messages;
      },
      encodeServerFrame: (messages) => {
        this.telling = messages;
        return codec.encodeServerFrame(messages);
      },
      encodeServerFrames: (messages) => {
        this.telling = messages;
        return codec.encodeServerFrames(messages);
      },
    };
  }

  watchMachine(machine: StateMachine<KernelState>, replica: number, alive: () => boolean): StateMachine<KernelState> {
    const { executed } = this.listeners;
    return {
      ...machine,
      apply: (state, request) => {
        const applied = machine.apply(state, request);
        if (alive()) for (const listener of executed) listener({ replica, request, applied });
        return applied;
      },
    };
  }

  booted(replica: number): void {
    for (const listener of this.listeners.booted) listener(replica);
  }

  down(replica: number): void {
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
