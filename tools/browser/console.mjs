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
  fleet: '/fleet', source: '/sources/10.0.1.2', network: '/sources/10.0.0.0/22', policy: '/policy',
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

// From here on everybody needs an account.
async function people() {
  console.log('waiting for accounts');
  const [password] = await once(process.stdin, 'data');
  return String(password).trim();
}

async function login(options, name, password, path) {
  const reader = await open(options);
  // The first page may be open still: accounts are known within a second.
  await reader.page.goto(`${base}/login?next=${encodeURIComponent(path)}`);
  await reader.page.getByLabel('Name').fill(name);
  await reader.page.getByLabel('Password').fill(password);
  await reader.page.keyboard.press('Enter');
  await reader.page.waitForURL(`${base}${path}`);
  return reader;
}

async function shot(page, name) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

const travel = '/incidents/al_6f1d2c9b0a7e4453';

async function aWrongPasswordIsTold(password) {
  const { context, page } = await open({ viewport: sizes.phone });
  await page.goto(`${base}/login`);
  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill(`${password}!`);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').waitFor();
  await shot(page, 'login-wrong-phone');
  await context.close();
}

// Without the script, on a phone: forms and redirects alone.
async function peopleActOnAPhoneWithoutScript(password) {
  const { context, page, complaints } =
    await login({ viewport: sizes.phone, javaScriptEnabled: false }, 'alice', password, travel);
  await page.getByLabel('Comment, for whatever').fill('asking the owner');
  await shot(page, 'act-phone');
  await page.getByRole('button', { name: 'Acknowledge' }).click();
  await page.getByRole('status').filter({ hasText: 'acknowledged' }).waitFor();
  assert.ok(page.url().includes(travel), page.url());
  await shot(page, 'acknowledged-phone');
  assert.deepEqual(complaints, []);
  await context.close();
}

async function twoPeopleActAtOnce(password) {
  const alice = await login({ viewport: sizes.desktop }, 'alice', password, travel);
  const bob = await login({ viewport: sizes.desktop, colorScheme: 'dark' }, 'bob', password, travel);
  await alice.page.locator('#line.live').waitFor();
  await alice.page.getByLabel('Comment, for whatever').fill('she is on a flight');
  await bob.page.getByLabel('Comment, for whatever').fill('our own scanner');
  await bob.page.getByLabel('It was a false alarm').selectOption('test');
  await shot(bob.page, 'act-desktop-dark');
  await bob.page.getByRole('button', { name: 'Dismiss' }).click();
  await bob.page.getByRole('status').filter({ hasText: 'dismissed as test' }).waitFor();
  await shot(bob.page, 'dismissed-desktop-dark');
  // Her page tells of it by itself, and leaves what she writes alone.
  await alice.page.locator('#head').getByText('closed').waitFor({ timeout: 20000 });
  assert.equal(await alice.page.getByLabel('Comment, for whatever').inputValue(), 'she is on a flight');
  await alice.page.getByRole('button', { name: 'Confirm' }).click();
  await alice.page.getByRole('alert').filter({ hasText: 'Nothing was changed' }).waitFor();
  await shot(alice.page, 'overtaken-desktop');
  assert.equal(await alice.page.getByLabel('Comment, for whatever').inputValue(), 'she is on a flight');
  await alice.page.getByRole('button', { name: 'Comment', exact: true }).click();
  await alice.page.getByRole('status').filter({ hasText: 'commented on' }).waitFor();
  // The page of the refused form is the one request that the browser complains about.
  const other = alice.complaints.filter((text) => !text.includes('409'));
  assert.deepEqual([...other, ...bob.complaints], []);
  await bob.context.close();
  return alice;
}

async function aProposalIsApproved(alice) {
  await alice.page.goto(`${base}/incidents/inc_asks`);
  await shot(alice.page, 'proposal-desktop');
  await alice.page.getByRole('button', { name: 'Approve: revoke the key' }).click();
  await alice.page.getByRole('status').filter({ hasText: 'approved' }).waitFor();
}

async function aSuppressionTellsFirst(alice) {
  await alice.page.setViewportSize(sizes.phone);
  await alice.page.goto(`${base}/incidents/inc_7`);
  await alice.page.getByText('Suppress this evidence').click();
  await alice.page.getByLabel('Because').fill('a new office');
  await shot(alice.page, 'suppress-form-phone');
  await alice.page.getByRole('button', { name: 'Show what it would hide' }).click();
  await alice.page.getByText('this would have hidden').waitFor();
  await shot(alice.page, 'suppress-phone');
  await alice.page.getByRole('button', { name: 'Suppress it' }).click();
  await alice.page.getByRole('status').filter({ hasText: 'is suppressed until' }).waitFor();
}

// A page of another site in the browser of somebody who has logged in sends forms in vain.
async function aForeignFormIsRefused(alice) {
  const { context } = alice;
  const form = `<!doctype html><form method="post" action="${base}/incidents/inc_1/act">
    <input name="kind" value="acknowledge"><input name="version" value="1-"></form>
    <script>document.forms[0].submit()</script>`;
  // Another port of the same host is the same site for cookies: a strict cookie comes along.
  for (const host of ['127.0.0.2', '127.0.0.1']) {
    const site = createServer((_, response) => { response.setHeader('content-type', 'text/html'); response.end(form); }).listen(0, host);
    await once(site, 'listening');
    const page = await context.newPage();
    const answered = page.waitForResponse((response) => response.url().endsWith('/act'));
    await page.goto(`http://${host}:${site.address().port}/`).catch(() => {});
    assert.equal((await answered).status(), 403, host);
    await page.close();
    site.close();
  }
}

// A link in a mail opens the page although the cookie is strict.
async function aLinkFromElsewhereOpensThePage(alice) {
  const link = `<!doctype html><a href="${base}${travel}">open</a>`;
  const site = createServer((_, response) => { response.setHeader('content-type', 'text/html'); response.end(link); }).listen(0, '127.0.0.2');
  await once(site, 'listening');
  const page = await alice.context.newPage();
  await page.goto(`http://127.0.0.2:${site.address().port}/`);
  await page.getByText('open').click();
  await page.getByRole('heading', { name: 'Act on it' }).waitFor();
  await page.close();
  site.close();
}

async function aLogoutEndsIt(alice) {
  await alice.page.getByRole('button', { name: 'Log out' }).click();
  await alice.page.waitForURL('**/login');
  await alice.page.goto(`${base}/incidents`);
  await alice.page.waitForURL('**/login?next=*');
  await shot(alice.page, 'login-phone');
  await alice.context.close();
}

try {
  await everyPageIsSound();
  await theKeyboardIsEnough();
  await filtersAndPagesAreAddresses();
  await otherSitesAreRefused();
  await anAlertAppears();
  const password = await people();
  await aWrongPasswordIsTold(password);
  await peopleActOnAPhoneWithoutScript(password);
  const alice = await twoPeopleActAtOnce(password);
  await aProposalIsApproved(alice);
  await aSuppressionTellsFirst(alice);
  await aForeignFormIsRefused(alice);
  await aLinkFromElsewhereOpensThePage(alice);
  await aLogoutEndsIt(alice);
} finally {
  await browser.close();
  process.stdin.destroy();
}
