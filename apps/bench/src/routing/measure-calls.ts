import { percentile, spread, type Spread } from '../measure/statistics.ts';

export interface CallCost {
  readonly calls: number;
  readonly rounds: number;
  /** CPU of the whole process per call, microseconds; one value per round. */
  readonly cpuUs: Spread;
  /** Wall time of each input's fastest call over the rounds, microseconds: what the work takes, without what else the machine did. */
  readonly bestP50Us: number;
  readonly bestP99Us: number;
  /** Of all calls of all rounds. */
  readonly everyP99Us: number;
}

/** Calls `work` with every input, one after the other, `rounds` times after one round that does not count. */
export async function measureCalls<T>(inputs: readonly T[], rounds: number, work: (input: T) => unknown): Promise<CallCost> {
  const best = new Float64Array(inputs.length).fill(Infinity);
  const every = new Float64Array(inputs.length * rounds);
  const cpu: number[] = [];
  for (let round = -1; round < rounds; round += 1) {
    const before = process.cpuUsage();
    for (const [index, input] of inputs.entries()) {
      const started = performance.now();
      await work(input);
      const tookUs = (performance.now() - started) * 1_000;
      if (round < 0) continue;
      every[round * inputs.length + index] = tookUs;
      best[index] = Math.min(best[index] ?? Infinity, tookUs);
    }
    const { user, system } = process.cpuUsage(before);
    if (round >= 0) cpu.push((user + system) / inputs.length);
  }
  best.sort();
  every.sort();
  return { calls: inputs.length, rounds, cpuUs: spread(cpu), bestP50Us: percentile(best, 0.5), bestP99Us: percentile(best, 0.99), everyP99Us: percentile(every, 0.99) };
}
