// The page in Chromium: a run on drawn faces, its report opened from disk with the network blocked, and the studio.
//   node web/tests/browser.mjs [--shots FOLDER]     with Mien built in build/
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const mien = process.env.MIEN ?? join(root, 'build/bin/mien');
const shots = process.argv.includes('--shots') ? process.argv[process.argv.indexOf('--shots') + 1] : null;
const kept = process.argv.includes('--run') ? process.argv[process.argv.indexOf('--run') + 1] : null;
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'mien-web-'));
if (shots) mkdirSync(shots, { recursive: true });

let tests = 0;
async function test(claim, body) {
  await body();
  tests += 1;
  console.log(`ok ${tests} ${claim}`);
}

/** A page that fails the test on any console error, and on any request that `allowed` does not let through. */
async function open(browser, url, { allowed, width = 1280, height = 900, theme = 'light', language = 'en' }) {
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
    if (allowed(route.request().url())) return route.continue();
    problems.push(`asked for ${route.request().url()}`);
    return route.abort();
  });
  await page.goto(url);
  await page.waitForSelector('h1');
  return { page, problems, context };
}

async function accessible(page, what) {
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

async function shoot(page, name, options = {}) {
  if (shots) await page.screenshot({ path: join(shots, name + '.png'), ...options });
}

function run(args) {
  execFileSync(mien, args, { stdio: ['ignore', 'ignore', 'inherit'], cwd: root });
}

const isLocal = (url) => /^(file|data|blob):/.test(url);

async function reportTests(browser, file, live) {
  const url = pathToFileURL(file).href;
  const { page, problems, context } = await open(browser, url, { allowed: isLocal });

  await test('a report opens from disk without asking for anything', async () => {
    assert.ok(statSync(file).size < 8e6, `${statSync(file).size} bytes`);
    assert.match(await page.textContent('h1'), /\S/);
    assert.deepEqual(problems, []);
  });
  await test('every chapter is there', async () => {
    for (const id of ['#data', '#run-0', '#again', '#run-0-explained', '#run-0-network'])
      assert.equal(await page.locator(id).count(), 1, id);
    assert.ok((await page.locator('.chart svg').count()) >= 3, 'charts');
    assert.ok((await page.locator('#run-0-network tbody tr').count()) > 5, 'layers');
  });
  await test('a cell of the matrix opens the faces in it, and the choice is in the URL', async () => {
    const cell = page.locator('.matrix button[data-cell]').nth(0);
    const expected = Number((await cell.getAttribute('aria-label')).match(/: (\d+)/)[1]);
    await cell.click();
    assert.match(page.url(), /#run-0-\w+\?label=\w+&predicted=\w+/);
    const shown = await page.locator('[aria-live]').first().textContent();
    assert.equal(Number(shown.match(/[\d,]+/)[0].replace(/,/g, '')), expected);
    const tiles = await page.locator('.grid').first().locator('.tile').count();
    assert.ok(tiles > 0 && tiles <= expected, `${tiles} tiles of ${expected} faces`);
  });
  await test('the same URL shows the same faces again', async () => {
    const again = await open(browser, page.url(), { allowed: isLocal });
    assert.equal(
      await again.page.locator('[aria-live]').first().textContent(),
      await page.locator('[aria-live]').first().textContent(),
    );
    await again.context.close();
  });
  await test('a face opens with every probability, and the keyboard goes on to the next', async () => {
    await page.locator('.grid .tile').first().click();
    const dialog = page.locator('dialog[open]');
    await dialog.waitFor();
    const first = await dialog.locator('header strong').textContent();
    assert.ok((await dialog.locator('.bars li').count()) >= 2);
    await page.keyboard.press('ArrowRight');
    assert.notEqual(await dialog.locator('header strong').textContent(), first);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' }).catch(() => {});
    assert.equal(await page.locator('dialog[open]').count(), 0);
  });
  await test('faces are pictures, not empty boxes', async () => {
    const style = await page.locator('.grid .face').first().evaluate((one) => getComputedStyle(one).backgroundImage);
    assert.match(style, /^url\("blob:/);
  });
  await test('arrow keys walk through the matrix', async () => {
    await page.locator('[data-cell="0-0"]').first().focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.evaluate(() => document.activeElement.dataset.cell), '0-1');
  });
  await test('a selection is saved as csv', async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.locator('.filters button').last().click(),
    ]);
    const text = readFileSync(await download.path(), 'utf8');
    assert.match(text, /^row,label,predicted,loss,p_/);
  });
  await test('nothing serious stands against the report for readers of any kind', async () => {
    await accessible(page, 'report, light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await accessible(page, 'report, dark');
  });
  await test('a printed report has every section open', async () => {
    const closed = await page.evaluate(() => {
      window.dispatchEvent(new Event('beforeprint'));
      const count = document.querySelectorAll('details:not([open])').length;
      window.dispatchEvent(new Event('afterprint'));
      return count;
    });
    assert.equal(closed, 0);
    await page.emulateMedia({ media: 'print' });
    const pdf = await page.pdf({ path: join(folder, 'report.pdf'), format: 'A4' });
    assert.ok(pdf.length > 20_000);
    await page.emulateMedia({ media: 'screen' });
  });
  assert.deepEqual(problems, []);
  await context.close();

  for (const theme of ['light', 'dark']) {
    for (const language of ['en', 'zh-Hant']) {
      for (const width of [1280, 390]) {
        const one = await open(browser, url, { allowed: isLocal, width, theme, language });
        await test(`no part is wider than the screen at ${width} pixels, ${theme}, ${language}`, async () => {
          const wide = await one.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(wide <= 0, `${wide} pixels too wide`);
          assert.equal(await one.page.getAttribute('html', 'lang'), language);
          assert.deepEqual(one.problems, []);
        });
        const name = `report-${theme}-${language}-${width}`;
        await shoot(one.page, name);
        await shoot(one.page, name + '-full', { fullPage: true });
        await one.context.close();
      }
    }
  }
}

async function studioTests(browser, runFolder) {
  const server = spawn(mien, ['serve', runFolder, '--port', '0'], { cwd: root });
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
  try {
    const allowed = (url) => isLocal(url) || url.startsWith(address);
    const { page, problems, context } = await open(browser, address, { allowed });
    await test('the newcomer: open, press a wrong cell, open a face, ask why, edit it', async () => {
      const cell = page.locator('#run-0 .matrix button[data-cell]').filter({ hasText: /[1-9]/ });
      const wrong = await cell.evaluateAll((all) =>
        all.findIndex((one) => {
          const [label, predicted] = one.dataset.cell.split('-');
          return label !== predicted;
        }),
      );
      await cell.nth(Math.max(0, wrong)).click();
      await page.locator('#run-0 .grid .tile').first().click();
      await page.locator('dialog[open] button', { hasText: 'Ask why' }).click();
      await page.locator('.panel canvas').first().waitFor();
      assert.match(page.url(), /view=face/);
      assert.equal(await page.locator('.panel canvas').count(), 2);
      await page.waitForFunction(() => /\d\.\d{3}/.test(document.querySelector('.panel .measures')?.textContent ?? ''));
      const bars = () => page.locator('section .bars').first().textContent();
      const before = await bars();
      const box = await page.locator('canvas.brush').boundingBox();
      await page.mouse.move(box.x + box.width / 2, box.y + box.height * 0.72);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.72, { steps: 5 });
      await page.mouse.up();
      await page.waitForFunction((old) => document.querySelector('section .bars').textContent !== old, before);
      assert.deepEqual(problems, []);
    });
    await shoot(page, 'studio-face');
    await test('nothing serious stands against the studio for readers of any kind', async () => {
      await accessible(page, 'one face');
    });
    await test('the URL of a face opens the same face', async () => {
      const again = await open(browser, page.url(), { allowed });
      await again.page.locator('.panel canvas').first().waitFor();
      assert.equal(
        await again.page.locator('main > h2').first().textContent(),
        await page.locator('main > h2').first().textContent(),
      );
      await again.context.close();
    });
    await test('a picture that is dropped is cropped, predicted and explained', async () => {
      await page.locator('.switch button').nth(2).click();
      await page.locator('input[type=file]').setInputFiles(join(runFolder, 'train_batch0.png'));
      await page.locator('.panel canvas').first().waitFor();
      await page.locator('input[type=file]').setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
      await page.locator('[role=alert]').first().waitFor();
    });
    assert.deepEqual(problems.filter((one) => !one.includes('400')), []);
    await context.close();
  } finally {
    server.kill('SIGINT');
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
try {
  let runFolder = kept;
  if (!runFolder) {
    runFolder = join(folder, 'runs', 'leaky4');
    run(['train', '--data', 'drawn:420', '--network', 'leaky4', '--epochs', '3', '--batch-size', '32', '--project', join(folder, 'runs')]);
  }
  const report = join(runFolder, 'report.html');
  assert.ok(existsSync(report));
  await reportTests(browser, report);
  if (!process.argv.includes('--report-only')) await studioTests(browser, existsSync(join(runFolder, 'leaky4')) ? join(runFolder, 'leaky4') : runFolder);
  console.log(`${tests} tests passed`);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
