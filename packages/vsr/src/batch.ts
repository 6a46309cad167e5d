import {
  type Checksum,
  type ClientId,
  err,
  FixedReader,
  FixedWriter,
  ok,
  type RequestNumber,
  type Result,
  requestBodyBytesMax,
  requestsPerPrepareMax,
  type SessionNumber,
} from '@kimberlite/base';
import type { ClientRequest } from './client.ts';

// The body of a prepare: the requests of one op in the order in which they are applied.
// Little-endian: count u32, then per request client 16 · session u64 · number u64 · floor u64 · checksum 16 · length u32 · body.

const countBytes = 4;
const requestHeadBytes = 16 + 8 + 8 + 8 + 16 + 4;

/** Bytes that a request takes in a batch. */
export const requestBytes = (request: Pick<ClientRequest, 'body'>): number => requestHeadBytes + request.body.length;

export const emptyBatchBytes = countBytes;

export function encodeBatch(requests: readonly ClientRequest[]): Uint8Array {
  let size = countBytes;
  for (const request of requests) size += requestBytes(request);
  const writer = new FixedWriter(size);
  writer.u32(requests.length);
  for (const { client, session, number, floor, checksum, body } of requests) {
    writer.hex128(client).u64(session).u64(number).u64(floor).hex128(checksum).u32(body.length).raw(body);
  }
  return writer.bytes;
}

/** Total: strange bytes give an error, never a throw. The bodies are views of the input. */
export function decodeBatch(bytes: Uint8Array): Result<readonly ClientRequest[], string> {
  const reader = new FixedReader(bytes);
  const count = reader.u32();
  if (count > requestsPerPrepareMax) return err('too many requests');
  const requests: ClientRequest[] = [];
  for (let i = 0; i < count && !reader.failed; i++) {
    const client = reader.hex128() as ClientId;
    const session = reader.u64() as SessionNumber;
    const number = reader.u64() as RequestNumber;
    const floor = reader.u64() as RequestNumber;
    const checksum = reader.hex128() as Checksum;
    const length = reader.u32();
    if (length > requestBodyBytesMax) return err('request body too long');
    requests.push({ client, session, number, floor, checksum, body: reader.raw(length) });
  }
  if (reader.failed) return err('batch ends too early');
  if (reader.remaining !== 0) return err('bytes behind the last request');
  return ok(requests);
}
