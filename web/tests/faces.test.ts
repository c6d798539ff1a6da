import { describe, expect, it } from 'vitest';
import type { FaceSheets, Part } from '../src/document';
import { everyFace, facesCsv, filtered, fromQuery, place, sheetSize, toQuery } from '../src/lib/faces';

const part = {
  id: 'val',
  classes: ['happy', 'sad'],
  rows: [5, 7, 9, 11],
  labels: [0, 1, 1, 0],
  predicted: [0, 0, 1, 1],
  losses: [0.1, 2.5, 0.4, 3.0],
  probabilities: [9000, 1000, 8000, 2000, 3500, 6500, 500, 9500],
} as unknown as Part;

describe('filtered', () => {
  it('gives every face in the order of the data without a filter', () => {
    expect(filtered(part, everyFace)).toEqual([0, 1, 2, 3]);
  });
  it('gives the faces of a cell of the confusion matrix', () => {
    expect(filtered(part, { ...everyFace, label: 1, predicted: 0 })).toEqual([1]);
  });
  it('tells right from wrong', () => {
    expect(filtered(part, { ...everyFace, outcome: 'wrong' })).toEqual([1, 3]);
    expect(filtered(part, { ...everyFace, outcome: 'right' })).toEqual([0, 2]);
  });
  it('looks at how sure the prediction is, both ends included', () => {
    expect(filtered(part, { ...everyFace, least: 80, most: 90 })).toEqual([0, 1]);
  });
  it('sorts by confidence and by loss', () => {
    expect(filtered(part, { ...everyFace, order: 'sure' })).toEqual([3, 0, 1, 2]);
    expect(filtered(part, { ...everyFace, order: 'unsure' })).toEqual([2, 1, 0, 3]);
    expect(filtered(part, { ...everyFace, order: 'loss' })).toEqual([3, 1, 2, 0]);
  });
});

describe('the filter in the URL', () => {
  it('comes back as it was', () => {
    const filter = { ...everyFace, label: 1, predicted: 0, outcome: 'wrong' as const, least: 35, order: 'loss' as const };
    expect(fromQuery(toQuery(filter, part.classes), part.classes)).toEqual(filter);
  });
  it('is empty for all faces', () => {
    expect(toQuery(everyFace, part.classes)).toBe('');
  });
  it('passes over what it does not know', () => {
    expect(fromQuery('label=nobody&least=abc&order=<script>&most=1e9', part.classes)).toEqual(everyFace);
  });
});

describe('place', () => {
  const faces: FaceSheets = { width: 48, height: 48, columns: 32, per_sheet: 1024, count: 1030, sheets: ['a', ''] };
  it('finds a face in its sheet', () => {
    expect(place(faces, 33)).toEqual({ sheet: 'a', x: 48, y: 48 });
  });
  it('says that a face is not kept', () => {
    expect(place(faces, 1025)).toBeNull();
    expect(place(faces, 1030)).toBeNull();
    expect(place(null, 0)).toBeNull();
  });
  it('knows that the last sheet is smaller', () => {
    expect(sheetSize(faces, 0)).toEqual({ width: 1536, height: 1536 });
    expect(sheetSize(faces, 1)).toEqual({ width: 288, height: 48 });
  });
});

describe('facesCsv', () => {
  it('has one line a face with every probability', () => {
    expect(facesCsv(part, [1])).toBe('row,label,predicted,loss,p_happy,p_sad\n7,sad,happy,2.5,0.8000,0.2000\n');
  });
  it('quotes what a spreadsheet would split', () => {
    const named = { ...part, files: ['a', 'b,"c".png', 'd', 'e'] } as Part;
    expect(facesCsv(named, [1])).toContain('"b,""c"".png",sad');
  });
});
