import { expect, test } from 'vitest';
import { modelsOfConfig } from './models-of-config.ts';

const args = (version: string, canary?: string) => ({ model_name: 'knn', model_version: version, ...(canary === undefined ? {} : { canary: { model_version: canary, weight: 10 } }) });

test('what serves comes before canaries, each name and version once, whichever group asks for it', () => {
  expect(modelsOfConfig({
    strategy: 'llmrouter-knn', strategyArgs: args('v1', 'v2'),
    strategies: { a: { strategy: 'llmrouter-mlp', args: { model_name: 'mlp' } }, b: { strategy: 'llmrouter-knn', args: args('v1') }, c: { strategy: 'llmrouter-knn', args: args('v3') } },
  })).toEqual({ named: [{ name: 'knn', version: 'v1' }, { name: 'mlp', version: undefined }, { name: 'knn', version: 'v3' }, { name: 'knn', version: 'v2' }], shipped: false });
});

test('strategies that do not learn want nothing, those that name no model the one that ships with the product', () => {
  expect(modelsOfConfig({ strategy: 'simple-shuffle', strategyArgs: args('v1'), strategies: {} })).toEqual({ named: [], shipped: false });
  expect(modelsOfConfig({ strategy: 'llmrouter-hybrid', strategyArgs: {}, strategies: {} })).toEqual({ named: [], shipped: true });
});
