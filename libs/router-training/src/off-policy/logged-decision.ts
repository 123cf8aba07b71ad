import type { OutcomeRow } from '../dataset/outcome-row.ts';

/** One decision of the router that served, with what is known of how it went. */
export interface LoggedDecision {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly strategy: string;
  readonly modelVersion: string;
  /** Models that were offered, each once. */
  readonly candidates: readonly string[];
  /** One of `candidates`. */
  readonly selected: string;
  /** Deployments of the selected model among those offered: the propensity is of one of them. */
  readonly copies: number;
  /** Probability with which the selected deployment was drawn: above 0, at most 1. */
  readonly propensity: number;
  /** Quality of the answer, 0 to 1. */
  readonly reward: number;
  /** What the request cost, USD; undefined where nobody knows a price. */
  readonly costUsd: number | undefined;
  /** How many requests this one stands for, relative to others: failures are always known, verdicts of people only sometimes. */
  readonly sampleWeight: number;
}

/** A trace row as training and as evaluation see it. */
export interface WindowRow {
  readonly outcome: OutcomeRow;
  readonly decision: LoggedDecision;
}
