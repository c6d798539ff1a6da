import type { Document } from '../document';
import { follow, type JobProgress } from './jobs';
import type {
  Ascent,
  Decisions,
  Desk,
  DeskEntry,
  Difference,
  Explanation,
  LayerOutput,
  Method,
  Model,
  Neighbor,
  NetworkLayer,
  LayerQuestion,
  Photo,
  Prediction,
  Question as Asked,
  Served,
  ServedRun,
  Square,
  Survey,
  Unit,
} from './openapi';

export type * from './openapi';

export interface OptionSchema {
  type: string;
  description: string;
  default: unknown;
  minimum?: number;
  maximum?: number;
  enum?: string[];
}

/** Options go as the form holds them: numbers may be texts. */
export type Question = Omit<Asked, 'options'> & { options?: Record<string, string | number | boolean> };

async function answer<T>(response: Response): Promise<T> {
  const body = (await response.json()) as T & { error?: string };
  if (!response.ok) throw new Error(body.error ?? response.statusText);
  return body;
}

const get = async <T>(path: string, signal?: AbortSignal): Promise<T> =>
  answer<T>(await fetch('/api/v1/' + path, { signal }));

async function post<T>(path: string, body: object, signal?: AbortSignal): Promise<T> {
  const headers = { 'Content-Type': 'application/json' };
  return answer<T>(await fetch('/api/v1/' + path, { method: 'POST', headers, body: JSON.stringify(body), signal }));
}

type Progress = (now: JobProgress) => void;

/** Work that takes its time: its steps are told, and aborting the signal ends it on the server, too. */
async function job<T>(path: string, body: object, signal?: AbortSignal, progress?: Progress): Promise<T> {
  const { job: id } = await post<{ job: string }>(path, body, signal);
  return follow<T>(id, signal, progress);
}

export const api = {
  desks: () => get<DeskEntry[]>('labels'),
  desk: (id: string) => get<Desk>(`labels/${id}`),
  decide: (id: string, row: number, decision: string) => post<Decisions>(`labels/${id}`, { row, decision }),
  neighbors: (model: number, part: string, index: number, signal?: AbortSignal) =>
    get<Neighbor[]>(`models/${model}/neighbors?part=${part}&index=${index}`, signal),
  runs: () => get<ServedRun[]>('runs'),
  difference: (first: number, second: number) => get<Difference>(`runs/compare?first=${first}&second=${second}`),
  documents: () => get<Served[]>('documents'),
  document: (index: number) => get<Document>(`documents/${index}`),
  models: () => get<Model[]>('models'),
  methods: () => get<Method[]>('methods'),
  async options(): Promise<Record<string, OptionSchema>> {
    const json = await get<{
      components: { schemas: { MethodOptions: { properties: Record<string, OptionSchema> } } };
    }>('openapi.json');
    return json.components.schemas.MethodOptions.properties;
  },
  predict: (question: Question, signal?: AbortSignal) => post<Prediction>('predict', question, signal),
  explain: (question: Question, signal?: AbortSignal) => post<Explanation>('explain', question, signal),
  /** The same as a job. */
  explainSlowly: (question: Question, signal?: AbortSignal, progress?: Progress) =>
    job<Explanation>('jobs', question, signal, progress),
  layers: (model: number) => get<NetworkLayer[]>(`models/${model}/layers`),
  layer: (question: LayerQuestion, signal?: AbortSignal) => post<LayerOutput>('layer', question, signal),
  unit: (question: LayerQuestion & { unit: number; y: number; x: number }, signal?: AbortSignal) =>
    post<Unit>('unit', question, signal),
  ascent: (question: { model: number; layer: string; unit: number }, signal?: AbortSignal, progress?: Progress) =>
    job<Ascent>('ascent', question, signal, progress),
  survey: (question: { model: number; layer: string; part: string }, signal?: AbortSignal, progress?: Progress) =>
    job<Survey>('survey', question, signal, progress),
  async photo(model: number, file: Blob, square?: Square): Promise<Photo> {
    const headers = { 'Content-Type': 'application/octet-stream' };
    const where = square ? `&x=${square.x}&y=${square.y}&side=${square.side}` : '';
    return answer<Photo>(await fetch(`/api/v1/photo?model=${model}${where}`, { method: 'POST', headers, body: file }));
  },
};
