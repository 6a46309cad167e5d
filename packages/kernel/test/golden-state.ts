import type { CommandInput } from '../src/index.ts';

// The bytes of a small state as protocol version 1 writes them, and what leads to it. They never change: whoever has a
// checkpoint of this version must be able to read it.

export const goldenCommands: readonly CommandInput[] = [
  { type: 'CreateTenant', tenantId: 1, name: 'clinic' },
  { type: 'CreateTenant', tenantId: 2, name: 'lab', quotaBytes: 1_000_000 },
  {
    type: 'CreateTable',
    tenantId: 1,
    table: 'patients',
    columns: {
      id: 'int',
      name: 'text?',
      born: 'timestamp?',
      weight: { type: 'float', default: 0.5 },
      scan: 'bytes?',
      doc: 'json?',
      alive: 'bool',
    },
    primaryKey: ['id'],
  },
  {
    type: 'CreateTable',
    tenantId: 2,
    table: 'samples',
    columns: { lot: 'text', no: 'int' },
    primaryKey: ['lot', 'no'],
  },
  { type: 'CreateIndex', tenantId: 1, table: 'patients', index: 'by_name', columns: ['name', 'born'] },
  {
    type: 'Insert',
    tenantId: 1,
    table: 'patients',
    row: {
      id: 7,
      name: 'Äda \u{1f600}',
      born: '1815-12-10T00:00:00Z',
      scan: new Uint8Array([0, 255]),
      doc: { b: [1, 2.5, null], a: 'x' },
      alive: false,
    },
    idempotencyId: 'first',
  },
  { type: 'Insert', tenantId: 1, table: 'patients', row: { id: '9223372036854775807', alive: true } },
  { type: 'Insert', tenantId: 2, table: 'samples', row: { lot: 'a\u0000b', no: -5 } },
  { type: 'Update', tenantId: 1, table: 'patients', key: { id: 7 }, set: { weight: -0.25 }, idempotencyId: 'second' },
  { type: 'Insert', tenantId: 2, table: 'ghosts', row: { id: 1 }, idempotencyId: 'third' },
  { type: 'SetBudget', budgetBytes: 2_000_000_000 },
];

export const goldenHash = '54e230080206fa172b2d749ce50d6a74';

/** Base64. */
export const goldenState: string = [
  'AAAAAAAAAABXCQAAAAQAAAALYnVkZ2V0Qnl0ZXMDAAAAAHc1lAAAAAACb3ADAAAAAAAAAAYAAAAIcG9zaXRpb24DAAAAAAAAAAsAAAAJdGltZXN0',
  'YW1wAwAAAAAAAAA8AQAAAAiAAAAAAAAAAQAAADsJAAAAAwAAAAdjcmVhdGVkAwAAAAAAAAABAAAABG5hbWUGAAAABmNsaW5pYwAAAApxdW90YUJ5',
  'dGVzAAEAAAAIgAAAAAAAAAIAAABACQAAAAMAAAAHY3JlYXRlZAMAAAAAAAAAAgAAAARuYW1lBgAAAANsYWIAAAAKcXVvdGFCeXRlcwMAAAAAAA9C',
  'QAIAAAARgAAAAAAAAAFwYXRpZW50cwAAAAHuCQAAAAUAAAAHY29sdW1ucwgAAAAHCQAAAAMAAAAEbmFtZQYAAAACaWQAAAAIbnVsbGFibGUBAAAA',
  'BHR5cGUGAAAAA2ludAkAAAADAAAABG5hbWUGAAAABG5hbWUAAAAIbnVsbGFibGUCAAAABHR5cGUGAAAABHRleHQJAAAAAwAAAARuYW1lBgAAAARi',
  'b3JuAAAACG51bGxhYmxlAgAAAAR0eXBlBgAAAAl0aW1lc3RhbXAJAAAABAAAAAdkZWZhdWx0BT/gAAAAAAAAAAAABG5hbWUGAAAABndlaWdodAAA',
  'AAhudWxsYWJsZQEAAAAEdHlwZQYAAAAFZmxvYXQJAAAAAwAAAARuYW1lBgAAAARzY2FuAAAACG51bGxhYmxlAgAAAAR0eXBlBgAAAAVieXRlcwkA',
  'AAADAAAABG5hbWUGAAAAA2RvYwAAAAhudWxsYWJsZQIAAAAEdHlwZQYAAAAEanNvbgkAAAADAAAABG5hbWUGAAAABWFsaXZlAAAACG51bGxhYmxl',
  'AQAAAAR0eXBlBgAAAARib29sAAAAB2NyZWF0ZWQDAAAAAAAAAAMAAAADa2V5CAAAAAEDAAAAAAAAAAAAAAAEbmFtZQYAAAAIcGF0aWVudHMAAAAI',
  'dGVuYW50SWQDAAAAAAAAAAECAAAAEIAAAAAAAAACc2FtcGxlcwAAAADUCQAAAAUAAAAHY29sdW1ucwgAAAACCQAAAAMAAAAEbmFtZQYAAAADbG90',
  'AAAACG51bGxhYmxlAQAAAAR0eXBlBgAAAAR0ZXh0CQAAAAMAAAAEbmFtZQYAAAACbm8AAAAIbnVsbGFibGUBAAAABHR5cGUGAAAAA2ludAAAAAdj',
  'cmVhdGVkAwAAAAAAAAAEAAAAA2tleQgAAAACAwAAAAAAAAAAAwAAAAAAAAABAAAABG5hbWUGAAAAB3NhbXBsZXMAAAAIdGVuYW50SWQDAAAAAAAA',
  'AAIDAAAAEIAAAAAAAAABYnlfbmFtZQAAAACECQAAAAYAAAAHY3JlYXRlZAMAAAAAAAAABQAAAARuYW1lBgAAAAdieV9uYW1lAAAABnBsYWNlcwgA',
  'AAACAwAAAAAAAAABAwAAAAAAAAACAAAABXRhYmxlBgAAAAhwYXRpZW50cwAAAAh0ZW5hbnRJZAMAAAAAAAAAAQAAAAZ1bmlxdWUBBAAAABmAAAAA',
  'AAAAAXBhdGllbnRzAIAAAAAAAAAHAAAAWAAAAAAAAAAJAwAAAAAAAAAHBgAAAAnDhGRhIPCfmIAD/+66SL2QwAAFv9AAAAAAAAAHAAAAAgD/BgAA',
  'ABp7ImEiOiJ4IiwiYiI6WzEsMi41LG51bGxdfQEEAAAAGYAAAAAAAAABcGF0aWVudHMA//////////8AAAAfAAAAAAAAAAcEf/////////8AAAU/',
  '4AAAAAAAAAAAAgQAAAAegAAAAAAAAAJzYW1wbGVzAGEA/2IAAH/////////7AAAAGQAAAAAAAAAIBgAAAANhAGID//////////sFAAAAEIAAAAAA',
  'AAABgAAAAAAAAAYAAADICQAAAAQAAAALY29tbWFuZEhhc2gGAAAAIGE3MWM2MzFjMzVhODJhODdmY2UwYWYxMDEwYjQyZWI1AAAADWlkZW1wb3Rl',
  'bmN5SWQGAAAABWZpcnN0AAAAB291dGNvbWUJAAAABQAAAAhpc1JlcGxheQEAAAACb2sCAAAAAm9wAwAAAAAAAAADAAAACHBvc2l0aW9uAwAAAAAA',
  'AAAGAAAACXRpbWVzdGFtcAMAAAAAAAAAHgAAAAl0aW1lc3RhbXADAAAAAAAAAB4FAAAAEIAAAAAAAAABgAAAAAAAAAkAAADJCQAAAAQAAAALY29t',
  'bWFuZEhhc2gGAAAAIGVjZjI3MjM3N2U4ZTdhNzU1MmE2YTQzNWViZjg4OWM4AAAADWlkZW1wb3RlbmN5SWQGAAAABnNlY29uZAAAAAdvdXRjb21l',
  'CQAAAAUAAAAIaXNSZXBsYXkBAAAAAm9rAgAAAAJvcAMAAAAAAAAABQAAAAhwb3NpdGlvbgMAAAAAAAAACQAAAAl0aW1lc3RhbXADAAAAAAAAADIA',
  'AAAJdGltZXN0YW1wAwAAAAAAAAAyBQAAABCAAAAAAAAAAoAAAAAAAAAKAAABUgkAAAAEAAAAC2NvbW1hbmRIYXNoBgAAACA4OWU4ZGY1MzU1Mjhm',
  'ZmU3NGE5N2Q1MDc1ZTk2MjAxMQAAAA1pZGVtcG90ZW5jeUlkBgAAAAV0aGlyZAAAAAdvdXRjb21lCQAAAAMAAAAFZXJyb3IJAAAABQAAAARjb2Rl',
  'BgAAAA1UYWJsZU5vdEZvdW5kAAAAB21lc3NhZ2UGAAAATXRlbmFudCAyIGhhcyBubyB0YWJsZSAiZ2hvc3RzIjsgY3JlYXRlIGl0IHdpdGggQ3Jl',
  'YXRlVGFibGUgb3IgbG9vayBhdCAkdGFibGVzAAAACXJldHJ5YWJsZQEAAAAFdGFibGUGAAAABmdob3N0cwAAAAh0ZW5hbnRJZAMAAAAAAAAAAgAA',
  'AAJvawEAAAAIcG9zaXRpb24DAAAAAAAAAAoAAAAJdGltZXN0YW1wAwAAAAAAAAAy',
].join('');
