// What the tests in Chromium share: pages that fail on any console error and any request to elsewhere, axe-core, servers.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const mien = process.env.MIEN ?? join(root, 'build/bin/mien');
export const shots = process.argv.includes('--shots') ? process.argv[process.argv.indexOf('--shots') + 1] : null;
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const folder = mkdtempSync(join(tmpdir(), 'mien-web-'));
if (shots) mkdirSync(shots, { recursive: true });

export let tests = 0;
export async function test(claim, body) {
  await body();
  tests += 1;
  console.log(`ok ${tests} ${claim}`);
}

/** A page that fails the test on any console error, and on any request that `allowed` does not let through. */
export async function open(browser, url, { allowed, width = 1280, height = 900, theme = 'light', language = 'en' }) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    locale: language === 'en' ? 'en-US' : 'zh-TW',
    acceptDownloads: true,
  });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  await page.route('**/*', (route) => {
    const file = route.request().url().match(/^http:.*\/(app\.js|style\.css)$/)?.[1];
    if (file && process.argv.includes('--dist')) return route.fulfill({ path: join(root, 'web/dist', file) });
    if (allowed(route.request().url())) return route.continue();
    problems.push(`asked for ${route.request().url()}`);
    return route.abort();
  });
  await page.goto(url);
  await page.waitForSelector('h1');
  if (!/view=/.test(url)) await page.waitForSelector('#again');
  return { page, problems, context };
}

export async function accessible(page, what) {
  // The page's policy lets no other script in, so axe runs in a world of its own.
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const world = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' });
  const run = async (expression) => {
    const answer = await session.send('Runtime.evaluate', {
      expression,
      contextId: world.executionContextId,
      awaitPromise: true,
      returnByValue: true,
    });
    if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails));
    return answer.result.value;
  };
  await run(axeSource + ';0');
  const text = await run("axe.run().then((r) => JSON.stringify(r.violations.map((v) => ({id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + ' ' + n.failureSummary)}))))");
  const serious = JSON.parse(text).filter((one) => one.impact === 'serious' || one.impact === 'critical');
  assert.deepEqual(serious, [], `${what}: ${JSON.stringify(serious, null, 1)}`);
}

export async function shoot(page, name, options = {}) {
  if (shots) await page.screenshot({ path: join(shots, name + '.png'), ...options });
}

export function run(args) {
  execFileSync(mien, args, { stdio: ['ignore', 'ignore', 'inherit'], cwd: root });
}

export const isLocal = (url) => /^(file|data|blob):/.test(url);

/** `mien serve` of some folders on a free port. */
export async function serve(...folders) {
  const server = spawn(mien, ['serve', ...folders, '--port', '0'], { cwd: root });
  let said = '';
  const address = await new Promise((done, failed) => {
    const listen = (chunk) => {
      said += chunk;
      const found = said.match(/http:\/\/[\d.]+:\d+\//);
      if (found) done(found[0]);
    };
    server.stdout.on('data', listen);
    server.stderr.on('data', listen);
    server.on('exit', () => failed(new Error('mien serve ended: ' + said)));
  });
  return { address, allowed: (url) => isLocal(url) || url.startsWith(address), stop: () => server.kill('SIGINT') };
}

/** Every theme, language and width: nothing is wider than the screen, no error; a picture of each. */
export async function everywhere(browser, url, name, { allowed, ready }) {
  for (const theme of ['light', 'dark']) {
    for (const language of ['en', 'zh-Hant']) {
      for (const width of [1280, 390]) {
        const one = await open(browser, url, { allowed, width, theme, language });
        await ready?.(one.page);
        await test(`${name}: no part is wider than the screen at ${width} pixels, ${theme}, ${language}`, async () => {
          const wide = await one.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(wide <= 0, `${wide} pixels too wide`);
          assert.equal(await one.page.getAttribute('html', 'lang'), language);
          assert.deepEqual(one.problems, []);
        });
        await shoot(one.page, `${name}-${theme}-${language}-${width}`);
        await shoot(one.page, `${name}-${theme}-${language}-${width}-full`, { fullPage: true });
        await one.context.close();
      }
    }
  }
}
