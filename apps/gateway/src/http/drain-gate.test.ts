import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { DrainGate, type Work } from './drain-gate.ts';

class FakeWork implements Work {
  gateSlot = -1;
  ends = 0;
  readonly #onEnd: (work: FakeWork) => void;

  constructor(onEnd: (work: FakeWork) => void = () => undefined) {
    this.#onEnd = onEnd;
  }

  endNow(): void {
    this.ends += 1;
    this.#onEnd(this);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('a gate with nothing running is drained at once and lets nothing in', async () => {
  const gate = new DrainGate();
  expect(gate.draining).toBe(false);
  await expect(gate.drain(30_000)).resolves.toBe(0);
  expect(gate.draining).toBe(true);
});

test('running work is waited for, and ends nothing early', async () => {
  const gate = new DrainGate();
  const work = [new FakeWork(), new FakeWork()] as const;
  for (const one of work) gate.enter(one);
  const drained = gate.drain(30_000);
  gate.leave(work[0]);
  await vi.advanceTimersByTimeAsync(29_999);
  expect(work[1].ends).toBe(0);
  gate.leave(work[1]);
  await expect(drained).resolves.toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test('past the limit what remains is ended, once each, and counted', async () => {
  const gate = new DrainGate();
  const work = [1, 2, 3].map(() => new FakeWork((one) => gate.leave(one)));
  for (const one of work) gate.enter(one);
  const drained = gate.drain(30_000);
  await vi.advanceTimersByTimeAsync(30_000);
  await expect(drained).resolves.toBe(3);
  expect(work.map(({ ends }) => ends)).toEqual([1, 1, 1]);
  expect(gate.running).toBe(0);
});

test('work that cannot be ended holds the drain for two more seconds and no longer', async () => {
  const gate = new DrainGate();
  gate.enter(new FakeWork());
  const drained = gate.drain(1_000);
  await vi.advanceTimersByTimeAsync(3_000);
  await expect(drained).resolves.toBe(1);
});

test('leaving twice counts once', () => {
  const gate = new DrainGate();
  const work = [new FakeWork(), new FakeWork()] as const;
  for (const one of work) gate.enter(one);
  gate.leave(work[0]);
  gate.leave(work[0]);
  expect(gate.running).toBe(1);
});
