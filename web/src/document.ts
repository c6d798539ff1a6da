/** What src/mien/runs/run_document.cpp writes. Probabilities are whole ten thousandths, other rates lie in [0, 1]. */

export type Interval = [number | null, number | null];

export interface ClassMetrics {
  name: string;
  support: number;
  predicted: number;
  correct: number;
  precision: number;
  precision_interval: Interval;
  recall: number;
  recall_interval: Interval;
  f1: number;
  auc: number | null;
}

export interface ReliabilityBin {
  low: number;
  high: number;
  count: number;
  confidence: number | null;
  accuracy: number | null;
  accuracy_interval: Interval;
}

export interface Metrics {
  labels?: string;
  count: number;
  accuracy: number;
  accuracy_interval: Interval;
  balanced_accuracy: number;
  balanced_accuracy_interval: Interval;
  top2_accuracy: number;
  top2_interval: Interval;
  macro_f1: number;
  macro_f1_interval: Interval;
  weighted_f1: number;
  kappa: number | null;
  matthews: number | null;
  log_loss: number;
  brier: number;
  expected_calibration_error: number;
  macro_auc: number | null;
  classes: ClassMetrics[];
  confusion: number[][];
  reliability: ReliabilityBin[];
}

export interface FaceSheets {
  width: number;
  height: number;
  columns: number;
  per_sheet: number;
  count: number;
  /** Names in Document.pictures; "" where one did not fit. */
  sheets: string[];
}

export interface ConfusedPair {
  truth: number;
  predicted: number;
  count: number;
  share: number;
  interval: Interval;
}

export interface Part {
  id: 'val' | 'public_test' | 'vote' | 'eval';
  judged_on: string;
  classes: string[];
  metrics: Metrics;
  rows: number[];
  labels: number[];
  predicted: number[];
  losses: (number | null)[];
  probabilities: number[];
  files?: string[];
  faces: FaceSheets | null;
  top_losses: number[];
  most_confused: ConfusedPair[];
}

export interface Epoch {
  epoch: number;
  train_loss: number;
  train_accuracy: number;
  validation_loss: number | null;
  validation_accuracy: number | null;
  learning_rate: number;
  seconds: number;
}

export interface Layer {
  name: string;
  kind: string;
  inputs: number[];
  output: string;
  parameters: number;
  multiply_adds: number;
  kernel?: [number, number];
  stride?: number;
  probability?: number;
}

export interface Network {
  name: string;
  parameters: number;
  trainable?: number;
  source?: string;
  multiply_adds?: number;
  summary?: string;
  layers?: Layer[];
}

export interface ExplainedMap {
  kind?: string;
  method?: string;
  family?: string;
  source?: string;
  layer?: string;
  row?: number;
  label?: string;
  predicted?: string;
  target?: string;
  score?: string;
  probability?: number;
  problem?: string;
  facts?: Record<string, number | string | null>;
  faithfulness?: Record<string, number | null>;
}

export interface Figure {
  file: string;
  caption: string;
  picture: string;
  maps: ExplainedMap[];
}

export interface Rate {
  accuracy: number;
  interval: Interval;
  count: number;
}

export interface BriefRun {
  name: string;
  network: Network;
  data: string;
  test_name: string;
  seed: number;
  best_epoch: number;
  epochs: number;
  stop_reason: string;
  seconds: number;
  seconds_per_epoch: number;
  faces_per_second: number;
  history: Epoch[];
  validation?: Rate;
  test?: Rate;
}

export interface Made {
  at?: string;
  environment?: Record<string, string | number | boolean>;
}

export interface Run extends BriefRun {
  split: string;
  leaks: string;
  class_counts?: { names: string[]; training: number[]; validation: number[]; test: number[] };
  class_weights?: unknown;
  normalization?: string;
  device?: string;
  made: Made;
  command: string;
  options: string;
  examples: FaceSheets | null;
  parts: Part[];
  figures: Figure[];
  first_batch?: string;
}

export interface Ensemble {
  name: string;
  judged_on: string;
  weights: number[];
  made: Made;
  members: BriefRun[];
  votes: { vote: string; accuracy: number; interval: Interval; macro_f1: number; log_loss: number }[];
  growth: {
    members: number;
    subsets: number;
    accuracy: number;
    interval: Interval;
    lowest: number;
    highest: number;
  }[];
  parts: Part[];
  network?: Network;
  split?: string;
  leaks?: string;
  options?: string;
  command?: string;
}

export interface Comparison {
  first: number;
  second: number;
  part: string;
  difference: number;
  interval: Interval;
  p_value: number;
  agreement: number;
  only_first: number;
  only_second: number;
}

export interface Document {
  format: 1;
  kind: 'run' | 'ensemble' | 'recipe';
  title: string;
  subtitle: string;
  description?: string;
  class_table?: string;
  recipe?: string;
  command?: string;
  made?: Made;
  runs: Run[];
  ensembles: Ensemble[];
  comparisons: Comparison[];
  pictures: Record<string, string>;
}
