import { expect, test } from 'vitest';
import { editModelVersion, modelUse } from './edit-model-version.ts';

const TEXT = `# the gateway of prod
model_list:
  - { model_name: auto, litellm_params: { model: openai/gpt-4o } } # ours
router_settings:
  routing_strategy: llmrouter-knn
  routing_strategy_args:
    # who changes this rolls out
    model_name: knn-router
    model_version: v42 # good
    quality_cost_tradeoff: 0.5
  strategies:
    other: { routing_strategy: llmrouter-svm, routing_strategy_args: { model_name: svm, model_version: v1 } }
litellm_settings: { drop_params: true } # last
`;

test('a canary is added and the version promoted; comments and order stay, and other models', () => {
  const canary = editModelVersion(TEXT, 'knn-router', { canary: { version: 'v43', weight: 5 } });
  expect(canary).toBe(TEXT.replace('v42 # good\n', 'v42 # good\n    canary: { model_version: v43, weight: 5 }\n'));
  expect(modelUse(canary, 'knn-router')).toEqual({ places: ['router_settings'], version: 'v42', canary: { version: 'v43', weight: 5 } });
  expect(editModelVersion(editModelVersion(canary, 'knn-router', { canary: { version: 'v43', weight: 50 } }), 'knn-router', { version: 'v43', canary: null })).toBe(TEXT.replace('model_version: v42 # good', 'model_version: v43 # good'));
  expect(editModelVersion(canary, 'knn-router', { canary: null })).toBe(TEXT);
  expect(modelUse(editModelVersion(TEXT, 'svm', { version: 'v2' }), 'svm')).toMatchObject({ places: ['other'], version: 'v2' });
});

test('not a blank of anything else changes; what is written in another way means the same', () => {
  const odd = 'a:    1\n\n\nrouter_settings:\n    routing_strategy_args:   {model_name:   m,   model_version: v1,other: [ 1,2 ]}   # here\n# at the end';
  const canary = editModelVersion(odd, 'm', { canary: { version: 'v2', weight: 5 } });
  expect(canary).toBe(odd.replace('v1', 'v1, canary: { model_version: v2, weight: 5 }'));
  expect(editModelVersion(canary, 'm', { canary: null })).toBe(odd);
  const block = 'router_settings:\n  routing_strategy_args:\n    canary:\n      model_version: v2\n      weight: 5\n    model_name: m\n    model_version: "v1"\n';
  expect(modelUse(editModelVersion(block, 'm', { version: 'v2', canary: null }), 'm')).toEqual({ places: ['router_settings'], version: 'v2', canary: undefined });
  expect(modelUse(editModelVersion(block, 'm', { canary: { version: 'v2', weight: 50 } }), 'm')).toMatchObject({ version: 'v1', canary: { version: 'v2', weight: 50 } });
  const without = 'router_settings:\n  routing_strategy_args:\n    model_name: m';
  expect(editModelVersion(without, 'm', { version: 'v1' })).toBe(`${without}\n    model_version: v1`);
});

test('JSON is YAML too', () => {
  const text = JSON.stringify({ router_settings: { routing_strategy_args: { model_name: 'm', model_version: 'v1' } } });
  expect(JSON.parse(editModelVersion(text, 'm', { version: 'v2' }))).toEqual({ router_settings: { routing_strategy_args: { model_name: 'm', model_version: 'v2' } } });
  expect(modelUse(editModelVersion(text, 'm', { canary: { version: 'v2', weight: 10 } }), 'm')).toMatchObject({ canary: { version: 'v2', weight: 10 } });
});

test('what groups share by an alias is changed once; uses that differ are refused; a model nobody uses is not found', () => {
  const shared = 'router_settings:\n  routing_strategy_args: &args { model_name: m, model_version: v1 }\n  strategies:\n    a: { routing_strategy: llmrouter-knn, routing_strategy_args: *args }\n';
  expect(editModelVersion(shared, 'm', { version: 'v2' })).toBe(shared.replace('v1', 'v2'));
  const differs = 'router_settings:\n  routing_strategy_args: { model_name: m, model_version: v1 }\n  strategies: { a: { routing_strategy_args: { model_name: m, model_version: v2 } } }\n';
  expect(() => modelUse(differs, 'm')).toThrow(/differently/);
  expect(modelUse(TEXT, 'nobody')).toBeUndefined();
  expect(() => editModelVersion(TEXT, 'nobody', { version: 'v2' })).toThrow(/model_name: nobody/);
  expect(() => modelUse('a: [', 'm')).toThrow(/no YAML/);
});
