// The page in Chromium: a run on drawn faces, its report opened from disk with the network blocked, and the studio.
//   node web/tests/browser.mjs [--shots FOLDER] [--runs FOLDER] [--only report,runs]     with Mien built in build/
// --runs keeps the two runs for the next time; --dist takes the page from web/dist in place of the program's own.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { accessible, everywhere, folder, isLocal, open, run, test, tests } from './harness.mjs';
import { runsTests, trainingTests } from './runs_view.mjs';
import { studioTests } from './studio.mjs';
import { faceTests, labelsTests, networkTests } from './views.mjs';

const kept = process.argv.includes('--runs') ? resolve(process.argv[process.argv.indexOf('--runs') + 1]) : null;

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

  await everywhere(browser, url, 'report', { allowed: isLocal });
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1].split(',') : null;
const wanted = (name) => !only || only.includes(name);
try {
  const project = kept ?? join(folder, 'runs');
  const train = (name, ...more) =>
    run(['train', '--data', 'drawn:700', '--network', 'leaky4', '--batch-size', '32', '--project', project, '--name', name, ...more]);
  if (!existsSync(join(project, 'leaky4'))) train('leaky4', '--epochs', '8');
  if (!existsSync(join(project, 'shorter'))) train('shorter', '--epochs', '6');
  const [first, second] = [join(project, 'leaky4'), join(project, 'shorter')];
  const report = join(first, 'report.html');
  assert.ok(existsSync(report));
  if (wanted('report')) await reportTests(browser, report);
  if (wanted('studio')) await studioTests(browser, first);
  if (wanted('runs')) await runsTests(browser, first, second);
  if (wanted('labels')) await labelsTests(browser, first);
  if (wanted('network')) await networkTests(browser, first);
  if (wanted('face')) await faceTests(browser, first);
  if (wanted('training')) await trainingTests(browser);
  console.log(`${tests} tests passed`);
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
