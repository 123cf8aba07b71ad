import type { Candidate } from '../strategy.ts';

/** Several models for one answer: how is up to the strategy, doing it up to dispatch. */
export type Compound = Cascade | Decomposition;

/** Ask, look at the answer, ask a dearer one if it will not do. */
export interface Cascade {
  readonly kind: 'cascade';
  /** Models whose answers are looked at or given, the last one included; at least 2. Calls that failed do not count. */
  readonly maxAnswers: number;
  /** Who may be asked after `by`, best first; empty where its answer is the last word. */
  dearerThan(by: Candidate): readonly Candidate[];
  /** Characters of an answer that are held back for a verdict at most; a longer one is released as it is. */
  readonly holdLength: number;
  /** Milliseconds for a verdict; past them the answer is accepted. */
  readonly verdictTimeoutMs: number;
  /** Looks at an answer. Must not wait for a model of a provider. */
  judge(answer: HeldAnswer): Verdict | Promise<Verdict>;
}

/** An answer that nobody has seen yet. */
export interface HeldAnswer {
  readonly question: string;
  readonly answer: string;
  /** Why the model stopped, in the words of its format; undefined where it did not say. */
  readonly finishReason: string | undefined;
  /** A call of tools: not an answer in words. */
  readonly isToolCall: boolean;
  /** JSON was asked for. */
  readonly wantsJson: boolean;
  readonly by: Candidate;
  /** Who would be asked next. */
  readonly next: Candidate;
}

/** Why an answer was accepted or not. */
export type VerdictReason =
  /** A model looked at it. */
  | 'verifier'
  /** Nothing is wrong with it that can be seen without a model. */
  | 'plain'
  | 'empty' | 'refusal' | 'truncated' | 'wrong_arithmetic' | 'not_json'
  /** Accepted without a look. */
  | 'tool_call' | 'too_long' | 'verdict_failed';

export interface Verdict {
  readonly escalate: boolean;
  readonly reason: VerdictReason;
  /** Predicted gain in quality by asking the next one, −1 to 1; undefined where no model looked at it. */
  readonly gain: number | undefined;
  /** Of the model that looked at it; ''. */
  readonly modelVersion: string;
}

/** Take the question apart, have the parts answered, have one model answer with what they found. */
export interface Decomposition {
  readonly kind: 'decomposition';
  /** The parts, where a rule found them: two and more. */
  readonly parts?: readonly string[] | undefined;
  /** Else who is asked to find them. */
  readonly planner?: Candidate | undefined;
  /** Who answers in the end, best first: all candidates. */
  readonly aggregators: readonly Candidate[];
  /** Parts at most. */
  readonly maxParts: number;
  /** Calls at most, planner and aggregator included. */
  readonly maxCalls: number;
  /** Milliseconds until the parts must be there; what is missing then is left out. */
  readonly partsTimeoutMs: number;
  /** USD that planner and parts may cost together before no further one is asked; undefined = no limit. */
  readonly maxCostUsd: number | undefined;
}
