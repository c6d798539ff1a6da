import * as Plot from '@observablehq/plot';
import type { BriefRun, Epoch, Ensemble, Metrics } from '../document';
import { percent, number } from './format';
import { className, t } from './ui.svelte';

/** Color-blind-safe (Okabe and Ito); the same in the light and in the dark. */
export const colors = { validation: '#0f7ec2', training: '#e08a00', best: '#0a9b72', bad: '#d1495b' };
const series = ['#0f7ec2', '#e08a00', '#0a9b72', '#c8559b', '#8c6bd1', '#7a7f1d', '#d1495b', '#3aa6a6'];

const style = { background: 'transparent', fontSize: '12px', fontFamily: 'inherit' };

function epochAxis(rows: { epoch: number }[]): Plot.ScaleOptions {
  const last = rows.length ? rows[rows.length - 1].epoch : 1;
  const step = Math.max(1, Math.ceil(last / 10));
  const ticks = rows.map((row) => row.epoch).filter((epoch) => epoch === 1 || epoch % step === 0);
  return { label: t('epoch'), ticks, tickFormat: 'd', labelOffset: 38 } as Plot.ScaleOptions;
}

type Measure = 'accuracy' | 'loss';

/** Training and validation by epoch with the kept epoch marked; both values at the pointer. */
export function drawHistory(run: BriefRun, measure: Measure, width: number): Element {
  const rows = run.history;
  const factor = measure === 'accuracy' ? 100 : 1;
  const value = (part: 'train' | 'validation') => (row: Epoch) => {
    const rate = row[`${part}_${measure}`];
    return rate === null ? NaN : factor * rate;
  };
  const best = rows.filter((row) => row.epoch === run.best_epoch && row[`validation_${measure}`] !== null);
  const title = (row: Epoch) =>
    `${t('epoch')} ${row.epoch}\n${t('trainingRows')} ${show(row[`train_${measure}`])}\n` +
    `${t('validationRows')} ${show(row[`validation_${measure}`])}`;
  const show = (rate: number | null) => (measure === 'accuracy' ? percent(rate, 1) : number(rate, 3));
  return Plot.plot({
    width,
    height: 260,
    marginLeft: 44,
    marginBottom: 42,
    style,
    x: epochAxis(rows),
    y: { label: measure === 'accuracy' ? `${t('accuracy')} (%)` : t('lossNats'), grid: true, nice: true },
    marks: [
      Plot.ruleX(best, { x: 'epoch', stroke: colors.best, strokeOpacity: 0.5 }),
      Plot.line(rows, { x: 'epoch', y: value('train'), stroke: colors.training, strokeDasharray: '5,4', strokeWidth: 2 }),
      Plot.line(rows, { x: 'epoch', y: value('validation'), stroke: colors.validation, strokeWidth: 2 }),
      Plot.dot(rows, { x: 'epoch', y: value('validation'), fill: colors.validation, r: rows.length > 40 ? 0 : 2.5 }),
      Plot.dot(best, { x: 'epoch', y: value('validation'), stroke: colors.best, strokeWidth: 2.5, r: 6 }),
      Plot.ruleX(rows, Plot.pointerX({ x: 'epoch', stroke: 'currentColor', strokeOpacity: 0.35 })),
      Plot.tip(rows, Plot.pointerX({ x: 'epoch', y: value('validation'), title })),
    ],
  });
}

export type Curve = 'validation_accuracy' | 'validation_loss' | 'train_accuracy' | 'train_loss';

/** One curve of several runs. */
export function drawRuns(
  runs: { name: string; history: ({ epoch: number } & Record<Curve, number | null>)[] }[],
  width: number,
  curve: Curve = 'validation_accuracy',
): Element {
  const isRate = curve.endsWith('accuracy');
  const points = runs.flatMap((run) =>
    run.history
      .filter((row) => row[curve] !== null)
      .map((row) => ({ run: run.name, epoch: row.epoch, value: (isRate ? 100 : 1) * (row[curve] ?? 0) })),
  );
  const longest = runs.reduce((a, b) => (b.history.length > a.history.length ? b : a), runs[0]);
  return Plot.plot({
    width,
    height: 300,
    marginLeft: 44,
    marginBottom: 42,
    style,
    x: epochAxis(longest?.history ?? []),
    y: { label: isRate ? `${t('accuracy')} (%)` : t('lossNats'), grid: true, nice: true },
    color: { domain: runs.map((run) => run.name), range: series, legend: true },
    marks: [
      Plot.line(points, { x: 'epoch', y: 'value', stroke: 'run', strokeWidth: 2 }),
      Plot.dot(points, { x: 'epoch', y: 'value', fill: 'run', r: 2.5 }),
      Plot.tip(
        points,
        Plot.pointer({
          x: 'epoch',
          y: 'value',
          title: (point: (typeof points)[number]) =>
            `${point.run}\n${t('epoch')} ${point.epoch}: ${isRate ? point.value.toFixed(1) + ' %' : number(point.value)}`,
        }),
      ),
    ],
  });
}

/** How often it is right against how sure it is, bins with faces only. */
export function drawCalibration(metrics: Metrics, width: number): Element {
  const bins = metrics.reliability
    .filter((bin) => bin.count > 0)
    .map((bin) => ({
      sure: 100 * (bin.confidence ?? 0),
      right: 100 * (bin.accuracy ?? 0),
      low: 100 * (bin.accuracy_interval[0] ?? 0),
      high: 100 * (bin.accuracy_interval[1] ?? 0),
      count: bin.count,
    }));
  return Plot.plot({
    width,
    height: Math.min(360, Math.max(260, width * 0.8)),
    marginLeft: 44,
    marginBottom: 42,
    style,
    x: { domain: [0, 100], label: `${t('confidence')} (%)`, labelOffset: 38 },
    y: { domain: [0, 100], label: `${t('accuracy')} (%)`, grid: true },
    r: { range: [2.5, 10] },
    marks: [
      Plot.link([0], { x1: 0, y1: 0, x2: 100, y2: 100, stroke: 'currentColor', strokeOpacity: 0.4, strokeDasharray: '4,4' }),
      Plot.ruleX(bins, { x: 'sure', y1: 'low', y2: 'high', stroke: colors.validation, strokeOpacity: 0.6, strokeWidth: 2 }),
      Plot.line(bins, { x: 'sure', y: 'right', stroke: colors.validation, strokeOpacity: 0.5 }),
      Plot.dot(bins, { x: 'sure', y: 'right', r: 'count', fill: colors.validation }),
      Plot.tip(
        bins,
        Plot.pointer({
          x: 'sure',
          y: 'right',
          title: (bin: (typeof bins)[number]) =>
            `${t('found', { n: bin.count })}\n${t('confidence')} ${bin.sure.toFixed(1)} %\n` +
            `${t('accuracy')} ${bin.right.toFixed(1)} % (${bin.low.toFixed(1)} – ${bin.high.toFixed(1)})`,
        }),
      ),
    ],
  });
}

export interface ClassCount {
  name: string;
  part: string;
  count: number;
}

/** Faces of each class as stacked bars. */
export function drawCounts(counts: ClassCount[], parts: string[], width: number): Element {
  return Plot.plot({
    width,
    height: 40 + 30 * new Set(counts.map((one) => one.name)).size,
    marginLeft: 72,
    style,
    x: { label: t('faces'), grid: true },
    y: { label: null, domain: [...new Set(counts.map((one) => className(one.name)))] },
    color: { domain: parts, range: series, legend: true },
    marks: [
      Plot.barX(counts, {
        x: 'count',
        y: (one: ClassCount) => className(one.name),
        fill: 'part',
        title: (one: ClassCount) => `${className(one.name)}, ${one.part}: ${one.count}`,
      }),
    ],
  });
}

/** Accuracy of m members with its interval, the worst and the best subset. */
export function drawGrowth(ensemble: Ensemble, width: number): Element {
  const points = ensemble.growth.map((one) => ({
    members: one.members,
    accuracy: 100 * one.accuracy,
    low: 100 * (one.interval[0] ?? one.accuracy),
    high: 100 * (one.interval[1] ?? one.accuracy),
    worst: 100 * one.lowest,
    best: 100 * one.highest,
  }));
  return Plot.plot({
    width,
    height: 300,
    marginLeft: 44,
    marginBottom: 42,
    style,
    x: { label: t('members'), ticks: points.map((one) => one.members), tickFormat: 'd', labelOffset: 38 },
    y: { label: `${t('accuracy')} (%)`, grid: true, nice: true },
    marks: [
      Plot.areaY(points, { x: 'members', y1: 'low', y2: 'high', fill: colors.validation, fillOpacity: 0.18 }),
      Plot.line(points, { x: 'members', y: 'worst', stroke: 'currentColor', strokeOpacity: 0.4 }),
      Plot.line(points, { x: 'members', y: 'best', stroke: 'currentColor', strokeOpacity: 0.4 }),
      Plot.line(points, { x: 'members', y: 'accuracy', stroke: colors.validation, strokeWidth: 2 }),
      Plot.dot(points, { x: 'members', y: 'accuracy', fill: colors.validation }),
      Plot.tip(
        points,
        Plot.pointerX({
          x: 'members',
          y: 'accuracy',
          title: (one: (typeof points)[number]) =>
            `${one.members}: ${one.accuracy.toFixed(2)} % (${one.low.toFixed(1)} – ${one.high.toFixed(1)})`,
        }),
      ),
    ],
  });
}
