import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { temporaryDirectory } from '@pointsman/testing';
import { ManualClock, systemClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { candidate, routingInput } from '../../candidate.fixture.ts';
import { Decider, type Decision } from '../../decide.ts';
import { learnedConformance } from '../../learned/learned-strategy.conformance.ts';
import { seededRandom } from '../../seeded-random.ts';
import type { Strategy, StrategyParts } from '../../strategy.ts';
import { createStrategy } from './llmrouter-custom.ts';

learnedConformance('llmrouter-custom', createStrategy);

const two = [candidate('first'), candidate('second')];

async function fromModule(source: string, parts: Partial<StrategyParts> = {}, name: (path: string) => string = (path) => path): Promise<Strategy> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'strategy.mjs');
  await writeFile(path, source);
  return await createStrategy({ random: seededRandom(1), now: () => 0, modules: { allowed: true, directory: directory.path }, ...parts, args: { module: name(path), ...parts.args } });
}

const deciding = (body: string): string => `export default function createStrategy(parts) { return { name: 'mine', decide(input) { ${body} } }; }`;
const LAST_FIRST = 'return { order: input.candidates.toReversed(), scores: input.candidates.map(() => 1), strategy: "simple-shuffle", modelVersion: "mine-1", propensity: 1 };';

test.each<[string, (path: string) => string]>([['an absolute path', (path) => path], ['a file URL', (path) => pathToFileURL(path).href], ['a path beside the configuration', () => './strategy.mjs']])('a module by %s decides, under the name of this strategy', async (_, name) => {
  const strategy = await fromModule(deciding(LAST_FIRST), {}, name);
  const decision = await strategy.decide(routingInput(two));
  expect(decision).toMatchObject({ strategy: 'llmrouter-custom', modelVersion: 'mine-1', propensity: 1 });
  expect(decision.order.map(({ id }) => id)).toEqual(['second', 'first']);
});

test('a module gets its arguments, and may be asynchronous', async () => {
  const source = 'export default async ({ args }) => ({ decide: async ({ candidates }) => ({ order: candidates, scores: candidates.map(() => args.score), strategy: "", modelVersion: "", propensity: 1 }) });';
  expect((await (await fromModule(source, { args: { score: 7 } })).decide(routingInput(two))).scores).toEqual([7, 7]);
});

test('a module is not loaded unless the operator allowed code', async () => {
  for (const modules of [undefined, { allowed: false }]) await expect(fromModule('globalThis.loadedAnyway = true;', { modules })).rejects.toThrow(/ALLOW_CUSTOM_STRATEGY_MODULES=true/);
  expect(globalThis).not.toHaveProperty('loadedAnyway');
});

test.each<[string, string, RegExp]>([
  ['throws while it loads', 'throw new Error("no database");', /no database/], ['has no default export', 'export const createStrategy = () => ({});', /default export/], ['makes nothing', 'export default () => undefined;', /makes no strategy/],
  ['makes something else', 'export default () => ({ choose() {} });', /makes no strategy/], ['throws when it is made', 'export default () => { throw new TypeError("bad argument"); };', /bad argument/], ['is no JavaScript', 'export default {', /cannot be loaded/],
])('a module that %s is refused with the reason', async (_, source, message) => {
  await expect(fromModule(source)).rejects.toMatchObject({ code: 'invalid_strategy_argument', message: expect.stringMatching(message) as string });
});

test.each([['https://example.com/strategy.mjs', /must be a file/], ['data:text/javascript,1', /must be a file/], ['file://elsewhere/strategy.mjs', /file URL/], ['/nowhere/strategy.mjs', /cannot be loaded/]])('%s is refused', async (name, message) => {
  await expect(fromModule('', {}, () => name)).rejects.toThrow(message);
});

test('a relative path needs the folder of the configuration, and a module no model beside it', async () => {
  await expect(fromModule('', { modules: { allowed: true } }, () => 'strategy.mjs')).rejects.toThrow(/absolute path/);
  await expect(fromModule('', { args: { model_name: 'router' } })).rejects.toThrow(/model_name/);
});

test.each<[string, string, Decision['problem']]>([
  ['throws', 'throw new Error("oh");', 'threw'], ['rejects', 'return Promise.reject(new Error("oh"));', 'threw'], ['answers nothing', 'return undefined;', 'threw'], ['answers a text', 'return "first";', 'not-a-permutation'],
  ['forgets a candidate', 'return { order: [input.candidates[0]], scores: [1], propensity: 1 };', 'not-a-permutation'], ['makes candidates up', 'return { order: [{}, {}], scores: [1, 1], propensity: 1 };', 'not-a-permutation'],
  ['scores with NaN', 'return { order: input.candidates, scores: [NaN, 1], propensity: 1 };', 'bad-scores'], ['names no propensity', 'return { order: input.candidates, scores: [1, 1] };', 'bad-propensity'],
  ['never answers', 'return new Promise(() => undefined);', 'timeout'],
])('a module that %s costs the request its choice, not its answer', async (_, body, problem) => {
  const strategy = await fromModule(deciding(body));
  const decider = new Decider({ strategy, clock: problem === 'timeout' ? systemClock : new ManualClock(), timeoutMs: 20 });
  const decision = await decider.decide(routingInput(two));
  expect(decision).toMatchObject({ strategy: 'default-order', problem });
  expect(decision.order).toEqual(two);
});
