import { unreachable } from '@kimberlite/base';
import type { FaultAction } from './action.ts';
import { disturbClient, overrun } from './apply-clients.ts';
import {
  damage,
  failCall,
  failReads,
  fillDisk,
  loseUnsynced,
  loseWrite,
  misdirectWrite,
  slowDisk,
  strayFromSuperblock,
} from './apply-disk.ts';
import { breakLinks, flap, sendOldMessages, shapeNetwork } from './apply-network.ts';
import {
  crashAll,
  crashInViewChange,
  crashMidTurn,
  cutPowerWhileWriting,
  endProcess,
  setClock,
} from './apply-process.ts';
import { changeMembers } from './membership.ts';
import { flipState } from './flip-state.ts';
import { loseMachine } from './replacement.ts';
import type { ActionEffect, FaultWorld } from './world.ts';

/** Does one action. Total on purpose: what remains of a list after half of it was cut away must still run. */
export function applyAction(world: FaultWorld, action: FaultAction): ActionEffect {
  switch (action.kind) {
    case 'loss':
    case 'duplication':
    case 'reordering':
    case 'replay':
    case 'slow-network':
    case 'narrow-network':
      return shapeNetwork(world, action);
    case 'partition':
    case 'isolate':
    case 'one-way':
    case 'bridge':
    case 'clog':
      return breakLinks(world, action);
    case 'flapping':
      return flap(world, action);
    case 'old-messages':
      return sendOldMessages(world, action);
    case 'crash':
    case 'kill':
    case 'stop':
    case 'pause':
    case 'upgrade':
      return endProcess(world, action);
    case 'crash-mid-turn':
      return crashMidTurn(world, action);
    case 'crash-in-view-change':
      return crashInViewChange(world, action);
    case 'crash-all':
      return crashAll(world, action.outages);
    case 'power-cut-while-writing':
      return cutPowerWhileWriting(world, action);
    case 'skew':
    case 'drift':
    case 'clock-jump':
      return setClock(world, action);
    case 'torn-write':
    case 'lost-writes':
    case 'lost-names':
      return loseUnsynced(world, action);
    case 'failed-sync':
    case 'failed-write':
      return failCall(world, action);
    case 'full-disk':
      return fillDisk(world, action);
    case 'slow-disk':
      return slowDisk(world, action);
    case 'rot':
    case 'rot-header':
    case 'rot-superblock':
    case 'rot-file-header':
    case 'bad-sector':
      return damage(world, action);
    case 'read-errors':
      return failReads(world, action);
    case 'misdirected-write':
      return misdirectWrite(world, action);
    case 'lost-write':
      return loseWrite(world, action);
    case 'superblock-astray':
      return strayFromSuperblock(world, action);
    case 'lose-machine':
      return loseMachine(world, action.replica);
    case 'change-members':
      return changeMembers(world, action);
    case 'flip-state':
      return flipState(world, action);
    case 'client-crash':
    case 'slow-reader':
    case 'client-cut':
      return disturbClient(world, action);
    case 'rude-client':
    case 'flood':
    case 'session-flood':
      return overrun(world, action);
    case 'exceed':
      world.atlas.exceeded = true;
      return 'struck';
    case 'calm':
      return 'struck';
    default:
      return unreachable(action);
  }
}
