import { describe, expect, it } from 'vitest';
import { edited, fromBase64, isEdited, painted, toBase64, unedited, type Pixels } from '../src/lib/edit';

const face: Pixels = { channels: 1, height: 3, width: 3, values: Uint8Array.from([0, 10, 20, 30, 40, 50, 60, 70, 80]) };

describe('edited', () => {
  it('leaves a face as it is', () => {
    expect([...edited(face, unedited).values]).toEqual([...face.values]);
    expect(isEdited(unedited)).toBe(false);
  });
  it('turns a quarter clockwise', () => {
    const turned = edited(face, { ...unedited, rotation: 90 });
    expect([...turned.values]).toEqual([60, 30, 0, 70, 40, 10, 80, 50, 20]);
  });
  it('crops to the part that is chosen', () => {
    const corner = edited(face, { ...unedited, crop: 50, cropX: 100, cropY: 100 });
    expect([...corner.values]).toEqual([40, 45, 50, 55, 60, 65, 70, 75, 80]);
    expect(isEdited({ ...unedited, crop: 50 })).toBe(true);
  });
  it('brightens and stays between 0 and 255', () => {
    expect(edited(face, { ...unedited, brightness: 100 }).values[0]).toBe(255);
    expect(edited(face, { ...unedited, brightness: -100 }).values[8]).toBe(0);
  });
  it('hides what is painted behind the mean', () => {
    const hidden = edited(face, { ...unedited, dabs: [{ x: 0, y: 0, radius: 0.5 }] });
    expect([...hidden.values]).toEqual([40, 10, 20, 30, 40, 50, 60, 70, 80]);
  });
});

describe('pixels as text', () => {
  it('come back as they were', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect([...fromBase64(toBase64(bytes))]).toEqual([...bytes]);
  });
});

describe('painted', () => {
  it('shows the face alone where the map is 0, and colors its sign', () => {
    const map = { values: [0, 1000, -1000, 0, 0, 0, 0, 0, 0], steps: 1000 };
    const rgba = painted(face, map);
    expect([...rgba.slice(0, 4)]).toEqual([0, 0, 0, 255]);
    expect(rgba[4]).toBeGreaterThan(rgba[6]); // for: orange
    expect(rgba[10]).toBeGreaterThan(rgba[8]); // against: blue
  });
});
