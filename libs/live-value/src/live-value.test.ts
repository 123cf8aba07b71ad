import { expect, test } from 'vitest';
import { LiveValue } from './live-value.ts';

test('a value that was replaced is disposed when its last lease ends, not before', () => {
  const disposed: string[] = [];
  const live = new LiveValue('a', (value) => disposed.push(value));
  const first = live.acquire();
  const second = live.acquire();
  live.replace('b');
  expect(live.current).toBe('b');
  first.release();
  expect(disposed).toEqual([]);
  second.release();
  expect(disposed).toEqual(['a']);
});

test('releasing twice counts once', () => {
  const disposed: string[] = [];
  const live = new LiveValue('a', (value) => disposed.push(value));
  const first = live.acquire();
  const second = live.acquire();
  first.release();
  first.release();
  live.replace('b');
  expect(disposed).toEqual([]);
  second.release();
  expect(disposed).toEqual(['a']);
});

test('a value nobody holds is disposed at once, and close disposes the last one', () => {
  const disposed: string[] = [];
  const live = new LiveValue('a', (value) => disposed.push(value));
  live.replace('b');
  expect(disposed).toEqual(['a']);
  live.close();
  expect(disposed).toEqual(['a', 'b']);
});

test('a lease declared with using ends with its block', () => {
  const disposed: string[] = [];
  const live = new LiveValue('a', (value) => disposed.push(value));
  {
    using lease = live.acquire();
    live.replace('b');
    expect(lease.value).toBe('a');
    expect(disposed).toEqual([]);
  }
  expect(disposed).toEqual(['a']);
});
