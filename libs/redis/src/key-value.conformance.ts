import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { KeyValue } from './key-value.ts';

export interface KeyValueUnderTest extends AsyncDisposable {
  readonly keyValue: KeyValue;
  /** The largest value that it stores, in bytes; at least 1 MB. */
  readonly largestBytes: number;
  elapse(ms: number): Promise<void>;
}

const LONG = 3_600_000;

/** What every KeyValue must do, whatever it stands on. */
export function describeKeyValue(name: string, start: () => Promise<KeyValueUnderTest>): void {
  describe(name, () => {
    test('gives back the very bytes, replaces and deletes them, and knows nothing else', async () => {
      await using under = await start();
      const { keyValue } = under;
      const [small, large] = [Buffer.from([0, 13, 10, 255, 36]), randomBytes(700_000)];
      await keyValue.set('small', small, LONG);
      await keyValue.set('large', large, LONG);
      await keyValue.set('empty', Buffer.alloc(0), LONG);
      expect(await keyValue.get('small')).toEqual(small);
      expect((await keyValue.get('large'))?.equals(large)).toBe(true);
      expect(await keyValue.get('empty')).toEqual(Buffer.alloc(0));
      expect(await keyValue.get('nothing')).toBeUndefined();
      await keyValue.set('small', Buffer.from('new'), LONG);
      expect(await keyValue.get('small')).toEqual(Buffer.from('new'));
      await keyValue.delete('small');
      expect(await keyValue.get('small')).toBeUndefined();
      await keyValue.delete('small');
    });

    test('a value is gone after its time, and a replaced one lives as long as the new time says', async () => {
      await using under = await start();
      const { keyValue } = under;
      await keyValue.set('short', Buffer.from('1'), 60);
      await keyValue.set('renewed', Buffer.from('1'), 60);
      await keyValue.set('renewed', Buffer.from('2'), LONG);
      await under.elapse(61);
      expect(await keyValue.get('short')).toBeUndefined();
      expect(await keyValue.get('renewed')).toEqual(Buffer.from('2'));
      await keyValue.set('renewed', Buffer.from('3'), 0);
      expect(await keyValue.get('renewed')).toBeUndefined();
    });

    test('a value larger than the bound is not stored, and the old one of its key is not given for it', async () => {
      await using under = await start();
      const { keyValue, largestBytes } = under;
      await keyValue.set('key', Buffer.from('old'), LONG);
      await keyValue.set('key', Buffer.alloc(largestBytes + 1), LONG);
      expect(await keyValue.get('key')).toBeUndefined();
    });

    test('keys are any text of any length, and long ones stay apart', async () => {
      await using under = await start();
      const { keyValue } = under;
      const keys = ['', '__proto__', 'with\r\nlines', '\u{1f600}', `${'k'.repeat(10_000)}1`, `${'k'.repeat(10_000)}2`];
      for (const [index, key] of keys.entries()) await keyValue.set(key, Buffer.from(String(index)), LONG);
      expect(await Promise.all(keys.map(async (key) => String(await keyValue.get(key))))).toEqual(keys.map((_, index) => String(index)));
    });

    test('many at once are answered each with its own', async () => {
      await using under = await start();
      const { keyValue } = under;
      await Promise.all(Array.from({ length: 200 }, (_, index) => keyValue.set(`n${index}`, Buffer.alloc(1_000, index), LONG)));
      const values = await Promise.all(Array.from({ length: 200 }, (_, index) => keyValue.get(`n${index}`)));
      expect(values.every((value, index) => value?.equals(Buffer.alloc(1_000, index)) === true)).toBe(true);
    });
  });
}
