import { expect, test } from 'vitest';
import { candidates, routingInput, statsAfter } from '../../candidate.fixture.ts';
import { seededRandom } from '../../seeded-random.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import { createStrategy } from './least-busy.ts';

strategyConformance('least-busy', createStrategy);

test('the fewest requests under way come first, equals share', async () => {
  const about = candidates(4, (index) => ({ stats: statsAfter({ inFlight: [3, 1, 0, 1][index] ?? 0 }) }));
  const strategy = createStrategy({ random: seededRandom(1), now: () => 0, args: {} });
  const idle = await strategy.decide(routingInput(about));
  expect(idle.order.map(({ stats }) => stats.inFlight)).toEqual([0, 1, 1, 3]);
  expect(idle.scores).toEqual([0, -1, -1, -3]);
  expect(idle.propensity).toBe(1);
  about[2]?.stats.begin(0);
  expect((await strategy.decide(routingInput(about))).propensity).toBeCloseTo(1 / 3);
});
