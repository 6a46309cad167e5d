import { connect, type Database, KimberliteError } from '@kimberlite/client';
import type { CommandInput, Query } from '@kimberlite/kernel';
import { parseJson } from '@kimberlite/wire';
import type { Context } from './context.ts';
import type { Endpoints } from './endpoints.ts';
import { fail, UsageFailure } from './failure.ts';

/** How long the CLI waits for the first answer of a cluster. */
export const connectTimeoutMs = 10_000;

export async function connectTo(endpoints: Endpoints): Promise<Database> {
  try {
    return await connect({ endpoints: [...endpoints], connectTimeoutMs });
  } catch (error) {
    if (error instanceof KimberliteError && error.code === 'ConnectFailed') {
      const fix = '`npm start` starts a local cluster; --endpoints or KIMBERLITE_ENDPOINTS names another one.';
      throw fail('ConnectFailed', error.message, fix);
    }
    throw error;
  }
}

/** Runs `work` with a connection that is closed whatever happens. */
export async function withClient<T>(endpoints: Endpoints, work: (client: Database) => Promise<T>): Promise<T> {
  const client = await connectTo(endpoints);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** A JSON argument, or all of stdin where it is `-`. Malformed JSON is wrong usage: nothing was sent. */
export async function readArgument(context: Context, argument: string): Promise<unknown> {
  const text = argument === '-' ? await context.readStdin() : argument;
  const value = parseJson(text);
  if (value.ok) return value.value;
  const where = argument === '-' ? 'stdin' : 'the argument';
  throw new UsageFailure(`${value.error}\nIt came from ${where}; in a shell, put JSON between single quotes.`);
}

/** Anything goes to the SDK as it is: what is no command is rejected there, with the place in it that is wrong. */
export const asCommand = (value: unknown): CommandInput => value as CommandInput;
export const asQuery = (value: unknown): Query => value as Query;

export type { Database };
