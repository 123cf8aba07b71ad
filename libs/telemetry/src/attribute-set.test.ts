import { expect, test } from 'vitest';
import { AttributeSet, AttributeSets } from './attribute-set.ts';

test('a set is found by the words it was kept under and by no others, however they are split', () => {
  const sets = new AttributeSets();
  const set = sets.keep(AttributeSet.of({ a: 1 }), 'a', 'b', 'c d');
  expect(sets.get('a', 'b', 'c d')).toBe(set);
  expect(sets.get('a', 'b', 'c', 'd')).toBeUndefined();
  expect(sets.get('a', 'b c', 'd')).toBeUndefined();
  expect(sets.get('b', 'a', 'c d')).toBeUndefined();
});

test('names that clients make up do not fill memory: beyond a bound sets are used and not kept', () => {
  const sets = new AttributeSets();
  for (let number = 0; number < 2_000; number += 1) {
    const set = AttributeSet.of({ number });
    expect(sets.keep(set, 'chat', 'false', 'group', String(number))).toBe(set);
  }
  const kept = Array.from({ length: 2_000 }, (_, number) => sets.get('chat', 'false', 'group', String(number))).filter((set) => set !== undefined);
  expect(kept).toHaveLength(512);
});
