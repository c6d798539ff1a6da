import type { Interval } from '../document';

/** "71.3 %"; "-" where undefined. */
export function percent(rate: number | null | undefined, decimals = 1): string {
  return rate === null || rate === undefined || !Number.isFinite(rate) ? '-' : (100 * rate).toFixed(decimals) + ' %';
}

/** A difference of rates in points: "+1.25", "−0.50"; "-" where undefined. */
export function points(difference: number | null): string {
  return difference === null ? '-' : (difference >= 0 ? '+' : '−') + Math.abs(100 * difference).toFixed(2);
}

/** "69.8 – 72.8 %" */
export function intervalText(interval: Interval, decimals = 1): string {
  const [low, high] = interval;
  if (low === null || high === null) return '-';
  return `${(100 * low).toFixed(decimals)} – ${(100 * high).toFixed(decimals)} %`;
}

export function number(value: number | null | undefined, decimals = 3): string {
  return value === null || value === undefined || !Number.isFinite(value) ? '-' : value.toFixed(decimals);
}

/** 1234567 -> "1,234,567" */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** 28681984 -> "28.7 M" */
export function short(value: number): string {
  for (const [size, unit] of [
    [1e9, ' G'],
    [1e6, ' M'],
    [1e3, ' k'],
  ] as const) {
    if (value >= size) return (value / size).toFixed(value >= 100 * size ? 0 : 1) + unit;
  }
  return String(value);
}

/** 75.3 -> "1 min 15 s" */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-';
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Three significant digits, for p-values and losses. */
export function significant(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}
