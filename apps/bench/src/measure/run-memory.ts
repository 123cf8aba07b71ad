import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant } from '../contestants/contestant.ts';
import type { Arena } from './arena.ts';
import { readProcessTree } from './process-tree.ts';

/** Memory of a contestant after few and after many requests: what grows with requests is a leak. */
export interface MemoryGrowth {
  readonly contestant: string;
  readonly rssAtStartBytes: number;
  readonly after: readonly { readonly requests: number; readonly rssBytes: number }[];
  readonly failed: number;
  readonly problems: readonly string[];
}

const stepRequests = 10_000;
const settleMs = 5_000;
const samples = 5;

/** Sends short requests up to each of `marks` (ascending counts), lets the process idle, and reads its memory. Starts a process of its own. */
export async function runMemory(arena: Arena, contestant: Contestant, { marks, onStep }: { readonly marks: readonly number[]; readonly onStep: (text: string) => void }): Promise<MemoryGrowth> {
  const running = await arena.start(contestant);
  const { pid } = running;
  if (pid === undefined) throw new Error(`${contestant.name} has no process to measure.`);
  const rssAtStartBytes = (await readProcessTree(pid)).rssBytes;
  const after: { requests: number; rssBytes: number }[] = [];
  const problems: string[] = [];
  let [sent, failed] = [0, 0];
  for (const mark of marks) {
    while (sent < mark) {
      onStep(`memory ${contestant.name} ${sent.toLocaleString('en')} of ${(marks.at(-1) ?? 0).toLocaleString('en')} requests`);
      const requests = Math.min(stepRequests, mark - sent);
      const result = await arena.send(running, { scenario: 'short', requests, deadlineMs: 120_000 });
      sent += requests;
      failed += result.failed;
      problems.push(...result.problems);
    }
    after.push({ requests: mark, rssBytes: await settledRss(pid) });
  }
  await running.stop();
  return { contestant: contestant.name, rssAtStartBytes, after, failed, problems: [...new Set(problems)].slice(0, 3) };
}

/** The least of a few readings after some idle seconds: the collector runs when it likes. */
async function settledRss(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let sample = 0; sample < samples; sample += 1) {
    await sleep(settleMs / samples);
    least = Math.min(least, (await readProcessTree(pid)).rssBytes);
  }
  return least;
}
