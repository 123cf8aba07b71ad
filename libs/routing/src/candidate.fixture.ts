import { DeploymentStats } from './deployment-stats.ts';
import type { Candidate, RoutingInput } from './strategy.ts';

/** Half past a minute of the wall clock, so that a test can stay within one. */
export const FIXTURE_NOW_MS = 1_700_000_070_000;

/** A candidate of which nothing is known but its id, for tests. */
export function candidate(id: string, known: Partial<Candidate> = {}): Candidate {
  return {
    id,
    group: 'chat',
    model: `openai/${id}`,
    provider: 'openai',
    weight: undefined,
    rpm: undefined,
    tpm: undefined,
    order: undefined,
    tags: [],
    inputCostPerToken: undefined,
    outputCostPerToken: undefined,
    maxInputTokens: undefined,
    stats: new DeploymentStats(),
    ...known,
  };
}

export function candidates(count: number, known: (index: number) => Partial<Candidate> = () => ({})): readonly Candidate[] {
  return Array.from({ length: count }, (_, index) => candidate(`deployment-${index}`, known(index)));
}

/** A short question, for tests. */
export function routingInput(about: readonly Candidate[], more: Partial<RoutingInput> = {}): RoutingInput {
  const prompt = 'Prove that the square root of two is irrational.';
  return { candidates: about, prompt: () => prompt, promptTokens: () => prompt.length / 4, user: undefined, traceId: '0af7651916cd43dd8448eb211c80319c', ...more };
}

export interface Traffic {
  readonly inFlight?: number;
  readonly tokens?: number;
  readonly msPerToken?: number;
  readonly ttftMs?: number;
}

/** Stats as traffic in the minute of `FIXTURE_NOW_MS` leaves them. */
export function statsAfter({ inFlight = 0, tokens = 0, msPerToken, ttftMs }: Traffic): DeploymentStats {
  const stats = new DeploymentStats();
  if (tokens > 0 || msPerToken !== undefined || ttftMs !== undefined) {
    stats.begin(FIXTURE_NOW_MS);
    const latencyMs = msPerToken === undefined ? undefined : msPerToken * 10;
    stats.end({ nowMs: FIXTURE_NOW_MS, latencyMs, ttftMs, tokens, completionTokens: 10, ok: true });
  }
  for (let call = 0; call < inFlight; call += 1) stats.begin(FIXTURE_NOW_MS);
  return stats;
}
