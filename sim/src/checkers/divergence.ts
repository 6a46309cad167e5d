import type { Message } from '@kimberlite/vsr';
import type { Checker, Fail, World } from './checker.ts';

/** What a replica says with which it speaks for the cluster's state, or lets something commit. */
function speaksUp(message: Message): boolean {
  switch (message.type) {
    case 'prepare-ok':
    case 'heartbeat':
    case 'checkpoint-offer':
      return true;
    case 'heartbeat-ok':
      return message.round > 0;
    default:
      return false;
  }
}

/**
 * A replica whose state is wrong knows it in time, or is told, and from then on does not ack, confirm, lead, serve
 * checkpoints or answer; no other replica is ever called so (pitfall 65). What a replica calls itself is heard in its log.
 */
export function divergence(world: World, fail: Fail): Checker {
  const quarantined = new Set<number>();
  return {
    name: 'divergence',
    booted: (replica) => void quarantined.delete(replica),
    down: (replica) => void quarantined.delete(replica),
    sentTypes: ['prepare-ok', 'heartbeat', 'heartbeat-ok', 'checkpoint-offer'],
    sent: (replica, message) => {
      if (!speaksUp(message)) return;
      const says = `replica ${replica} sends ${message.type}`;
      if (quarantined.has(replica)) fail('divergence', `${says}, and has said that it has diverged`);
      const { flips } = world;
      if (flips.isOverdue(replica, world.nowUs())) {
        fail('divergence', `${says}; its state is wrong (${flips.partOf(replica)}), and it should know by now`);
      }
    },
    journaled: (replica, { message, fields }) => {
      if (message.startsWith('the state of this replica is that of the others again')) quarantined.delete(replica);
      if (!message.startsWith('this replica is quarantined')) return;
      const wasSaidBefore = quarantined.has(replica);
      quarantined.add(replica);
      // A boot goes on with what the one before had found out, perhaps when all is well again.
      if (wasSaidBefore || fields['cause'] === 'restart' || world.flips.has(replica)) return;
      if (fields['cause'] === 'checkpoint' && world.flips.leftInCheckpoint(replica, world.nowUs())) return;
      fail('divergence', `replica ${replica} says that it has diverged, and it has not: ${message}`);
    },
    muted: (replica, messages) => {
      const isAnswer = messages.some(
        (message) => message.type === 'reply' && (message.reply.type === 'outcome' || message.reply.type === 'answer'),
      );
      if (!isAnswer) return;
      if (quarantined.has(replica)) fail('divergence', `replica ${replica} answers, and has said that it has diverged`);
      if (world.flips.isOverdue(replica, world.nowUs())) {
        fail('divergence', `replica ${replica} answers; its state is wrong, and it should know by now`);
      }
    },
    told: (replica, _connection, messages) => {
      const isAnswer = messages.some(
        (message) => message.type === 'reply' && (message.reply.type === 'outcome' || message.reply.type === 'answer'),
      );
      if (isAnswer && quarantined.has(replica)) {
        fail('divergence', `replica ${replica} answers, and has said that it has diverged`);
      }
    },
  };
}
