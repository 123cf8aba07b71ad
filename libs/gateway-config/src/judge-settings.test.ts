import { expect, test } from 'vitest';
import { parseGatewayConfig } from './parse-gateway-config.ts';

const MODELS = 'model_list: [{ model_name: referee, litellm_params: { model: openai/gpt-4o, api_key: x } }]\n';

function judgeOf(judge: string): ReturnType<typeof parseGatewayConfig>['config']['router']['judge'] {
  return parseGatewayConfig({ files: [{ path: 'c', text: `${MODELS}router_settings:\n  judge: ${judge}\n` }], env: {}, providerIds: new Set(['openai']) }).config.router.judge;
}

test('there is no judge unless it is configured; then a hundredth of the requests for a dollar a day', () => {
  expect(parseGatewayConfig({ files: [{ path: 'c', text: MODELS }], env: {}, providerIds: new Set(['openai']) }).config.router.judge).toBeUndefined();
  expect(judgeOf('{ model: referee }')).toEqual({ model: 'referee', sampleRate: 0.01, maxUsdPerDay: 1, secondCandidate: 'random', rubric: undefined });
});

test.each([
  ['{ sample_rate: 0.5 }', /judge.model/], ['{ model: nobody }', /judge.model/], ['{ model: referee, sample_rate: 2 }', /sample_rate/],
  ['{ model: referee, max_usd_per_day: -1 }', /max_usd_per_day/], ['{ model: referee, second_candidate: best }', /second_candidate/], ['{ model: referee, sample_rat: 0.1 }', /sample_rate/],
])('%s is refused by name', (judge, problem) => {
  expect(() => judgeOf(judge)).toThrow(problem);
});
