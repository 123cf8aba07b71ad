import { AppError } from '@pointsman/errors';
import type { Clock } from '@pointsman/timing';
import { decisionFlaw, type DecisionFlaw } from './check-decision.ts';
import { orderGroups } from './order-groups.ts';
import type { Candidate, RoutingDecision, RoutingInput, Strategy } from './strategy.ts';

/** Why the default order was used instead of the strategy's. */
export type DecisionProblem = DecisionFlaw | 'threw' | 'timeout';

/** A decision as dispatch, spans and training rows take it. */
export interface Decision extends RoutingDecision {
  /** Milliseconds, with a fraction, that the decision took. */
  readonly tookMs: number;
  /** Set when the strategy did not deliver; then `strategy` is `default-order`. */
  readonly problem: DecisionProblem | undefined;
}

export interface DeciderOptions {
  readonly strategy: Strategy;
  readonly clock: Clock;
  /** `decision_timeout_ms`. Bounds strategies that return a promise; one that computes without a pause cannot be interrupted. */
  readonly timeoutMs?: number;
  /** Called for every decision that fell back to the default order, with what was thrown, if anything. Must not throw. */
  readonly onProblem?: (problem: DecisionProblem, strategy: string, cause: unknown) => void;
}

/** The strategy label of decisions that no strategy made. Such rows must not train anything. */
export const DEFAULT_ORDER = 'default-order';

const DEFAULT_TIMEOUT_MS = 50;

/**
 * Asks a strategy and trusts nothing: a strategy that throws, is late, or returns something that is no order of the
 * candidates costs the request its choice, never its answer. The default order is `order`, then as configured.
 *
 * Here, once for all strategies: `litellm_params.order`. A strategy is asked about each group of equal `order` by
 * itself, so that scores and propensity are about a choice that it really had.
 */
export class Decider {
  readonly #strategy: Strategy;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onProblem: ((problem: DecisionProblem, strategy: string, cause: unknown) => void) | undefined;

  constructor({ strategy, clock, timeoutMs = DEFAULT_TIMEOUT_MS, onProblem }: DeciderOptions) {
    this.#strategy = strategy;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#onProblem = onProblem;
  }

  get strategyName(): string {
    return this.#strategy.name;
  }

  /**
   * A promise only when the strategy returns one: the built-in ones answer at once, and an await costs a request more
   * than they do. Throws an AppError only when there is no candidate at all.
   */
  decide(input: RoutingInput): Decision | Promise<Decision> {
    const { candidates } = input;
    if (candidates.length === 0) throw new AppError('unavailable', 'no_candidates', 'No deployment can serve this request now.');
    if (candidates.length === 1) {
      return { order: candidates, scores: [1], strategy: this.#strategy.name, modelVersion: '', propensity: 1, tookMs: 0, problem: undefined };
    }
    const startedAt = this.#clock.monotonic();
    let outcome: RoutingDecision | Promise<RoutingDecision>;
    try {
      const groups = orderGroups(candidates);
      outcome = groups === undefined ? this.#strategy.decide(input) : this.#decideByGroup(groups, input);
    } catch (thrown) {
      return this.#defaultDecision(candidates, startedAt, 'threw', thrown);
    }
    return isPromise(outcome) ? this.#within(outcome, candidates, startedAt) : this.#checked(outcome, candidates, startedAt);
  }

  #decideByGroup(groups: readonly (readonly Candidate[])[], input: RoutingInput): RoutingDecision | Promise<RoutingDecision> {
    const outcomes: (RoutingDecision | Promise<RoutingDecision>)[] = [];
    try {
      for (const group of groups) outcomes.push(this.#strategy.decide(about(group, input)));
    } catch (thrown) {
      // The groups already asked may still reject; their owner is gone.
      for (const outcome of outcomes) if (isPromise(outcome)) outcome.catch(() => undefined);
      throw thrown;
    }
    return outcomes.some(isPromise) ? Promise.all(outcomes).then(joined) : joined(outcomes as RoutingDecision[]);
  }

  #within(outcome: Promise<RoutingDecision>, candidates: readonly Candidate[], startedAt: number): Promise<Decision> {
    return new Promise((resolve) => {
      let isOver = false;
      const finish = (decision: () => Decision): void => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        resolve(decision());
      };
      const timer = setTimeout(() => finish(() => this.#defaultDecision(candidates, startedAt, 'timeout', undefined)), this.#timeoutMs);
      outcome.then(
        (decision) => finish(() => this.#checked(decision, candidates, startedAt)),
        (thrown: unknown) => finish(() => this.#defaultDecision(candidates, startedAt, 'threw', thrown)),
      );
    });
  }

  #checked(decision: RoutingDecision, candidates: readonly Candidate[], startedAt: number): Decision {
    let flaw: DecisionProblem | undefined;
    try {
      flaw = decisionFlaw(decision, candidates);
    } catch (thrown) {
      return this.#defaultDecision(candidates, startedAt, 'threw', thrown); // not even an object
    }
    if (flaw !== undefined) return this.#defaultDecision(candidates, startedAt, flaw, undefined);
    const { order, scores, strategy, modelVersion, propensity, explained, compound, features, embedder, kept } = decision;
    return { order, scores, strategy, modelVersion, propensity, explained, compound, features, embedder, kept, tookMs: this.#clock.monotonic() - startedAt, problem: undefined };
  }

  #defaultDecision(candidates: readonly Candidate[], startedAt: number, problem: DecisionProblem, cause: unknown): Decision {
    this.#onProblem?.(problem, this.#strategy.name, cause);
    return {
      order: orderGroups(candidates)?.flat() ?? candidates,
      scores: candidates.map(() => 0),
      strategy: DEFAULT_ORDER,
      modelVersion: '',
      propensity: 1,
      tookMs: this.#clock.monotonic() - startedAt,
      problem,
    };
  }
}

/** The same question about fewer candidates. Methods are called on the original, which may be a class. */
function about(candidates: readonly Candidate[], input: RoutingInput): RoutingInput {
  return {
    candidates,
    prompt: () => input.prompt(),
    promptTokens: () => input.promptTokens(),
    user: input.user,
    traceId: input.traceId,
    stream: input.stream,
    ...(input.about === undefined ? {} : { about: input.about.bind(input) }),
    ...(input.session === undefined ? {} : { session: input.session.bind(input) }),
  };
}

/** The first group holds the choice; the others are what is left to fall back on. */
function joined(decisions: readonly RoutingDecision[]): RoutingDecision {
  const [first] = decisions;
  if (first === undefined) throw new Error('A decision needs at least one group of candidates.');
  return {
    ...first,
    order: decisions.flatMap(({ order }) => order),
    scores: decisions.flatMap(({ scores }) => scores),
    explained: joinedExplanations(decisions),
  };
}

function joinedExplanations(decisions: readonly RoutingDecision[]): RoutingDecision['explained'] {
  const all = decisions.flatMap(({ explained }) => explained ?? []);
  const [first] = all;
  if (first === undefined || all.length !== decisions.length) return undefined;
  return { ...first, quality: all.flatMap(({ quality }) => quality), costUsd: all.flatMap(({ costUsd }) => costUsd) };
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
