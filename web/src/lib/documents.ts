import type { Document, Part } from '../document';
import { api, type ServedRun } from './api';
import { Pictures } from './pictures';

export interface Shown {
  doc: Document;
  pictures: Pictures;
}

const known = new Map<number, Promise<Shown>>();

/** A document of the server, asked for once. */
export function shown(index: number): Promise<Shown> {
  let promise = known.get(index);
  if (!promise) {
    promise = api.document(index).then((doc) => ({ doc, pictures: new Pictures(doc.pictures) }));
    promise.catch(() => known.delete(index));
    known.set(index, promise);
  }
  return promise;
}

/** The part of a run, or of an ensemble, that is called `id`. */
export function partOf(doc: Document, run: ServedRun, id: string): Part | undefined {
  const from = run.members ? doc.ensembles : doc.runs;
  return from[run.position ?? -1]?.parts.find((part) => part.id === id);
}
