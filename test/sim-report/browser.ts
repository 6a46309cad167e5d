import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';

// Debian's own browser, told to stay off the network: by itself it would look for updates and for its maker's hosts.
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface Opened {
  readonly page: Page;
  /** Errors and warnings of the page, and requests beside the file itself. */
  readonly complaints: string[];
}

/** A browser with an empty profile of its own. */
export class Browser {
  private readonly profile = mkdtempSync(join(tmpdir(), 'kimberlite-browser-'));
  private context: BrowserContext | null = null;

  async start(colorScheme: 'light' | 'dark' = 'light'): Promise<void> {
    this.context = await chromium.launchPersistentContext(this.profile, {
      executablePath: '/usr/bin/chromium',
      headless: true,
      colorScheme,
      viewport: { width: 1400, height: 900 },
      args: flags,
    });
  }

  async open(file: string): Promise<Opened> {
    if (this.context === null) throw new Error('the browser is not started');
    const page = await this.context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
    page.on('request', (request) => {
      const url = request.url();
      if (url !== `file://${file}` && !url.startsWith('data:')) complaints.push(`request: ${url}`);
    });
    await page.goto(`file://${file}`);
    await page.waitForSelector('#details h3');
    return { page, complaints };
  }

  async stop(): Promise<void> {
    await this.context?.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Pixels of the diagram that have a colour of the style sheet, in the canvas's own pixels, from the top. */
export const pixelsOf = async (page: Page, variable: string): Promise<readonly Point[]> =>
  page.evaluate((name) => {
    const canvas = document.querySelector('canvas');
    // A copy is read, so that the page's own canvas stays one that is only drawn.
    const copy = document.createElement('canvas');
    copy.width = canvas?.width ?? 0;
    copy.height = canvas?.height ?? 0;
    const context = copy.getContext('2d', { willReadFrequently: true });
    if (canvas === null || context === null) return [];
    context.drawImage(canvas, 0, 0);
    const wanted = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(wanted.slice(at, at + 2), 16));
    const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
    const found: { x: number; y: number }[] = [];
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] !== red || data[at + 1] !== green || data[at + 2] !== blue) continue;
      found.push({ x: (at / 4) % width, y: Math.floor(at / 4 / width) });
    }
    return height === 0 ? [] : found;
  }, variable);
