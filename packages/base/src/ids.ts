import { assert } from './assert.ts';

declare const brand: unique symbol;
/** A number or string that was checked once and carries the proof in its type. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Number of a prepare in the replicated log. The first is 1; 0 stands for the root before it. */
export type Op = Brand<number, 'Op'>;
/** Number of a view; its primary is replica `view mod n`. */
export type View = Brand<number, 'View'>;
/** Index of a replica in the configuration, from 0. */
export type ReplicaId = Brand<number, 'ReplicaId'>;
/** Running number of a command, over all ops and clients, from 1. */
export type Position = Brand<number, 'Position'>;
/** Number of a tenant, from 1. */
export type TenantId = Brand<number, 'TenantId'>;
/** Microseconds since 1970-01-01T00:00:00Z. */
export type Timestamp = Brand<number, 'Timestamp'>;
/** 128 bits of a client's own choosing, as 32 lower-case hex digits. */
export type ClientId = Brand<string, 'ClientId'>;
/** The op that registered the session; 0 before registration. */
export type SessionNumber = Brand<number, 'SessionNumber'>;
/** Number of a request within its session, from 1. */
export type RequestNumber = Brand<number, 'RequestNumber'>;
/** 128 bits of SHA-256, as 32 lower-case hex digits. */
export type Checksum = Brand<string, 'Checksum'>;
/** 128 bits that name a cluster, as 32 lower-case hex digits. */
export type ClusterId = Brand<string, 'ClusterId'>;

const hex128 = /^[0-9a-f]{32}$/;

export const isNatural = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
export const isHex128 = (value: unknown): value is string => typeof value === 'string' && hex128.test(value);

function natural(value: number, what: string): number {
  assert(isNatural(value), () => `${what} must be a whole number from 0, got ${value}`);
  return value;
}

function hex(value: string, what: string): string {
  assert(hex128.test(value), () => `${what} must be 32 lower-case hex digits, got ${value}`);
  return value;
}

export const op = (value: number): Op => natural(value, 'op') as Op;
export const view = (value: number): View => natural(value, 'view') as View;
export const replicaId = (value: number): ReplicaId => natural(value, 'replica') as ReplicaId;
export const position = (value: number): Position => natural(value, 'position') as Position;
export const tenantId = (value: number): TenantId => natural(value, 'tenant id') as TenantId;
export const timestamp = (value: number): Timestamp => natural(value, 'timestamp') as Timestamp;
export const sessionNumber = (value: number): SessionNumber => natural(value, 'session') as SessionNumber;
export const requestNumber = (value: number): RequestNumber => natural(value, 'request number') as RequestNumber;
export const clientId = (value: string): ClientId => hex(value, 'client id') as ClientId;
export const checksum = (value: string): Checksum => hex(value, 'checksum') as Checksum;
export const clusterId = (value: string): ClusterId => hex(value, 'cluster id') as ClusterId;
