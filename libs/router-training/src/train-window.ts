import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { writeArtifact, type ArtifactFile } from '@pointsman/model-artifacts';
import { HEAD_FILE, VERIFIER_STRATEGY } from '@pointsman/routing';
import { modelCard } from './model-card.ts';
import { evaluateWindow, type WindowReport } from './off-policy/evaluate-window.ts';
import { windowSection, writeWindowReport } from './report/window-report.ts';
import { trainArtifact, type TrainArtifactOptions, type TrainedArtifact } from './train-artifact.ts';
import { splitByTime, type WindowData } from './window/read-window.ts';

export interface TrainWindowOptions extends Omit<TrainArtifactOptions, 'dataFiles' | 'rows' | 'limit' | 'datasetUri' | 'createdAt'> {
  /** What `readTraceWindow` read, with the embedder that is trained with. */
  readonly data: WindowData;
  /** Directory of the router that serves, to compare with; without it with what was done. */
  readonly serving?: string | undefined;
  readonly tradeoff?: number | undefined;
  /** Newest share of the rows that is not learned from; 0.2 by default. */
  readonly heldShare?: number | undefined;
  /** Where model card, report and plots go; none are written without it. */
  readonly reportDirectory?: string | undefined;
}

export interface TrainedWindow extends TrainedArtifact {
  readonly heldRows: number;
  /** On the rows held out; undefined where none of their choices was drawn. */
  readonly report: WindowReport | undefined;
  /** Why there is no report. */
  readonly problem: string | undefined;
}

const HELD_SHARE = 0.2;

/**
 * Trains on the older rows of a window, estimates on the newest ones what the router would get, and writes the artifact with both in its manifest and model card.
 * `created_at` is the time of the newest row learned from: what is newer, it has not seen. The same rows and seed give the same digest.
 * @throws AppError as `trainArtifact`; `not_trainable` for a verifier, which learns from answers that traces do not hold
 */
export async function trainWindow({ data, serving, tradeoff, heldShare = HELD_SHARE, reportDirectory, ...options }: TrainWindowOptions): Promise<TrainedWindow> {
  if ([VERIFIER_STRATEGY, 'automix'].includes(options.strategy)) throw new AppError('invalid_request', 'not_trainable', 'A verifier learns from answers, which traces do not hold: train it from files with {model}_response.');
  const { training, held } = splitByTime(data.rows, heldShare);
  const staging = await mkdtemp(join(tmpdir(), 'pointsman-train-'));
  try {
    const first = await trainArtifact({ ...options, outDirectory: join(staging, 'model'), rows: training.map(({ outcome }) => outcome), datasetUri: data.uri, signKey: undefined });
    const { report, problem } = await evaluateHeld({ artifact: join(staging, 'model'), serving, rows: held, tradeoff, seed: options.seed, minilmDirectory: options.minilmDirectory, signal: options.signal });
    const { files: _files, ...facts } = first.manifest;
    const manifest = { ...facts, training: { ...facts.training, metrics: { ...facts.training.metrics, holdout_rows: held.length, ...(report === undefined ? {} : holdoutMetrics(report)) } } };
    const card = `${modelCard({ ...manifest, modelBytes: first.modelBytes })}\n${report === undefined ? `## On requests it has not seen\n\nNothing can be told: ${problem ?? 'no rows were held out.'}\n` : windowSection(report)}`;
    const written = await writeArtifact(options.outDirectory, manifest, new Map<string, ArtifactFile>([[HEAD_FILE, { file: join(staging, 'model', HEAD_FILE) }], ['MODEL_CARD.md', Buffer.from(card)]]), options.signKey);
    if (reportDirectory !== undefined && report !== undefined) await writeWindowReport(reportDirectory, { ...report, candidateManifest: written.manifest }, card);
    return { ...first, ...written, heldRows: held.length, report, problem };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function evaluateHeld(options: Parameters<typeof evaluateWindow>[0]): Promise<{ readonly report: WindowReport | undefined; readonly problem: string | undefined }> {
  try {
    return { report: await evaluateWindow(options), problem: undefined };
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'nothing_drawn') throw error;
    return { report: undefined, problem: error.message };
  }
}

function holdoutMetrics({ rows, candidate, candidateAtEqualCost, serving, difference, calibration }: WindowReport): Record<string, number> {
  const total = calibration.reduce((sum, bin) => sum + bin.rows, 0);
  const metrics = {
    holdout_drawn_rows: rows, holdout_effective_rows: candidateAtEqualCost.effectiveRows, holdout_quality_dr: candidate.quality.dr.value, holdout_quality_snips: candidate.quality.snips.value, holdout_quality_ips: candidate.quality.ips.value,
    holdout_cost_usd: candidate.cost.dr.value, holdout_serving_quality_dr: serving.quality.dr.value, holdout_serving_cost_usd: serving.cost.dr.value,
    holdout_gain_at_equal_cost: difference.qualityAtEqualCost.value, holdout_gain_at_equal_cost_low: difference.qualityAtEqualCost.low, holdout_gain_at_equal_cost_high: difference.qualityAtEqualCost.high,
    holdout_ece: calibration.reduce((sum, bin) => sum + (bin.rows / total) * Math.abs(bin.predicted - bin.observed), 0),
  };
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, Number.isFinite(value) ? Number(value.toPrecision(8)) : 0]));
}
