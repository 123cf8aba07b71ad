import { expect, test } from 'vitest';
import type { Figures } from '../measure/run-rounds.ts';
import { markdownReport } from './markdown-report.ts';

const same = (value: number): { median: number; min: number; max: number } => ({ median: value, min: value, max: value });
const figures = (contestant: string, cpuMicros: number): Figures => ({
  contestant, scenario: 'short', requests: 100, failed: 0, problems: [], cpuMicrosPerRequest: same(cpuMicros), cpuMicrosBySlice: [cpuMicros], requestsPerSecond: same(1_000_000 / cpuMicros),
  p50Ms: same(1), p99Ms: same(2), firstByteP50Ms: same(1), readsPerReply: 1, busy: 1, loadMicrosPerRequest: 20, rssBytes: 1024 ** 2,
});

test('the report shows who was measured, who was not and why, and memory with its ratio', () => {
  const report = markdownReport({
    machine: { cores: 2, cpuModel: 'CPU', memoryGb: 24, kernel: 'Linux 6.1', nodeVersion: '24.0.0' },
    command: 'npm run bench', day: '2026-01-02', rounds: 5, chunkIntervalMs: 1, pinned: true,
    contestants: [{ name: 'bare', about: 'the least' }, { name: 'pointsman', about: 'ours' }],
    absent: [{ name: 'litellm', reason: 'Error: no /home/somebody/.cache/venv/bin/litellm' }],
    figures: [figures('bare', 50), figures('pointsman', 75)],
    ledger: { keys: 10_000, rowsPerSecond: 1_000, seconds: 20, rows: 20_000, batches: 80, lateBatches: 0, batchP50Ms: 30, batchMaxMs: 60, cpuMicrosPerRow: 11.8, exact: false },
    memory: [{ contestant: 'pointsman', rssAtStartBytes: 0, after: [{ requests: 20_000, rssBytes: 100 * 1024 ** 2 }, { requests: 200_000, rssBytes: 110 * 1024 ** 2 }], failed: 0, problems: [] }],
    spanBytesPerRequest: 900,
  });
  expect(report).toMatch(/\| pointsman \| 75 \(75–75\) \| 1\.50 \|/);
  expect(report).toContain('litellm did not take part: Error: no litellm');
  expect(report).toMatch(/\| pointsman \| 0 \| 200,000 \| 110 \| 1\.10 \|/);
  expect(report).toContain('900 bytes of OTLP per request');
  expect(report).toContain('0 of 80 batches late');
  expect(report).toContain('DO NOT AGREE');
  expect(report).not.toContain('/home/');
});
