import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { CircuitBreakers } from './circuit-breakers.ts';

test('a name always gives the same breaker, and names that left are forgotten', () => {
  const breakers = new CircuitBreakers({ clock: new ManualClock() });
  const first = breakers.get('a');
  breakers.get('b');
  expect(breakers.get('a')).toBe(first);
  breakers.retain(new Set(['a']));
  expect(breakers.list().map(({ name }) => name)).toEqual(['a']);
  expect(breakers.get('a')).toBe(first);
});

test('a reload changes the limits of breakers that exist and of those to come', () => {
  const changes: string[] = [];
  const breakers = new CircuitBreakers({ clock: new ManualClock(), failures: 5, onChange: ({ name, state }) => changes.push(`${name} ${state}`) });
  const old = breakers.get('old');
  breakers.configure({ failures: 1, halfOpenAfterMs: 1_000 });
  old.tryAcquire()?.failed();
  breakers.get('new').tryAcquire()?.failed();
  expect(changes).toEqual(['old open', 'new open']);
});

test('a name like __proto__ is a name', () => {
  const breakers = new CircuitBreakers({ clock: new ManualClock() });
  expect(breakers.get('__proto__').name).toBe('__proto__');
  expect(breakers.list()).toHaveLength(1);
});
