import { en, type Strings } from '../strings/en';
import { classNamesZhHant, zhHant } from '../strings/zh-Hant';

export type Language = 'en' | 'zh-Hant';
export type Theme = 'auto' | 'light' | 'dark';

const languages: Record<Language, Strings> = { en, 'zh-Hant': zhHant };

function kept(key: string): string | null {
  try {
    return localStorage.getItem('mien.' + key);
  } catch {
    return null; // pages opened from disk may have no storage
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem('mien.' + key, value);
  } catch {
    // as above: the choice then lasts as long as the page
  }
}

function firstLanguage(): Language {
  const wished = kept('language') ?? navigator.language ?? 'en';
  return /^zh/i.test(wished) ? 'zh-Hant' : 'en';
}

/** What the reader chose for the whole page. */
export const ui = $state({
  language: firstLanguage(),
  theme: (['light', 'dark'].includes(kept('theme') ?? '') ? kept('theme') : 'auto') as Theme,
});

export function setLanguage(language: Language): void {
  ui.language = language;
  keep('language', language);
}

export function setTheme(theme: Theme): void {
  ui.theme = theme;
  keep('theme', theme);
}

/** The words of `key` in the reader's language with {x} filled in. */
export function t(key: keyof Strings, values: Record<string, string | number> = {}): string {
  return fill(languages[ui.language][key], values);
}

export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** "row 12" in the reader's language. */
export function rowName(row: number): string {
  return ui.language === 'en' ? `row ${row}` : `第 ${row} 列`;
}

/** A class in the reader's language, where it is one of FER2013's. */
export function className(name: string): string {
  return ui.language === 'en' ? name : (classNamesZhHant[name] ?? name);
}
