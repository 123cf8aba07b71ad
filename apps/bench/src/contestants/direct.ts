import type { Contestant } from './contestant.ts';

/** No proxy: what load generator and upstream reach on their own. */
export const direct: Contestant = {
  name: 'direct',
  about: 'no proxy: the ceiling of load generator and upstream',
  pace: 'fast',
  quick: true,
  defersWork: false,
  prepare: async () => undefined,
  start: async ({ upstreamUrl }) => ({ baseUrl: upstreamUrl, headers: { authorization: 'Bearer sk-bench' }, pid: undefined, stop: async () => undefined }),
};
