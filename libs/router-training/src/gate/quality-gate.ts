import { AppError } from '@pointsman/errors';
import { readManifest, MANIFEST_FILE } from '@pointsman/model-artifacts';
import type { ModelManifest } from '@pointsman/schemas';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { evaluateWindow, unseenRows, type EvaluateWindowOptions, type WindowReport } from '../off-policy/evaluate-window.ts';
import type { WindowRow } from '../off-policy/logged-decision.ts';

export interface GateLimits {
  /** How much quality (0 to 1) at equal cost may be lost at worst. */
  readonly margin: number;
  /** Drawn decisions that the candidate has not seen. */
  readonly minRows: number;
  /** Of the candidate's importance weights. */
  readonly minEffectiveRows: number;
}

export const DEFAULT_GATE_LIMITS: GateLimits = { margin: 0.02, minRows: 200, minEffectiveRows: 50 };

export interface GateCheck {
  readonly name: 'rows' | 'effective-rows' | 'candidates' | 'support' | 'quality';
  readonly passed: boolean;
  /** What was found and what was asked for, in words and numbers. */
  readonly reason: string;
  readonly value?: number | undefined;
  readonly limit?: number | undefined;
}

/** Whether a router may be promoted, and why. */
export interface GateVerdict {
  readonly passed: boolean;
  readonly candidate: { readonly name: string; readonly version: string };
  /** Undefined where the candidate is compared with what was done. */
  readonly serving: { readonly name: string; readonly version: string } | undefined;
  readonly limits: GateLimits;
  readonly checks: readonly GateCheck[];
  readonly warnings: readonly string[];
  /** Undefined where nothing could be estimated. */
  readonly report: WindowReport | undefined;
}

export interface RunGateOptions extends EvaluateWindowOptions {
  readonly limits?: Partial<GateLimits> | undefined;
}

/**
 * Refuses a router unless the lower end of the 95 % interval of (its quality − serving's quality) at equal cost is not below −margin, on rows that neither has
 * seen, of which there are enough, drawn widely enough. A verdict is a value: only what cannot be read throws.
 */
export async function runGate({ limits: given, rows, ...options }: RunGateOptions): Promise<GateVerdict> {
  const limits: GateLimits = { ...DEFAULT_GATE_LIMITS, ...Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== undefined)) };
  const candidate = await manifestOf(options.artifact);
  const serving = options.serving === undefined ? undefined : await manifestOf(options.serving);
  const unseen = unseenRows(rows, serving === undefined ? [candidate] : [candidate, serving]);
  try {
    return judgeReport(await evaluateWindow({ ...options, rows: unseen }), limits);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'nothing_drawn') throw error;
    const reason = `${error.message} (${String(rows.length)} rows in the window, ${String(unseen.length)} of them newer than what was learned from)`;
    return { passed: false, candidate: identity(candidate), serving: serving === undefined ? undefined : identity(serving), limits, checks: [candidateCheck(candidate, serving, offeredModels(rows)), { name: 'rows', passed: false, reason, value: 0, limit: limits.minRows }], warnings: [], report: undefined };
  }
}

/** The verdict on a report that is there already. */
export function judgeReport(report: WindowReport, limits: GateLimits = DEFAULT_GATE_LIMITS): GateVerdict {
  const { candidateManifest: candidate, servingManifest: serving, rows, certain, candidateAtEqualCost: same } = report;
  const { qualityAtEqualCost: gain } = report.difference;
  const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`;
  const effective = Math.min(same.effectiveRows, report.serving.effectiveRows);
  const isGood = gain.low >= -limits.margin;
  const checks: GateCheck[] = [
    candidateCheck(candidate, serving, Object.keys(same.shares)),
    { name: 'rows', passed: rows >= limits.minRows, value: rows, limit: limits.minRows, reason: `${String(rows)} decisions were drawn and judged that neither router learned from; ${String(limits.minRows)} are needed${certain === 0 ? '' : ` (${String(certain)} more were certain and tell nothing)`}` },
    { name: 'effective-rows', passed: effective >= limits.minEffectiveRows, value: effective, limit: limits.minEffectiveRows, reason: `they tell as much as ${effective.toFixed(0)} decisions of the routers' own; ${String(limits.minEffectiveRows)} are needed` },
    { name: 'support', passed: same.unsupported.length === 0, value: same.unsupported.length, limit: 0, reason: same.unsupported.length === 0 ? 'every model that the candidate would choose was tried' : `the candidate would choose ${same.unsupported.join(', ')}, which was hardly ever tried: nobody knows how good that would be` },
    {
      name: 'quality', passed: isGood, value: gain.low, limit: -limits.margin,
      reason: `at equal cost (${same.expectedCost.toPrecision(3)} against ${report.serving.expectedCost.toPrecision(3)} USD a request) quality changes by ${signed(gain.value)}, 95 % from ${signed(gain.low)} to ${signed(gain.high)}; `
        + (isGood ? `at worst no more than ${limits.margin.toFixed(4)} is lost` : `more than ${limits.margin.toFixed(4)} may be lost`),
    },
  ];
  return { passed: checks.every(({ passed }) => passed), candidate: identity(candidate), serving: serving === undefined ? undefined : identity(serving), limits, checks, warnings: report.warnings, report };
}

/** The verdict as rows of text, header first. */
export function gateTable({ checks }: GateVerdict): string[][] {
  return [['check', 'verdict', 'why'], ...checks.map(({ name, passed, reason }) => [name, passed ? 'passed' : 'REFUSED', reason])];
}

/** A model that serving routes to, or that was on offer, must have a column: without one it would be judged by belief. */
function candidateCheck(candidate: ModelManifest, serving: ModelManifest | undefined, offered: readonly string[]): GateCheck {
  const isTiered = ({ candidates }: ModelManifest): boolean => candidates.length === 2 && candidates.includes('weak') && candidates.includes('strong');
  const wanted = new Set([...(serving === undefined || isTiered(serving) ? [] : serving.candidates), ...offered]);
  const missing = isTiered(candidate) ? [] : [...wanted].filter((name) => !candidate.candidates.includes(name)).sort();
  return { name: 'candidates', passed: missing.length === 0, value: missing.length, limit: 0, reason: missing.length === 0 ? `it knows all ${String(wanted.size)} models` : `it was not trained on ${missing.join(', ')}` };
}

function offeredModels(rows: readonly WindowRow[]): readonly string[] {
  return [...new Set(rows.flatMap(({ decision }) => decision.candidates))];
}

function identity({ name, version }: ModelManifest): { readonly name: string; readonly version: string } {
  return { name, version };
}

async function manifestOf(directory: string): Promise<ModelManifest> {
  return readManifest(await readFile(join(directory, MANIFEST_FILE)));
}
