/** A gray or color face as the network takes it: [channels, height, width], 0 to 255. */
export interface Pixels {
  channels: number;
  height: number;
  width: number;
  values: Uint8Array;
}

export interface Dab {
  x: number;
  y: number;
  radius: number;
}

export interface Edit {
  /** -100 to 100, added as per cent of the whole range. */
  brightness: number;
  /** Degrees, clockwise. */
  rotation: number;
  /** How much of a side is left, in per cent, and where its middle lies: -100 to 100 of the room that is left. */
  crop: number;
  cropX: number;
  cropY: number;
  dabs: Dab[];
}

export const unedited: Edit = { brightness: 0, rotation: 0, crop: 100, cropX: 0, cropY: 0, dabs: [] };

export function isEdited(edit: Edit): boolean {
  return edit.brightness !== 0 || edit.rotation !== 0 || edit.crop !== 100 || edit.dabs.length > 0;
}

export function mean(plane: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < plane.length; ++i) sum += plane[i];
  return plane.length ? sum / plane.length : 0;
}

/** Crops and turns (bilinear, borders repeated), brightens, then hides what was painted behind the face's mean gray. */
export function edited(face: Pixels, edit: Edit): Pixels {
  const { channels, height, width } = face;
  const out = new Uint8Array(face.values.length);
  const angle = (edit.rotation * Math.PI) / 180;
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const [cx, cy] = [(width - 1) / 2, (height - 1) / 2];
  const left = edit.crop / 100;
  const [shiftX, shiftY] = [(edit.cropX / 100) * (1 - left) * cx, (edit.cropY / 100) * (1 - left) * cy];
  const clamp = (value: number, most: number) => Math.min(most, Math.max(0, value));
  for (let c = 0; c < channels; ++c) {
    const plane = face.values.subarray(c * height * width, (c + 1) * height * width);
    const hidden = mean(plane);
    for (let y = 0; y < height; ++y) {
      for (let x = 0; x < width; ++x) {
        const [dx, dy] = [left * (x - cx) + shiftX, left * (y - cy) + shiftY];
        const sx = clamp(cos * dx + sin * dy + cx, width - 1);
        const sy = clamp(-sin * dx + cos * dy + cy, height - 1);
        const [x0, y0] = [Math.floor(sx), Math.floor(sy)];
        const [x1, y1] = [Math.min(x0 + 1, width - 1), Math.min(y0 + 1, height - 1)];
        const [fx, fy] = [sx - x0, sy - y0];
        const top = plane[y0 * width + x0] * (1 - fx) + plane[y0 * width + x1] * fx;
        const bottom = plane[y1 * width + x0] * (1 - fx) + plane[y1 * width + x1] * fx;
        let value = top * (1 - fy) + bottom * fy + 2.55 * edit.brightness;
        for (const dab of edit.dabs) {
          if ((x - dab.x) ** 2 + (y - dab.y) ** 2 <= dab.radius ** 2) value = hidden;
        }
        out[c * height * width + y * width + x] = Math.round(clamp(value, 255));
      }
    }
  }
  return { channels, height, width, values: out };
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** The color of a map's value in [-1, 1] and how much it covers: orange speaks for, blue against. */
export function mapColor(value: number): [number, number, number, number] {
  const strength = Math.min(1, Math.abs(value));
  return value >= 0 ? [240, 120, 10, strength] : [20, 110, 230, strength];
}

/** The face in RGBA, and over it a map of `steps` a unit where there is one. */
export function painted(face: Pixels, map?: { values: number[]; steps: number }): Uint8ClampedArray<ArrayBuffer> {
  const plane = face.height * face.width;
  const out = new Uint8ClampedArray(4 * plane);
  for (let i = 0; i < plane; ++i) {
    const rgb = [0, 1, 2].map((c) => face.values[(face.channels === 3 ? c * plane : 0) + i]);
    const [r, g, b, alpha] = map ? mapColor(map.values[i] / map.steps) : [0, 0, 0, 0];
    const cover = 0.75 * alpha;
    out.set([rgb[0] * (1 - cover) + r * cover, rgb[1] * (1 - cover) + g * cover, rgb[2] * (1 - cover) + b * cover, 255], 4 * i);
  }
  return out;
}
