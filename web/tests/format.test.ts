import { describe, expect, it } from 'vitest';
import { count, duration, intervalText, percent, short, significant } from '../src/lib/format';

describe('numbers for people', () => {
  it('say a rate with its interval', () => {
    expect(percent(0.9625)).toBe('96.3 %');
    expect(percent(null)).toBe('-');
    expect(intervalText([0.943, 0.975])).toBe('94.3 – 97.5 %');
    expect(intervalText([null, 1])).toBe('-');
  });
  it('say how many and how long', () => {
    expect(count(1234567)).toBe('1,234,567');
    expect(count(12)).toBe('12');
    expect(short(28681984)).toBe('28.7 M');
    expect(duration(75.3)).toBe('1 min 15 s');
    expect(duration(7322)).toBe('2 h 2 min');
    expect(significant(0.00001)).toBe('1.0e-5');
  });
});
