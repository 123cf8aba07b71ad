/** How a simulated model behaves; every number can be overridden by `litellm_params`. */
export interface SimulatedModel {
  /** Time from the call to the first token, in milliseconds. */
  readonly ttftMs: number;
  /** Tokens a second after the first one; 0 = all at once. */
  readonly tokensPerSecond: number;
  /** How elaborate its answers are: what a person sees as quality. */
  readonly style: 'terse' | 'plain' | 'structured' | 'thorough';
}

/** The four models of a pod without provider keys: the better, the slower (and by the default configuration the dearer). */
export const SIMULATED_MODELS: ReadonlyMap<string, SimulatedModel> = new Map([
  ['swift', { ttftMs: 40, tokensPerSecond: 400, style: 'terse' }],
  ['steady', { ttftMs: 120, tokensPerSecond: 160, style: 'plain' }],
  ['sage', { ttftMs: 300, tokensPerSecond: 90, style: 'structured' }],
  ['oracle', { ttftMs: 600, tokensPerSecond: 60, style: 'thorough' }],
]);
