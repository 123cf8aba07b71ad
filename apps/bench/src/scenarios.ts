/** What is asked of every contestant. */
export interface Scenario {
  readonly name: ScenarioName;
  readonly title: string;
  readonly connections: number;
  readonly stream: boolean;
  /** Characters of the user's message. */
  readonly promptCharacters: number;
}

export const scenarioNames = ['short', 'stream', 'long-prompt'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  short: { name: 'short', title: 'Short chat completions, 32 connections', connections: 32, stream: false, promptCharacters: 120 },
  stream: { name: 'stream', title: 'Streams of 100 chunks, 16 connections', connections: 16, stream: true, promptCharacters: 120 },
  'long-prompt': { name: 'long-prompt', title: 'Prompts of 36 KB, 16 connections', connections: 16, stream: false, promptCharacters: 36 * 1024 },
};

/** How much a contestant is asked per slice: slow ones get fewer requests, so that all slices take a second or two. */
export type Pace = 'fast' | 'medium' | 'slow';

/** Requests of one slice, in a full run. */
export const requestsPerSlice: Readonly<Record<ScenarioName, Readonly<Record<Pace, number>>>> = {
  short: { fast: 6_000, medium: 1_200, slow: 96 },
  stream: { fast: 320, medium: 160, slow: 16 },
  'long-prompt': { fast: 4_000, medium: 600, slow: 64 },
};

/**
 * Requests that warm a contestant up before a scenario's first counted slice. V8 goes on compiling, and the heap growing, for about
 * 25,000 short requests; what is measured earlier is two to four times too slow.
 */
export const warmUpRequests: Readonly<Record<ScenarioName, Readonly<Record<Pace, number>>>> = {
  short: { fast: 30_000, medium: 10_000, slow: 200 },
  stream: { fast: 500, medium: 200, slow: 32 },
  'long-prompt': { fast: 8_000, medium: 1_500, slow: 150 },
};
