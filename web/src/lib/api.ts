import type { Document } from '../document';

/** What GET /api/v1/models lists. */
export interface Model {
  index: number;
  name: string;
  document: number;
  run: number;
  classes: string[];
  channels: number;
  height: number;
  width: number;
  layers: string[];
  methods: string[];
}

export interface Method {
  name: string;
  family: string;
  summary: string;
  cost: string;
  source: string;
  signed: boolean;
  reads_layer: boolean;
}

export interface OptionSchema {
  type: string;
  description: string;
  default: unknown;
  minimum?: number;
  maximum?: number;
  enum?: string[];
}

export interface Prediction {
  classes: string[];
  predicted: string;
  probabilities: number[];
}

export interface Explanation extends Omit<Prediction, 'predicted'> {
  method: string;
  signed: boolean;
  target: string;
  layer?: string;
  height: number;
  width: number;
  largest: number;
  steps: number;
  map: number[];
  seconds: number;
  diagnostics?: Record<string, number | null>;
  faithfulness?: Record<string, number | null>;
}

export interface Question {
  model: number;
  part?: string;
  index?: number;
  pixels?: string;
  method?: string;
  target?: string;
  measure?: boolean;
  options?: Record<string, string | number | boolean>;
}

export interface Photo {
  pixels: string;
  crop: { x: number; y: number; side: number };
}

async function answer<T>(response: Response): Promise<T> {
  const body = (await response.json()) as T & { error?: string };
  if (!response.ok) throw new Error(body.error ?? response.statusText);
  return body;
}

const get = async <T>(path: string): Promise<T> => answer<T>(await fetch('/api/v1/' + path));

async function post<T>(path: string, body: Question, signal?: AbortSignal): Promise<T> {
  const headers = { 'Content-Type': 'application/json' };
  return answer<T>(await fetch('/api/v1/' + path, { method: 'POST', headers, body: JSON.stringify(body), signal }));
}

export const api = {
  documents: () => get<{ index: number; title: string; kind: string }[]>('documents'),
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
  async photo(model: number, file: Blob): Promise<Photo> {
    const headers = { 'Content-Type': 'application/octet-stream' };
    return answer<Photo>(await fetch(`/api/v1/photo?model=${model}`, { method: 'POST', headers, body: file }));
  },
};
