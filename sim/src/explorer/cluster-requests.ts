import { type ClientId, type Hasher, requestNumber, sessionNumber } from '@kimberlite/base';
import type { ClientRequest } from '@kimberlite/vsr';

// The clients of a world: one request each, so that any of them can be the next op of any primary.

/** All clients register in the one op that every world begins with. */
export const registrationOp = 1;

const clientOf = (request: number): ClientId => request.toString(16).padStart(32, '0') as ClientId;

export const requestOf = (client: ClientId): number => Number.parseInt(client, 16);

export function registrationRequest(request: number, hasher: Hasher): ClientRequest {
  const body = new Uint8Array(0);
  return {
    client: clientOf(request),
    session: sessionNumber(0),
    number: requestNumber(0),
    floor: requestNumber(0),
    checksum: hasher(body),
    body,
  };
}

/** Request `request` of a world, from 1; its body is that number. */
export function worldRequest(request: number, hasher: Hasher): ClientRequest {
  const body = Uint8Array.of(request);
  return {
    client: clientOf(request),
    session: sessionNumber(registrationOp),
    number: requestNumber(1),
    floor: requestNumber(1),
    checksum: hasher(body),
    body,
  };
}
