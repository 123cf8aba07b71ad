import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { candidates, routingInput } from './candidate.fixture.ts';
import { createStrategy, isStrategyName, strategyDefinition, strategyNames } from './registry.ts';
import { seededRandom } from './seeded-random.ts';

const parts = { random: seededRandom(1), now: () => 0, args: {} };

test('every folder of strategies/ is registered, and every one of LiteLLM is there', () => {
  const folders = readdirSync(new URL('./strategies', import.meta.url));
  for (const folder of folders) expect(strategyNames).toContain(folder);
  for (const name of ['simple-shuffle', 'least-busy', 'usage-based-routing', 'usage-based-routing-v2', 'latency-based-routing', 'cost-based-routing']) {
    expect(strategyNames).toContain(name);
  }
});

test.each(strategyNames)('%s loads and decides', async (name) => {
  const strategy = await createStrategy(name, parts);
  expect((await strategy.decide(routingInput(candidates(3)))).order).toHaveLength(3);
});

test('an unknown strategy is refused with the known ones named, also when it is called __proto__', async () => {
  for (const name of ['nope', '__proto__', 'constructor', 'toString']) {
    expect(isStrategyName(name)).toBe(false);
    expect(strategyDefinition(name)).toBeUndefined();
    await expect(createStrategy(name, parts)).rejects.toMatchObject({ code: 'unknown_strategy', message: expect.stringContaining('simple-shuffle') as string });
  }
});

test('an argument inherited from a prototype is not an argument', async () => {
  const args = Object.create({ ttl: 'poison' }) as Record<string, unknown>;
  await expect(createStrategy('latency-based-routing', { ...parts, args })).resolves.toBeDefined();
  await expect(createStrategy('latency-based-routing', { ...parts, args: { ttl: 'poison' } })).rejects.toMatchObject({ code: 'invalid_strategy_argument' });
});
