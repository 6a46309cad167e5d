import { bytesEqual } from '@kimberlite/base';
import type { Outcome } from '@kimberlite/kernel';
import { decodeCommands, decodeOutcomes } from '@kimberlite/wire';

interface Decoded {
  readonly body: Uint8Array;
  readonly reply: Uint8Array;
  readonly commands: readonly unknown[];
  readonly outcomes: readonly Outcome[];
}

/**
 * What replicas executed, decoded for the checkers. Every replica executes the same bytes at a position, and again
 * after each boot, so they are decoded once; bytes that differ are decoded anew.
 */
export class Executions {
  private readonly known = new Map<number, Decoded>();

  decode(position: number, body: Uint8Array, reply: Uint8Array): Decoded {
    const known = this.known.get(position);
    if (known !== undefined && bytesEqual(known.body, body) && bytesEqual(known.reply, reply)) return known;
    const commands = decodeCommands(body);
    const outcomes = decodeOutcomes(reply);
    const decoded: Decoded = {
      body,
      reply,
      commands: commands.ok ? commands.value : [],
      outcomes: outcomes.ok ? outcomes.value : [],
    };
    this.known.set(position, decoded);
    return decoded;
  }
}
