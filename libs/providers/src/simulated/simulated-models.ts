/** How a simulated model behaves; every number can be overridden by `litellm_params`. */
export interface SimulatedModel {
  /** Time from the call to the first token, in milliseconds. */
  readonly ttftMs: number;
  /** Tokens a second after the first one; 0 = all at once. */
  readonly tokensPerSecond: number;
  /** How elaborate its answers are: what a person sees as quality. */
  readonly style: 'terse' | 'plain' | 'structured' | 'thorough';
}

/**
 * The four models of a pod without provider keys: the better, the slower (and by the default configuration the dearer).
 * The slowest still answers whole within about a second: a first request must not seem to hang.
 */
export const SIMULATED_MODELS: ReadonlyMap<string, SimulatedModel> = new Map([
  ['swift', { ttftMs: 30, tokensPerSecond: 800, style: 'terse' }],
  ['steady', { ttftMs: 80, tokensPerSecond: 400, style: 'plain' }],
  ['sage', { ttftMs: 160, tokensPerSecond: 250, style: 'structured' }],
  ['oracle', { ttftMs: 320, tokensPerSecond: 160, style: 'thorough' }],
]);
