// The views Labels, Network, Face and Try in Chromium.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { accessible, everywhere, open, serve, shoot, test } from './harness.mjs';

export async function labelsTests(browser, runFolder) {
  const file = join(runFolder, 'labels_reviewed_val.csv');
  rmSync(file, { force: true });
  const server = await serve(runFolder);
  try {
    const { page, problems, context } = await open(browser, server.address + '?view=labels', { allowed: server.allowed });
    const name = () => page.locator('.labels-view .heading h2').textContent();
    await test('the keyboard keeps, leaves out, relabels and takes back, and the file of corrections follows', async () => {
      await page.locator('.labels-view .face').first().waitFor();
      await page.locator('.labels-view h1').click();
      const lines = () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []);
      const next = async (key) => {
        const before = await name();
        const count = lines().length;
        await page.keyboard.press(key);
        await page.waitForFunction((old) => document.querySelector('.labels-view .heading h2').textContent !== old, before);
        assert.ok(lines().length > count, `${key}: ${lines()}`);
        return Number(before.match(/\d+/)[0]);
      };
      const kept = await next('k');
      const dropped = await next('x');
      const relabeled = await next('1');
      const cells = Object.fromEntries(lines().slice(1).map((line) => [line.split(',')[0], line.split(',').slice(1)]));
      assert.equal(cells[kept][0], cells[kept][1]);
      assert.equal(cells[dropped][0], 'drop');
      assert.ok(relabeled in cells);
      await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('u');
      await page.waitForFunction(() => document.querySelectorAll('.labels-view [aria-pressed=true]').length === 0);
      assert.ok(!lines().some((line) => line.startsWith(relabeled + ',')));
    });
    await test('neighbors stand beside the face, and the URL opens the same face again', async () => {
      await page.locator('.labels-view .neighbors .face').nth(5).waitFor();
      const again = await open(browser, page.url(), { allowed: server.allowed });
      await again.page.locator('.labels-view .face').first().waitFor();
      assert.equal(await again.page.locator('.labels-view .heading h2').textContent(), await name());
      await again.context.close();
    });
    await test('nothing serious stands against the view of labels for readers of any kind', async () => {
      await accessible(page, 'labels');
    });
    assert.deepEqual(problems, []);
    await context.close();
    await everywhere(browser, server.address + '?view=labels', 'labels', {
      allowed: server.allowed,
      ready: (page) => page.locator('.labels-view .neighbors .face').first().waitFor(),
    });
  } finally {
    server.stop();
    rmSync(file, { force: true });
  }
}

export async function networkTests(browser, runFolder) {
  const server = await serve(runFolder);
  const { address, allowed } = server;
  try {
    const { page, problems, context } = await open(browser, address + '?view=network&layer=conv2&unit=3', { allowed });
    const view = page.locator('.network-view');
    await test('a layer shows every unit, and a unit its output, weights, field and arithmetic', async () => {
      await view.locator('.formula').waitFor();
      assert.equal(await view.locator('.units .unit').count(), 64);
      assert.equal(await view.locator('.kernels .heat').count(), 32);
      assert.equal(await view.locator('.seen i').count(), 1);
    });
    await test('moving over the output changes position, field and arithmetic', async () => {
      const formula = () => view.locator('.formula').textContent();
      const before = await formula();
      const box = await view.locator('.heat.pointed').boundingBox();
      await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.4);
      await page.waitForFunction((old) => document.querySelector('.network-view .formula')?.textContent !== old, before);
      await page.waitForFunction(() => /y=9&x=14|y=9&x=1[3-5]/.test(location.search));
      // The terms, others and bias add up to the value.
      const numbers = (await formula()).match(/= (-?[\d.]+)/);
      assert.ok(Number.isFinite(Number(numbers[1])));
    });
    await test('every unit has an address of its own', async () => {
      await view.locator('.units .unit').nth(7).click();
      await page.waitForFunction(() => location.search.includes('unit=7'));
      const again = await open(browser, page.url(), { allowed });
      await again.page.locator('.network-view .formula').waitFor();
      assert.equal(await again.page.locator('#one-unit').textContent(), await page.locator('#one-unit').textContent());
      await again.context.close();
    });
    await test('the faces and the input that drive a unit are found', async () => {
      await view.locator('.actions button').nth(1).click();
      await view.locator('.faces .face').nth(9).waitFor({ timeout: 60_000 });
      assert.equal(await view.locator('.means li').count(), 7);
      await view.locator('.actions button').first().click();
      await view.locator('.pictures figure').nth(2).waitFor({ timeout: 60_000 });
    });
    await test('every kind of layer can be looked into', async () => {
      const count = await view.locator('.layers button').count();
      for (let i = 0; i < count; ++i) {
        await view.locator('.layers button').nth(i).click();
        const name = await view.locator('.layers button').nth(i).locator('b').textContent();
        await page.waitForFunction((own) => document.querySelector('#one-unit')?.textContent.startsWith(own + ','), name);
        await view.locator(i === 0 ? '.heat.pointed' : '.formula').waitFor();
      }
    });
    await test('nothing serious stands against the view of the network for readers of any kind', async () => {
      await accessible(page, 'network');
    });
    await shoot(page, 'network-dense');
    assert.deepEqual(problems, []);
    await context.close();
    await everywhere(browser, address + '?view=network&layer=conv2&unit=3&y=9&x=14', 'network', {
      allowed,
      ready: async (page) => {
        await page.locator('.network-view .formula').waitFor();
        await page.locator('.network-view .actions button').nth(1).click();
        await page.locator('.network-view .faces .face').nth(9).waitFor({ timeout: 60_000 });
      },
    });
  } finally {
    server.stop();
  }
}

export async function faceTests(browser, runFolder) {
  const server = await serve(runFolder);
  const { address, allowed } = server;
  try {
    const url = address + '?view=face&document=0&run=0&part=val&index=1';
    const { page, problems, context } = await open(browser, url, { allowed });
    await test('a slow explanation tells how far it is and ends when it is cancelled', async () => {
      await page.locator('.panel canvas').first().waitFor();
      await page.locator('.panel select').first().selectOption('rise');
      const samples = page.locator('.panel label', { hasText: 'rise-samples' }).locator('input').first();
      await samples.fill('400000');
      await samples.dispatchEvent('change');
      await page.locator('.panel progress').waitFor({ timeout: 20_000 });
      await page.locator('.panel button', { hasText: 'Cancel' }).first().click();
      await page.locator('.panel [role=alert]', { hasText: 'Cancelled' }).waitFor();
      const began = Date.now();
      await page.locator('.panel select').first().selectOption('saliency');
      await page.waitForFunction(() => !document.querySelector('.panel [role=alert]'));
      await page.waitForFunction(() => document.querySelector('.panel').getAttribute('aria-busy') === 'false');
      assert.ok(Date.now() - began < 20_000, 'the cancelled one still holds the network');
    });
    await test('cropping the face changes the prediction', async () => {
      const bars = () => page.locator('section .bars').first().textContent();
      const before = await bars();
      const crop = page.locator('label', { hasText: 'Crop to' }).locator('input');
      await crop.fill('60');
      await page.waitForFunction((old) => document.querySelector('section .bars').textContent !== old, before);
    });
    assert.deepEqual(problems, []);
    await context.close();
    await everywhere(browser, url, 'face', {
      allowed,
      ready: (page) =>
        page.waitForFunction(() => /\d\.\d{3}/.test(document.querySelector('.panel .measures')?.textContent ?? '')),
    });
    await everywhere(browser, address + '?view=try', 'try', {
      allowed,
      ready: async (page) => {
        await page.locator('input[type=file]').setInputFiles(join(runFolder, 'train_batch0.png'));
        await page.locator('.square').waitFor();
        await page.locator('.panel canvas').first().waitFor();
      },
    });
  } finally {
    server.stop();
  }
}
