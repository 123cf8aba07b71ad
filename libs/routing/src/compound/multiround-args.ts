import { believedQuality } from '../learned/believed-quality.ts';
import { numberArg, textArg } from '../strategy-args.ts';
import type { Candidate, RoutingInput, StrategyParts } from '../strategy.ts';
import type { Decomposition } from './compound.ts';

/** The limits of a decomposition, as `routing_strategy_args` set them. */
export interface MultiroundArgs {
  /** By model, group or deployment id; undefined: the cheapest. */
  readonly planner: string | undefined;
  /** Undefined: the one believed to be best. */
  readonly aggregator: string | undefined;
  readonly limits: Pick<Decomposition, 'maxParts' | 'maxCalls' | 'partsTimeoutMs' | 'maxCostUsd'>;
}

/** @throws AppError for arguments out of range. */
export function readMultiroundArgs(args: StrategyParts['args']): MultiroundArgs {
  const maxCostUsd = numberArg(args, 'max_cost_usd', { fallback: -1, min: 0 });
  const maxParts = Math.floor(numberArg(args, 'max_parts', { fallback: 4, min: 2, max: 8 }));
  return {
    planner: textArg(args, 'planner'), aggregator: textArg(args, 'aggregator'),
    limits: {
      maxParts, maxCalls: Math.floor(numberArg(args, 'max_calls', { fallback: maxParts + 2, min: 1, max: 16 })),
      partsTimeoutMs: numberArg(args, 'parts_timeout_ms', { fallback: 60_000, min: 10, max: 600_000 }), maxCostUsd: maxCostUsd < 0 ? undefined : maxCostUsd,
    },
  };
}

/**
 * Whether a question may be taken apart: one message of plain text. Tools, images and JSON need one model that sees all of it, and the parts of a conversation's
 * last message are not understood without the others.
 */
export function mayDecompose({ about }: RoutingInput): boolean {
  const input = about?.();
  return input !== undefined && input.turns === 1 && input.tools === 0 && input.images === 0 && !input.wantsJson && input.system === '';
}

/** Candidates with the named one in front, else best first by what is believed of them. */
export function aggregatorsOf(candidates: readonly Candidate[], name: string | undefined): readonly Candidate[] {
  const quality = believedQuality(candidates);
  const byQuality = candidates.map((candidate, index) => ({ candidate, quality: quality[index] ?? 0 })).sort((a, b) => b.quality - a.quality).map(({ candidate }) => candidate);
  const named = findNamed(byQuality, name);
  return named === undefined ? byQuality : [named, ...byQuality.filter((candidate) => candidate !== named)];
}

/** The named candidate, else the cheapest. */
export function plannerOf(candidates: readonly Candidate[], name: string | undefined): Candidate | undefined {
  const named = findNamed(candidates, name);
  if (named !== undefined) return named;
  const priceOf = ({ inputCostPerToken, outputCostPerToken }: Candidate): number => (inputCostPerToken === undefined && outputCostPerToken === undefined ? Infinity : (inputCostPerToken ?? 0) + (outputCostPerToken ?? 0));
  let cheapest: Candidate | undefined;
  for (const candidate of candidates) if (cheapest === undefined || priceOf(candidate) < priceOf(cheapest)) cheapest = candidate;
  return cheapest;
}

function findNamed(candidates: readonly Candidate[], name: string | undefined): Candidate | undefined {
  return name === undefined ? undefined : candidates.find(({ id, model, knownAs = [] }) => id === name || model === name || knownAs.includes(name));
}
