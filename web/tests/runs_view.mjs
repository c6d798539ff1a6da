// The view of runs in Chromium: two finished ones, and one that is trained while the page looks on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { accessible, everywhere, folder, mien, open, root, serve, shoot, test } from './harness.mjs';

export async function runsTests(browser, first, second) {
  const server = await serve(first, second);
  const { address, allowed } = server;
  try {
    const { page, problems, context } = await open(browser, address + '?view=runs', { allowed });
    await test('runs stand side by side with rates, curves and a paired test', async () => {
      await page.locator('.runs-view .pair p').filter({ hasText: 'McNemar' }).first().waitFor();
      assert.equal(await page.locator('.runs-view tbody tr').count(), 2);
      assert.match(await page.locator('.runs-view tbody tr').first().textContent(), /\d\d\.\d\d %/);
      assert.equal(await page.locator('.runs-view .chart svg').count() > 0, true);
    });
    await test('the faces on which they differ open with what both say, and lead to each network', async () => {
      const groups = page.locator('.runs-view .switch button').filter({ hasText: /\([1-9]\d*\)/ });
      await groups.first().waitFor();
      const wanted = Number((await groups.first().textContent()).match(/\((\d+)\)/)[1]);
      await groups.first().click();
      const tiles = await page.locator('.runs-view .grid .tile').count();
      assert.ok(tiles > 0 && tiles <= wanted, `${tiles} of ${wanted}`);
      await page.locator('.runs-view .grid .tile').first().click();
      const dialog = page.locator('.runs-view dialog[open]');
      assert.equal(await dialog.locator('button', { hasText: 'why' }).count(), 2);
      await page.keyboard.press('Escape');
    });
    await test('nothing serious stands against the view of runs for readers of any kind', async () => {
      await accessible(page, 'runs');
    });
    await test('the URL of two runs and their faces shows the same again', async () => {
      await page.locator('select[aria-label="Curves"]').selectOption('train_loss');
      await page.waitForFunction(() => location.search.includes('curve=train_loss'));
      const again = await open(browser, page.url(), { allowed });
      await again.page.locator('.runs-view .grid .tile').first().waitFor();
      assert.equal(await again.page.locator('select[aria-label="Curves"]').inputValue(), 'train_loss');
      assert.equal(await again.page.locator('.runs-view .grid .tile').count(), await page.locator('.runs-view .grid .tile').count());
      await again.context.close();
    });
    await test('a face on which they differ is explained by the second network, too', async () => {
      await page.locator('.runs-view .grid .tile').first().click();
      await page.locator('.runs-view dialog[open] button', { hasText: 'why' }).last().click();
      await page.locator('.panel canvas').first().waitFor();
      assert.match(page.url(), /document=1/);
    });
    assert.deepEqual(problems, []);
    await context.close();
    await everywhere(browser, address + '?view=runs', 'runs', {
      allowed,
      ready: (page) => page.locator('.runs-view .grid .tile').first().waitFor(),
    });
  } finally {
    server.stop();
  }
}

export async function trainingTests(browser) {
  const project = join(folder, 'training');
  const training = spawn(
    mien,
    ['train', '--data', 'drawn:420', '--network', 'conv3', '--epochs', '6', '--batch-size', '32', '--project', project],
    { cwd: root, stdio: 'ignore' },
  );
  const ended = new Promise((done) => training.on('exit', done));
  while (true) {
    await new Promise((done) => setTimeout(done, 100));
    if (existsSync(join(project, 'conv3', 'run.json'))) break;
  }
  const server = await serve(project);
  try {
    const { page, problems, context } = await open(browser, server.address + '?view=runs', { allowed: server.allowed });
    await test('a run in training is followed until its report is there', async () => {
      await page.locator('.runs-view tbody tr').first().waitFor();
      const state = () => page.locator('.runs-view tbody td[aria-live]').first().textContent();
      assert.match(await state(), /not finished/);
      await page.locator('.runs-view .chart svg').first().waitFor({ timeout: 120_000 });
      assert.equal(await ended, 0);
      await page.waitForFunction(() => document.querySelector('.runs-view tbody td[aria-live]').textContent.trim() === 'finished', null, {
        timeout: 30_000,
      });
      await shoot(page, 'runs-training');
      const report = page.locator('button[data-view=report]');
      await report.click();
      await page.locator('#run-0 .matrix').waitFor();
    });
    assert.deepEqual(problems, []);
    await context.close();
  } finally {
    server.stop();
    training.kill();
  }
}
