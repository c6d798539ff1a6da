import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { en } from '../src/strings/en';
import { zhHant } from '../src/strings/zh-Hant';

const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((one) => one[1]).sort();

describe('strings', () => {
  it('are the same in both languages', () => {
    expect(Object.keys(zhHant).sort()).toEqual(Object.keys(en).sort());
  });
  it('fill in the same values in both languages', () => {
    for (const [key, text] of Object.entries(en)) {
      expect(holes(zhHant[key as keyof typeof en]), key).toEqual(holes(text));
    }
  });
  it('are all shown somewhere', () => {
    const code = ['src', 'src/lib', 'src/views']
      .flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}`))
      .filter((file) => /\.(svelte|ts)$/.test(file))
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n');
    const built = ['part_', 'outcome_', 'order_', 'stop_', 'curve_', 'differing_', 'desk_', 'deskAbout_'];
    const unused = Object.keys(en).filter(
      (key) => !built.some((start) => key.startsWith(start)) && !code.includes(`'${key}'`),
    );
    expect(unused).toEqual([]);
  });
});
