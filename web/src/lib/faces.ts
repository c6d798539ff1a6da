import type { FaceSheets, Part } from '../document';

export interface FaceFilter {
  /** Class indices; null is any. */
  label: number | null;
  predicted: number | null;
  outcome: 'any' | 'right' | 'wrong';
  /** Confidence of the prediction in percent, both ends included. */
  least: number;
  most: number;
  order: 'row' | 'sure' | 'unsure' | 'loss';
}

export const everyFace: FaceFilter = {
  label: null,
  predicted: null,
  outcome: 'any',
  least: 0,
  most: 100,
  order: 'row',
};

/** Probability in [0, 1] of class `k` for face `i`. */
export function probability(part: Part, i: number, k: number): number {
  return part.probabilities[i * part.classes.length + k] / 10000;
}

export function confidence(part: Part, i: number): number {
  return probability(part, i, part.predicted[i]);
}

/** Positions of the faces that `filter` lets through, in its order; ties keep the order of the data. */
export function filtered(part: Part, filter: FaceFilter): number[] {
  const found: number[] = [];
  for (let i = 0; i < part.rows.length; ++i) {
    if (filter.label !== null && part.labels[i] !== filter.label) continue;
    if (filter.predicted !== null && part.predicted[i] !== filter.predicted) continue;
    if (filter.outcome !== 'any' && (part.labels[i] === part.predicted[i]) !== (filter.outcome === 'right')) continue;
    const percent = 100 * confidence(part, i);
    if (percent < filter.least || percent > filter.most) continue;
    found.push(i);
  }
  const by = (key: (i: number) => number) => found.sort((a, b) => key(b) - key(a) || a - b);
  if (filter.order === 'sure') by((i) => confidence(part, i));
  if (filter.order === 'unsure') by((i) => -confidence(part, i));
  if (filter.order === 'loss') by((i) => part.losses[i] ?? -1);
  return found;
}

const outcomes = ['any', 'right', 'wrong'] as const;
const orders = ['row', 'sure', 'unsure', 'loss'] as const;

/** The filter as the query of a URL; the defaults are left out. */
export function toQuery(filter: FaceFilter, classes: string[]): string {
  const query = new URLSearchParams();
  if (filter.label !== null) query.set('label', classes[filter.label]);
  if (filter.predicted !== null) query.set('predicted', classes[filter.predicted]);
  if (filter.outcome !== 'any') query.set('outcome', filter.outcome);
  if (filter.least !== 0) query.set('least', String(filter.least));
  if (filter.most !== 100) query.set('most', String(filter.most));
  if (filter.order !== 'row') query.set('order', filter.order);
  return query.toString();
}

/** Reads what toQuery wrote; what it does not know is passed over. */
export function fromQuery(text: string, classes: string[]): FaceFilter {
  const query = new URLSearchParams(text);
  const index = (key: string) => {
    const at = classes.indexOf(query.get(key) ?? '');
    return at < 0 ? null : at;
  };
  const percent = (key: string, otherwise: number) => {
    const value = query.get(key);
    const number = value === null || value === '' ? NaN : Number(value);
    return Number.isFinite(number) ? Math.min(100, Math.max(0, number)) : otherwise;
  };
  return {
    label: index('label'),
    predicted: index('predicted'),
    outcome: outcomes.find((one) => one === query.get('outcome')) ?? 'any',
    least: percent('least', 0),
    most: percent('most', 100),
    order: orders.find((one) => one === query.get('order')) ?? 'row',
  };
}

/** Where face `i` lies in its sheet, in pixels; null where the page does not hold it. */
export function place(faces: FaceSheets | null, i: number): { sheet: string; x: number; y: number } | null {
  if (!faces || i >= faces.count) return null;
  const sheet = faces.sheets[Math.floor(i / faces.per_sheet)];
  if (!sheet) return null;
  const inside = i % faces.per_sheet;
  return {
    sheet,
    x: (inside % faces.columns) * faces.width,
    y: Math.floor(inside / faces.columns) * faces.height,
  };
}

/** Pixels of a whole sheet. */
export function sheetSize(faces: FaceSheets, sheet: number): { width: number; height: number } {
  const count = Math.min(faces.per_sheet, faces.count - sheet * faces.per_sheet);
  return {
    width: Math.min(faces.columns, count) * faces.width,
    height: Math.ceil(count / faces.columns) * faces.height,
  };
}

/** "row 12", or the face's file. */
export function faceName(part: Part, i: number, row: string): string {
  return part.files ? part.files[i] : `${row} ${part.rows[i]}`;
}

function csvField(text: string): string {
  return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
}

/** `row,label,predicted,loss,p_...` of the faces at `positions`, for a spreadsheet. */
export function facesCsv(part: Part, positions: number[]): string {
  const lines = [
    [part.files ? 'file' : 'row', 'label', 'predicted', 'loss', ...part.classes.map((name) => 'p_' + name)]
      .map(csvField)
      .join(','),
  ];
  for (const i of positions) {
    const name = part.files ? part.files[i] : String(part.rows[i]);
    const label = part.labels[i] < 0 ? '' : part.classes[part.labels[i]];
    const rates = part.classes.map((_, k) => probability(part, i, k).toFixed(4));
    lines.push([name, label, part.classes[part.predicted[i]], String(part.losses[i] ?? ''), ...rates].map(csvField).join(','));
  }
  return lines.join('\n') + '\n';
}
