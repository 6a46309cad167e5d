import { expect, test } from 'vitest';
import { CanonicalText } from '../src/explorer/canonical-text.ts';
import { type Local, localText } from '../src/explorer/local.ts';
import { type FieldRule, fieldRules, standStill, type Subject } from '../src/explorer/replica-fields.ts';
import { EventRunner } from '../src/explorer/run-event.ts';
import { StateSpace } from '../src/explorer/state-space.ts';
import type { World } from '../src/explorer/world.ts';
import { platformHasher } from './hasher.ts';
import { explored, smallWorld } from './explorer-worlds.ts';

const world: World = { ...smallWorld, crashes: 1, slowLog: true, slowSuperblock: true };
const space = new StateSpace({ world, hasher: platformHasher });
const rules = Object.entries(fieldRules) as [keyof Subject, FieldRule][];

/** Another value of the same kind. */
function changed(value: unknown): unknown {
  if (value === null || value === undefined) return { other: 1 };
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'string') return `${value}x`;
  if (value instanceof Map) return new Map([...value, [99, { other: 1 }]]);
  if (value instanceof Set) return new Set([...value, 'other']);
  if (Array.isArray(value)) return [...value, 7];
  return { ...value, other: 1 };
}

const root = space.locals.at(space.root[0] ?? 0);
const textOf = (local: Local): string => localText(local, new CanonicalText());
const withField = (field: string, value: unknown): Local => ({
  ...root,
  replica: Object.assign({ ...root.replica }, { [field]: value }),
});

test.each(rules.filter(([, rule]) => rule.kind !== 'same' && rule.kind !== 'reset').map(([field]) => field))(
  'a change of %s changes the encoding and the hash',
  (field) => {
    const other = field === 'state' ? { applied: ['05'], digest: 'other' } : changed(root.replica[field]);
    const text = textOf(withField(field, other));
    expect(text).not.toBe(textOf(root));
    expect(space.locals.of(withField(field, other))).not.toBe(space.root[0]);
  },
);

test.each(['writes', 'superblockWrite', 'reads', 'timers', 'boots'] as const)(
  'a change of the %s of a replica changes the encoding and the hash',
  (field) => {
    const other: Local = { ...root, [field]: changed(root[field]) };
    expect(textOf(other)).not.toBe(textOf(root));
    expect(space.locals.of(other)).not.toBe(space.root[0]);
  },
);

test('a change of the disk changes the encoding', () => {
  const superblock = { ...root.image, superblock: { ...root.image.superblock, commit: 7 as never } };
  const slots = { ...root.image, slots: new Map([...root.image.slots, [3, { kind: 'torn' } as const]]) };
  for (const image of [superblock, slots]) expect(textOf({ ...root, image })).not.toBe(textOf(root));
});

test('every field that is not encoded says why, and a field that is set back is', () => {
  for (const [field, rule] of rules) {
    if (rule.kind === 'state' || rule.kind === 'mutable') continue;
    expect(rule.why.length, field).toBeGreaterThan(0);
    if (rule.kind !== 'reset') continue;
    const { replica } = withField(field, changedWithin(field));
    standStill(replica, world);
    expect(replica[field], field).toEqual(root.replica[field]);
  }
});

/** Another value that the field may really have. */
function changedWithin(field: keyof Subject): unknown {
  const { samples } = root.replica;
  switch (field) {
    case 'heardUs':
      return [3, 4, 5, 3, 4, 5];
    case 'progress':
      return { applied: 0, atUs: 5 };
    case 'samples':
      return new Map([...samples].map(([peer, sample]) => [peer, { ...sample, takenUs: 5 }]));
    default:
      return changed(root.replica[field]);
  }
}

test('what is set back makes no difference to what a replica does', () => {
  const { space: seen, events } = explored({ ...world, crashes: 0 });
  const runner = new EventRunner(world, platformHasher, new Set());
  const write = new CanonicalText();
  let compared = 0;
  for (let number = 1; number < seen.locals.size; number += 3) {
    const local = seen.locals.at(number);
    for (const event of events.of(number)) {
      const plain = runner.run(local, event);
      const replica: Subject = Object.assign({ ...local.replica }, disturbance);
      const disturbed = runner.run({ ...local, replica }, event);
      expect(localText(disturbed.local, write)).toBe(localText(plain.local, write));
      expect(disturbed.sent).toEqual(plain.sent);
      compared += 1;
    }
  }
  expect(compared).toBeGreaterThan(200);
});

/** Values that the fields might have had, where time runs and jitter is drawn. */
const disturbance: Partial<Subject> = {
  random: { a: 1, b: 2, c: 3, d: 5 },
  heardUs: [3, 4, 5],
  waitingSinceUs: 17,
  primaryHeardUs: 18,
  heartbeatGapUs: 77_000,
  askingAttempts: 2,
  viewChangeAttempts: 3,
  viewChangeDelayMs: 444,
  replayUntil: 1,
  recovered: { slots: [], head: 3 as never, headCertain: false },
};

test('remembered texts are those that would be written again', () => {
  const { space: seen } = explored({ ...world, crashes: 0 });
  const remembering = new CanonicalText();
  const forgetful = new CanonicalText(false);
  for (let number = 1; number < seen.locals.size; number += 1) {
    const local = seen.locals.at(number);
    expect(localText(local, remembering)).toBe(localText(local, forgetful));
  }
});
