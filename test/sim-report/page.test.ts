import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeHasher } from '@kimberlite/node';
import { buildReport, type Execute, recordRun, type ReportData, renderReport, runSeed } from '@kimberlite/sim';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readsBeforeInherited } from '../../sim/test/plants.ts';
import { Browser, type Opened, pixelsOf } from './browser.ts';

// The page of a run that fails, in a real browser, from a file. Needs a build: the page's script is bundled there.

const page = (name: string): string =>
  readFileSync(new URL(`../../sim/dist/report-page/${name}`, import.meta.url), 'utf8');
const parts = { script: page('main.js'), style: page('page.css') };
const execute: Execute = (seed, options) => runSeed(seed, { ...options, plants: readsBeforeInherited }, nodeHasher);

function staleRead(): ReportData {
  const options = { nodes: 3, seconds: 4, faults: ['isolate', 'crash', 'loss'] as const };
  for (let seed = 7; seed < 60; seed++) {
    const run = recordRun(seed, options, execute);
    if (run.result.failure?.kind !== 'stale-read') continue;
    const facts = [['events', String(run.result.stats.events)]] as const;
    return buildReport({ run, replay: `kimberlite sim --seed ${seed} --runs 1 --nodes 3`, facts });
  }
  throw new Error('no seed is caught by stale-read');
}

const directory = mkdtempSync(join(tmpdir(), 'kimberlite-page-'));
const browser = new Browser();
const data = staleRead();
/** The call that found something old. */
const staleGet = data.calls.findLast(({ suspect }) => suspect);
if (staleGet === undefined) throw new Error('no call is marked');
const reader = `client ${staleGet.client}`;

async function openPage(name: string, of: ReportData): Promise<Opened> {
  const file = join(directory, `${name}.html`);
  writeFileSync(file, renderReport(of, parts));
  return browser.open(file);
}

/** Waits until the canvas has drawn what was asked for last. */
const drawn = (of: Page): Promise<void> =>
  of.evaluate(() => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));

beforeAll(() => browser.start());
afterAll(async () => {
  await browser.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe('the page of a failing run', () => {
  let opened: Opened;
  const seen = (selector: string): Promise<string> => opened.page.innerText(selector);

  beforeAll(async () => {
    opened = await openPage('stale', data);
  });

  test('says what failed and how to run it again', async () => {
    expect(await seen('#failure')).toBe(`stale-read: ${data.failure?.message}`);
    expect(await seen('#replay code')).toBe(data.replay);
    expect(await opened.page.title()).toContain('stale-read');
  });

  test('opens with the violation in view, in the diagram and in the calls', async () => {
    await drawn(opened.page);
    expect(await seen('#details h3')).toBe(`stale-read: ${data.failure?.message}`);
    const box = await opened.page.locator('#diagram').boundingBox();
    const red = (await pixelsOf(opened.page, '--bad')).filter(({ x }) => x > 120);
    // The failure's own text is on the canvas, below the names of the lanes.
    expect(red.length).toBeGreaterThan(100);
    expect(Math.min(...red.map(({ y }) => y))).toBeGreaterThan(34);
    expect(Math.max(...red.map(({ y }) => y))).toBeLessThan(box?.height ?? 0);
    const suspect = opened.page.locator('#register .suspect').last();
    expect(await suspect.isVisible()).toBe(true);
    expect(await suspect.getAttribute('aria-label')).toContain(`violation: ${reader}, call ${staleGet.id}: get`);
    // And beside it what was acknowledged before it began, on whatever row that was.
    expect(await opened.page.locator('#register .suspect').count()).toBe(2);
    const acknowledged = opened.page.locator('#register .suspect').first();
    expect(await acknowledged.isVisible()).toBe(true);
    expect(await acknowledged.getAttribute('aria-label')).toMatch(/, done at position \d+/);
  });

  test('shows a message that is clicked, with its way and what it did', async () => {
    const { page: at } = opened;
    await at.click('#to-failure');
    await drawn(at);
    const heads = await pixelsOf(at, '--query');
    const lowest = heads.reduce((low, point) => (point.y > low.y ? point : low), { x: 0, y: 0 });
    await at.locator('canvas').click({ position: lowest });
    expect(await seen('#details h3')).toContain('query');
    const facts = await seen('#details dl');
    expect(facts).toMatch(/from\s+client \d/);
    expect(facts).toMatch(/to\s+replica \d/);
    expect(facts).toMatch(/arrives\s+\d+\.\d{6} \(after [\d.]+ (µs|ms)\)/);
    expect(await seen('#list [aria-current]')).toContain('query');
  });

  test('shows every replica as it was at the selected moment', async () => {
    const { page: at } = opened;
    await at.click('#to-failure');
    const views = (): Promise<string[]> => at.locator('#states tr:has(th:text-is("view")) td').allInnerTexts();
    const late = (await views()).map(Number);
    expect(late).toHaveLength(3);
    // A primary that is new: that is how this read becomes stale.
    expect(Math.max(...late)).toBeGreaterThan(1);
    await at.locator('#list button').first().click();
    for (let steps = 0; steps < 40; steps++) await at.locator('#list button').first().click();
    const early = (await views()).map(Number);
    expect(Math.max(...early.map((view) => (Number.isNaN(view) ? 0 : view)))).toBeLessThan(Math.max(...late));
  });

  test('leads from a call to its place in the diagram', async () => {
    const { page: at } = opened;
    await at.click('#register-focus');
    const suspect = at.locator('#register .suspect').last();
    await suspect.focus();
    await at.keyboard.press('Enter');
    expect(await seen('#details h3')).toMatch(/^get \w+\/\d+: found/);
    expect(await seen('#details dl')).toMatch(new RegExp(`who\\s+${reader}`));
  });

  test('goes from event to event by keyboard, and back to the failure', async () => {
    const { page: at } = opened;
    await at.click('#to-failure');
    await at.focus('#diagram');
    await at.keyboard.press('ArrowUp');
    expect(await seen('#details h3')).toMatch(/^get .*found/);
    await at.keyboard.press('ArrowDown');
    expect(await seen('#details h3')).toContain('stale-read');
  });

  test('hides and shows kinds of events, and finds text', async () => {
    const { page: at } = opened;
    const shown = async (): Promise<number> => Number.parseInt(await seen('#count'), 10);
    const before = await shown();
    await at.locator('label', { hasText: 'heartbeats' }).click();
    const more = await shown();
    expect(more).toBeGreaterThan(before);
    await at.locator('label', { hasText: 'heartbeats' }).click();
    expect(await shown()).toBe(before);
    await at.fill('input[type=search]', 'prepare-ok op 3 ');
    const found = await shown();
    expect(found).toBeLessThan(before / 2);
    await at.fill('input[type=search]', '');
    expect(await shown()).toBe(before);
  });

  test('zooms about the selected event, which stays where it was', async () => {
    const { page: at } = opened;
    await at.click('#to-failure');
    const height = (): Promise<number> => at.evaluate(() => document.querySelector('#diagram')?.scrollHeight ?? 0);
    const before = await height();
    await at.click('#zoom-out');
    expect(await height()).toBeLessThan(before);
    await drawn(at);
    expect((await pixelsOf(at, '--bad')).filter(({ x }) => x > 120).length).toBeGreaterThan(50);
    await at.click('#zoom-in');
    expect(await height()).toBe(before);
  });

  test('asks nothing of any network and complains of nothing', () => {
    expect(opened.complaints).toEqual([]);
  });
});

/** The same rows again and again, later each time, and the failure at the end. */
function lengthened(rowsWanted: number): ReportData {
  const times = Math.ceil(rowsWanted / data.rows.length);
  const offsetOf = (copy: number): number => copy * data.rows.length;
  const rows = Array.from({ length: times }, (_, copy) =>
    data.rows.map((row) => (row[0] === 1 && (row[4] ?? -1) >= 0 ? row.with(4, (row[4] ?? 0) + offsetOf(copy)) : row)),
  ).flat();
  return { ...data, rows, focusRow: offsetOf(times - 1) + data.focusRow };
}

test('a hundred thousand events open and scroll without freezing', async () => {
  const long = lengthened(100_000);
  const startedMs = performance.now();
  const { page: at, complaints } = await openPage('long', long);
  const openedMs = performance.now() - startedMs;
  expect(await at.innerText('#count')).toContain(`of ${long.rows.length} events`);
  const frames = await at.evaluate(async () => {
    const box = document.querySelector('#diagram');
    if (box === null) return [];
    const frame = (): Promise<number> => new Promise((done) => requestAnimationFrame(done));
    const took: number[] = [];
    let before = await frame();
    for (let step = 0; step < 60; step++) {
      box.scrollTop = (box.scrollHeight * ((step * 37) % 60)) / 60;
      const now = await frame();
      took.push(now - before);
      before = now;
    }
    return took.sort((a, b) => a - b);
  });
  const medianMs = frames[30] ?? 0;
  const slowestMs = frames.at(-1) ?? 0;
  process.stdout.write(
    `page of ${long.rows.length} events: opened in ${openedMs.toFixed(0)} ms, frames ${medianMs.toFixed(0)} ms, slowest ${slowestMs.toFixed(0)} ms\n`,
  );
  expect(openedMs).toBeLessThan(15_000);
  expect(medianMs).toBeLessThan(100);
  expect(complaints).toEqual([]);
});

test('text of a run cannot become markup or script', async () => {
  const nasty = '</script><img src=x onerror="document.title=1">';
  const { page: at, complaints } = await openPage('nasty', {
    ...data,
    title: nasty,
    failure: { kind: 'fatal', message: nasty, atUs: 1 },
    strings: data.strings.map((text) => `${text}${nasty}`),
  });
  expect(await at.innerText('#failure')).toContain(nasty);
  expect(await at.title()).toBe(nasty);
  expect(await at.locator('img').count()).toBe(0);
  expect(complaints).toEqual([]);
});

test('the dark scheme has colours of its own', async () => {
  const dark = new Browser();
  await dark.start('dark');
  try {
    const { page: at, complaints } = await dark.open(join(directory, 'stale.html'));
    await drawn(at);
    const paper = await at.evaluate(() => {
      const canvas = document.querySelector('canvas');
      const pixel = canvas?.getContext('2d')?.getImageData(canvas.width - 2, canvas.height - 2, 1, 1).data;
      return pixel?.[0] ?? 255;
    });
    expect(paper).toBeLessThan(60);
    expect(complaints).toEqual([]);
  } finally {
    await dark.stop();
  }
});
