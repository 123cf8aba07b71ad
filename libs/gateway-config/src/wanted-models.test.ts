import { expect, test } from 'vitest';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { wantedModels } from './wanted-models.ts';

test('the model and version of the router, its canary, and those of single groups are wanted', () => {
  const { models, problems } = wantedModels(`
model_list: not even a list
router_settings:
  routing_strategy: llmrouter-knn
  routing_strategy_args: { model_name: knn-router, model_version: v42, canary: { model_version: v43, weight: 10 } }
  strategies:
    code: { routing_strategy: llmrouter-knn, routing_strategy_args: { model_name: knn-router, model_version: v40 } }
    chat: { routing_strategy: llmrouter-mf, routing_strategy_args: { model_name: mf-router, model_version: v1 } }
    same: { routing_strategy: llmrouter-knn, routing_strategy_args: { model_name: knn-router, model_version: v42 } }
    shared: simple-shuffle
`);
  expect(problems).toEqual([]);
  expect(models).toEqual([{ name: 'knn-router', version: 'v42', others: ['v40', 'v43'] }, { name: 'mf-router', version: 'v1', others: [] }]);
});

test('nothing is wanted where no version is named', () => {
  expect(wantedModels('model_list: []').models).toEqual([]);
  expect(wantedModels('router_settings: { routing_strategy_args: { model_name: knn-router } }').models).toEqual([]);
  expect(wantedModels('router_settings: { routing_strategy_args: { model_version: v42 } }').models).toEqual([]);
  expect(wantedModels('router_settings: { routing_strategy_args: 5, strategies: [] }').models).toEqual([]);
});

test('names and versions may come from the environment, also from that of the file', () => {
  const text = 'environment_variables: { ROUTER: mf-router }\nrouter_settings: { routing_strategy_args: { model_name: os.environ/ROUTER, model_version: os.environ/ROUTER_VERSION } }';
  expect(wantedModels(text, { ROUTER_VERSION: 'v7' }).models).toEqual([{ name: 'mf-router', version: 'v7', others: [] }]);
  expect(wantedModels(text, {}).models).toEqual([]);
});

test('what is no name or version is told with its place, and leaves out only itself', () => {
  const { models, problems } = wantedModels('router_settings:\n  routing_strategy_args: { model_name: knn-router, model_version: v42, canary: { model_version: 43 } }\n  strategies: { a: { routing_strategy_args: { model_name: ../../etc, model_version: v1 } } }\n');
  expect(models).toEqual([{ name: 'knn-router', version: 'v42', others: [] }]);
  expect(problems).toMatchObject([
    { path: 'router_settings.routing_strategy_args.canary.model_version', line: 2 },
    { path: 'router_settings.strategies.a.routing_strategy_args.model_name', line: 3, message: expect.stringContaining('expected a name') as string },
  ]);
});

test('included files count, and text that is no YAML is refused', () => {
  const files = [{ path: 'config.yaml', text: 'include: [router.yaml]\n' }, { path: 'router.yaml', text: 'router_settings: { routing_strategy_args: { model_name: a, model_version: v1 } }\n' }];
  expect(wantedModels(files).models).toEqual([{ name: 'a', version: 'v1', others: [] }]);
  expect(() => wantedModels('a: [')).toThrow(ConfigRejectedError);
});
