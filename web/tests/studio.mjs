// The studio in Chromium, view by view.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { accessible, everywhere, open, serve, shoot, test } from './harness.mjs';

export async function studioTests(browser, runFolder, others = []) {
  const { address, allowed, stop } = await serve(runFolder, ...others);
  try {
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
      await page.locator('.panel canvas').nth(1).waitFor(); // the second map comes after the first
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
      await page.locator('.views button').last().click();
      await page.locator('input[type=file]').setInputFiles(join(runFolder, 'train_batch0.png'));
      await page.locator('.panel canvas').first().waitFor();
      await page.locator('input[type=file]').setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
      await page.locator('[role=alert]').first().waitFor();
    });
    assert.deepEqual(problems.filter((one) => !one.includes('400')), []);
    await context.close();
  } finally {
    stop();
  }
}

