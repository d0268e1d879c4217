// Opens the console as a person does. Argument: its address. Keeps screenshots in $KEYWATCH_SHOTS.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const xdg = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
const cache = process.env.KEYWATCH_CACHE || join(xdg, 'keywatch');
const { chromium } = createRequire(join(cache, 'browser', 'package.json'))('playwright-core');

const base = process.argv[2];
const shots = process.env.KEYWATCH_SHOTS;
const sizes = { desktop: { width: 1400, height: 900 }, phone: { width: 390, height: 844 } };
const pages = {
  overview: '/', incidents: '/incidents', hostile: '/incidents/al_00ff00ff00ff00ff',
  travel: '/incidents/al_6f1d2c9b0a7e4453', keys: '/keys', key: '/key?id=key-7',
};
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });

// Every message of the browser about a page is an error: scripts, blocked styles, refused requests.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('dialog', (dialog) => complaints.push(`a dialog: ${dialog.message()}`));
  return { context, page, complaints };
}

async function everyPageIsSound() {
  const grounds = new Set();
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ['light', 'dark']) {
      const { context, page, complaints } = await open({ viewport, colorScheme });
      for (const [name, path] of Object.entries(pages)) {
        const response = await page.goto(base + path);
        assert.equal(response.status(), 200, path);
        await page.locator('#line.live').waitFor();
        const overflow = await page.evaluate(() =>
          document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(overflow <= 0, `${path} is ${overflow} px too wide (${size})`);
        grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        if (shots) await page.screenshot({ path: join(shots, `${name}-${size}-${colorScheme}.png`), fullPage: true });
      }
      assert.deepEqual(complaints, []);
      await context.close();
    }
  }
  assert.equal(grounds.size, 2, 'light and dark differ');
}

async function theKeyboardIsEnough() {
  const { context, page } = await open({ viewport: sizes.desktop, timezoneId: 'Asia/Tokyo' });
  await page.goto(`${base}/incidents`);
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/incidents/*');
  assert.match(await page.locator('main time').first().getAttribute('title'), /UTC\n.*(GMT\+9|JST)/s);
  await page.keyboard.press('/');
  await page.keyboard.type('key-7');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/key?id=key-7');
  await page.keyboard.press('Tab');
  await page.keyboard.press('o');
  await page.waitForURL(`${base}/`);
  await context.close();
}

async function filtersAndPagesAreAddresses() {
  const { context, page } = await open({ viewport: sizes.desktop });
  await page.goto(`${base}/incidents`);
  await page.getByRole('link', { name: 'Next page' }).click();
  await page.waitForURL('**after=*');
  await page.getByLabel('Severity').selectOption('medium');
  await page.waitForURL('**severity=medium*');
  assert.match(await page.locator('h1').textContent(), /^1 incident$/);
  await context.close();
}

// A page of another site in the same browser learns nothing.
async function otherSitesAreRefused() {
  const site = createServer((_, response) => response.end('<!doctype html>')).listen(0, '127.0.0.2');
  await once(site, 'listening');
  const { context, page } = await open({ viewport: sizes.desktop });
  await page.goto(`http://127.0.0.2:${site.address().port}/`);
  const statuses = [];
  page.on('response', (response) => statuses.push(response.status()));
  const error = await page.evaluate((url) => fetch(url, { mode: 'no-cors' }).then(() => null, String), `${base}/incidents`);
  assert.ok(error !== null || statuses.includes(403), `${error} ${statuses}`);
  const framed = await page.evaluate((url) => new Promise((done) => {
    const frame = document.createElement('iframe');
    frame.src = url;
    frame.onload = () => { try { done(frame.contentDocument?.title ?? 'closed'); } catch { done('closed'); } };
    document.body.append(frame);
  }), `${base}/`);
  assert.ok(!framed.includes('Overview'), framed);
  await context.close();
  site.close();
}

async function anAlertAppears() {
  const { context, page } = await open({ viewport: sizes.desktop });
  await page.goto(`${base}/incidents`);
  await page.locator('#line.live').waitFor();
  console.log('waiting for an alert');
  await once(process.stdin, 'data');
  const begin = performance.now();
  await page.locator('a[href="/incidents/inc_new"]').waitFor();
  console.log(`the alert was on the open page after ${Math.round(performance.now() - begin)} ms`);
  await context.close();
}

try {
  await everyPageIsSound();
  await theKeyboardIsEnough();
  await filtersAndPagesAreAddresses();
  await otherSitesAreRefused();
  await anAlertAppears();
} finally {
  await browser.close();
  process.stdin.destroy();
}
