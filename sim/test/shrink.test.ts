import { describe, expect, test } from 'vitest';
import type { FailureKind } from '../src/checkers/checker.ts';
import type { FaultAction } from '../src/nemesis/action.ts';
import type { FaultKind, Plants, RunOptions } from '../src/options.ts';
import { type Execute, type RunResult, runSeed } from '../src/run.ts';
import { type Candidate, isSameFailure, optionsOf, pinned, sizeOf } from '../src/shrink/candidate.ts';
import {
  amongClients,
  amongReplicas,
  earlierCalm,
  faster,
  laterStart,
  shorterGap,
} from '../src/shrink/change-script.ts';
import { formatSchedule, parseSchedule, type Schedule, scheduleOf } from '../src/shrink/schedule.ts';
import { shrink, type ShrinkProgress, type Shrunk } from '../src/shrink/shrink.ts';
import { platformHasher } from './hasher.ts';
import { executedTwice, readsBeforeInherited, viewBeforeDurable } from './plants.ts';

const execute: Execute = (seed, options) => runSeed(seed, options, platformHasher);

function drive(failing: RunResult, by: Execute, enough: (progress: ShrinkProgress) => boolean = () => false): Shrunk {
  let done = false;
  const steps = shrink(failing, by, () => !done);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    done = enough(step.value);
  }
}

describe('a run that is pinned', () => {
  test('is the same run again', () => {
    const drawn = execute(3, { seconds: 2 });
    const again = execute(3, optionsOf(pinned(drawn)));
    expect(again.traceHash).toBe(drawn.traceHash);
    expect(again.script).toEqual(drawn.script);
  });

  test('may be cut off, undecided', () => {
    const result = execute(3, { nodes: 3, seconds: 2, eventsMax: 500 });
    expect(result.failure?.kind).toBe('undecided');
    expect(result.stats.events).toBe(501);
  });
});

/** Fails as soon as replica 1 has crashed in a cluster of two or more, after a hundred events a fault and client. */
const fake =
  (drawn: RunResult, kindOf: (candidate: Candidate) => FailureKind | null): Execute =>
  (seed, options) => {
    const plan = { ...drawn.plan, ...options.plan };
    const script = options.script ?? [];
    const kind = kindOf({ seed, plan, script, endsWhenCalm: options.endsWhenCalm ?? false });
    const events = 100 * (1 + script.length + plan.clients.length + plan.nodes);
    const isLonger = events > (options.eventsMax ?? Number.POSITIVE_INFINITY);
    const failure = isLonger || kind === null ? null : { kind, message: `${kind} happened`, atUs: 1 };
    return { ...drawn, seed, plan, script, failure, ok: failure === null, stats: { ...drawn.stats, events } };
  };

describe('shrinking', () => {
  const drawn = execute(1, { nodes: 3, seconds: 1, faults: ['crash'], eventsMax: 300 });
  const crash = (replica: number, atUs: number): FaultAction => ({ kind: 'crash', atUs, forUs: 1_000, replica });
  const script = Array.from({ length: 30 }, (_, index) => crash(index % 3, 10_000 * (index + 1)));
  const clients = ['sdk', 'plain', 'sdk', 'plain', 'sdk'] as const;
  const failing = (kind: FailureKind): RunResult => {
    const failure = { kind, message: `${kind} happened`, atUs: 1 };
    const stats = { ...drawn.stats, events: 100_000 };
    return { ...drawn, plan: { ...drawn.plan, nodes: 5, clients }, script, failure, stats };
  };
  const needsTwo = ({ plan, script: done }: Candidate): boolean =>
    plan.nodes > 1 && done.some((action) => action.kind === 'crash' && action.replica === 1);

  test('leaves what the failure needs, and nothing else', () => {
    const { candidate, size } = drive(
      failing('agreement'),
      fake(drawn, (run) => (needsTwo(run) ? 'agreement' : null)),
    );
    expect(size).toMatchObject({ actions: 1, clients: 1, nodes: 2 });
    expect(candidate.script).toMatchObject([{ kind: 'crash', replica: 1 }]);
  });

  test('takes no failure of another checker for this one', () => {
    const { size, original } = drive(
      failing('agreement'),
      fake(drawn, (run) => (needsTwo(run) && run.plan.clients.length === 5 ? 'agreement' : 'liveness')),
    );
    expect(original.clients).toBe(5);
    expect(size).toMatchObject({ actions: 1, clients: 5, nodes: 2 });
  });

  test('takes no hang for one that ends when it is given its time', () => {
    const hangs = ({ plan }: Candidate): boolean => plan.patienceSeconds < 20 || plan.clients.length > 2;
    const { candidate } = drive(
      failing('liveness'),
      fake(drawn, (run) => (hangs(run) ? 'liveness' : null)),
    );
    expect(candidate.plan.clients).toHaveLength(3);
  });

  test('stops when it is told to, with what it has', () => {
    const { runs, size } = drive(
      failing('agreement'),
      fake(drawn, (run) => (needsTwo(run) ? 'agreement' : null)),
      (progress) => progress.runs === 3,
    );
    expect(runs).toBe(3);
    expect(size.events).toBeLessThan(100_000);
  });

  test('leaves a hollow run alone: less of it would be as hollow', () => {
    const { runs, candidate } = drive(
      failing('hollow'),
      fake(drawn, () => 'hollow'),
    );
    expect(runs).toBe(0);
    expect(candidate.script).toEqual(script);
  });

  test('tells one end of a replica from another by what its assertion says', () => {
    const fatal = (message: string) => ({ kind: 'fatal' as const, message, atUs: 1 });
    const one = fatal('replica 0: op 17 is linked to 16\n at step');
    expect(isSameFailure(one, fatal('replica 2: op 3 is linked to 2\n at stop'))).toBe(true);
    expect(isSameFailure(one, fatal('replica 0: the head is never blank\n at step'))).toBe(false);
  });
});

describe('lists of faults', () => {
  const script: readonly FaultAction[] = [
    { kind: 'loss', atUs: 0, rate: 0.1 },
    { kind: 'crash', atUs: 100, forUs: 50, replica: 2 },
    {
      kind: 'isolate',
      atUs: 200,
      forUs: 1_000,
      links: [
        [0, 2],
        [2, 1],
      ],
    },
    { kind: 'client-cut', atUs: 300, forUs: 10, client: 3, replica: 1 },
    { kind: 'calm', atUs: 900 },
  ];

  test('start later without what is over, and with what goes on', () => {
    expect(laterStart(script, 400)).toEqual([
      { kind: 'loss', atUs: 0, rate: 0.1 },
      {
        kind: 'isolate',
        atUs: 0,
        forUs: 800,
        links: [
          [0, 2],
          [2, 1],
        ],
      },
      { kind: 'calm', atUs: 500 },
    ]);
  });

  test('end earlier', () => {
    expect(earlierCalm(script, 250).map(({ kind, atUs }) => [kind, atUs])).toEqual([
      ['loss', 0],
      ['crash', 100],
      ['isolate', 200],
      ['calm', 250],
    ]);
  });

  test('lose the time between two of them, or a part of all of it', () => {
    expect(shorterGap(script, 2, 0).map(({ atUs }) => atUs)).toEqual([0, 100, 100, 200, 800]);
    expect(faster(script, 0.5).map(({ atUs }) => atUs)).toEqual([0, 50, 100, 150, 450]);
  });

  test('lose what was done to replicas and clients that are no more', () => {
    expect(amongReplicas(script, (replica) => (replica < 2 ? replica : null))).toEqual([
      script[0],
      script[3],
      script[4],
    ]);
    expect(amongReplicas(script, (replica) => (replica + 1) % 3)[2]).toMatchObject({
      links: [
        [1, 0],
        [0, 2],
      ],
    });
    expect(amongClients(script, [0, 3])[3]).toMatchObject({ client: 1 });
    expect(amongClients(script, [0])).toHaveLength(4);
  });
});

interface Planted {
  readonly name: string;
  readonly plants: Plants;
  readonly checker: FailureKind;
  readonly faults: readonly FaultKind[];
  /** Where to begin looking for a run that is caught by it. */
  readonly firstSeed: number;
}

const planted: readonly Planted[] = [
  {
    name: 'a read before the inherited ops',
    plants: readsBeforeInherited,
    checker: 'stale-read',
    faults: ['isolate', 'crash', 'loss'],
    firstSeed: 5,
  },
  {
    name: 'a request executed twice',
    plants: executedTwice,
    checker: 'exactly-once',
    faults: ['client-cut', 'crash'],
    firstSeed: 10,
  },
];

/** The first run of a kind worth shrinking: one that was long before it failed. */
function findFailing({ plants, checker, faults, firstSeed }: Planted): RunResult {
  for (let seed = firstSeed; seed < 200; seed++) {
    const options: RunOptions = { nodes: 3, faults, seconds: 10, plants };
    const result = execute(seed, options);
    if (result.failure?.kind === checker && result.stats.events > 5_000) return result;
  }
  throw new Error(`no seed is caught by ${checker}`);
}

describe('a planted failure', () => {
  test.each(planted)(
    '$name shrinks to a tenth, and its file runs it again',
    (plant) => {
      const failing = findFailing(plant);
      const withPlant: Execute = (seed, options) => execute(seed, { ...options, plants: plant.plants });
      const { candidate, result, size, original } = drive(
        failing,
        withPlant,
        (progress) => progress.runs === 250 || progress.smallest.events <= progress.original.events / 10,
      );
      expect(size.events).toBeLessThanOrEqual(original.events / 10);
      expect(size.actions).toBeLessThanOrEqual(original.actions);
      const schedule = scheduleOf({
        candidate,
        failure: result.failure ?? { kind: plant.checker, message: '', atUs: 0 },
        traceHash: result.traceHash,
        size,
        original: { result: failing, size: original },
      });
      const read = parseSchedule(formatSchedule(schedule));
      expect(read).toEqual({ ok: true, value: schedule });
      const again = withPlant(schedule.seed, optionsOf(schedule));
      expect(again.traceHash).toBe(schedule.traceHash);
      expect(again.failure?.kind).toBe(plant.checker);
      expect(sizeOf(again)).toEqual(size);
      // Without the plant nothing is wrong with these very faults: what is left is the bug's own schedule.
      expect(execute(schedule.seed, optionsOf(schedule)).failure).toBeNull();
    },
    240_000,
  );
});

describe('a schedule in a file', () => {
  const failing = execute(1, { nodes: 3, faults: ['isolate', 'crash', 'skew'], seconds: 4, plants: viewBeforeDurable });
  const schedule: Schedule = scheduleOf({
    candidate: { ...pinned(failing), script: execute(4, { nodes: 3, seconds: 1 }).script },
    failure: { kind: 'persistence', message: 'a "quoted" text', atUs: 5 },
    traceHash: failing.traceHash,
    size: sizeOf(failing),
    original: { result: failing, size: sizeOf(failing) },
  });

  test('comes back as it went, a fault a line', () => {
    const text = formatSchedule(schedule);
    expect(parseSchedule(text)).toEqual({ ok: true, value: schedule });
    expect(schedule.script.length).toBeGreaterThan(1);
    expect(text.split('\n').filter((line) => line.includes('"atUs"'))).toHaveLength(schedule.script.length);
  });

  test.each([
    ['no text of JSON', '{', 'it is not JSON'],
    ['a list', '[]', 'it is not an object'],
    ['another format', { ...schedule, format: 'x' }, 'format is not one of kimberlite-schedule-1'],
    ['a word too many', { ...schedule, more: 1 }, 'more is not known here'],
    ['a seed that is none', { ...schedule, seed: -1 }, 'seed is not a whole number'],
    [
      'a fault that is none',
      { ...schedule, script: [{ kind: 'earthquake', atUs: 1 }] },
      'script[0].kind is not one of loss, ',
    ],
    [
      'a fault without its replica',
      { ...schedule, script: [{ kind: 'crash', atUs: 1, forUs: 2 }] },
      'script[0].replica is not a whole number',
    ],
    [
      'a link with one end',
      { ...schedule, script: [{ kind: 'clog', atUs: 1, forUs: 2, links: [[0]] }] },
      'script[0].links[0] is not a pair',
    ],
    ['a plan without its nodes', { ...schedule, plan: { ...schedule.plan, nodes: null } }, 'plan.nodes is not a whole'],
  ])('is refused with the place: %s', (_, value, message) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const read = parseSchedule(text);
    expect(read.ok ? '' : read.error).toContain(message);
  });
});
