import { createHash } from 'node:crypto';
import { protocolVersion } from '@kimberlite/base';
import { expect, it } from 'vitest';
import { z } from 'zod';
import {
  clientFrameSchema,
  clientGreetingSchema,
  serverFrameSchema,
  serverGreetingSchema,
} from '../src/client-schemas.ts';
import { peerHelloSchema } from '../src/peer-hello.ts';

/** What each protocol version says. Once a release has gone out with one, a change is a new version with a new line here. */
const pinned: Readonly<Record<number, string>> = {
  1: '7cebaad33d3a50705ae0c6c2565cb367',
};

/** Greetings are the same for all versions: a change may only add what may be missing. */
const pinnedGreetings = '0dfc2dd9b21bc59c594f9aa75e7ab52d';

const hashOf = (schemas: readonly z.ZodType[]): string => {
  const said = schemas.map((schema) => z.toJSONSchema(schema, { unrepresentable: 'any', target: 'draft-2020-12' }));
  return createHash('sha256').update(JSON.stringify(said)).digest('hex').slice(0, 32);
};

it('the schemas are those of this protocol version', () => {
  const hash = hashOf([clientFrameSchema, serverFrameSchema]);
  expect({ [protocolVersion]: hash }).toEqual({ [protocolVersion]: pinned[protocolVersion] });
});

it('greetings are what they always were', () => {
  expect(hashOf([clientGreetingSchema, serverGreetingSchema, peerHelloSchema])).toBe(pinnedGreetings);
});
