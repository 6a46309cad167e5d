import { createHash } from 'node:crypto';
import { protocolVersion } from '@kimberlite/base';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { clientFrameSchema, serverFrameSchema } from '../src/client-schemas.ts';
import { peerHelloSchema } from '../src/peer-hello.ts';

/** What each protocol version says. A change of the schemas is a new version, with a new line here. */
const pinned: Readonly<Record<number, string>> = {
  1: 'c27c033f0fa0496bae3e7e11f112e399',
};

it('the schemas are those of this protocol version', () => {
  const schemas = [clientFrameSchema, serverFrameSchema, peerHelloSchema];
  const said = schemas.map((schema) => z.toJSONSchema(schema, { unrepresentable: 'any', target: 'draft-2020-12' }));
  const hash = createHash('sha256').update(JSON.stringify(said)).digest('hex').slice(0, 32);
  expect({ [protocolVersion]: hash }).toEqual({ [protocolVersion]: pinned[protocolVersion] });
});
