import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant, RunningContestant } from '../contestants/contestant.ts';
import { type Pace, requestsPerSlice, type ScenarioName, scenarios, warmUpRequests } from '../scenarios.ts';
import type { Arena } from './arena.ts';
import { readProcessTree } from './process-tree.ts';
import { type Spread, spread } from './statistics.ts';

/** What one contestant did in one scenario, over all counted slices. */
export interface Figures {
  readonly contestant: string;
  readonly scenario: ScenarioName;
  /** Counted requests and those that were not answered whole and right. */
  readonly requests: number;
  readonly failed: number;
  readonly problems: readonly string[];
  /** Undefined where the contestant has no process. */
  readonly cpuMicrosPerRequest: Spread | undefined;
  /** The same, slice by slice in the order of the rounds: what two contestants needed in one round may be compared. */
  readonly cpuMicrosBySlice: readonly number[];
  readonly requestsPerSecond: Spread;
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  readonly firstByteP50Ms: Spread;
  readonly readsPerReply: number;
  /** Share of one core that the contestant used during slices, 0..1: near 1, the requests per second are its own limit. */
  readonly busy: number | undefined;
  readonly loadMicrosPerRequest: number;
  readonly rssBytes: number | undefined;
}

export interface Entrant {
  readonly contestant: Contestant;
  readonly running: RunningContestant;
}

export interface RoundsOptions {
  readonly scenarios: readonly ScenarioName[];
  /** Counted rounds; one more before them warms up. */
  readonly rounds: number;
  /** Factor on the requests of a full run's slice. */
  readonly scale: number;
  readonly onSlice: (text: string) => void;
}

interface CountedSlice {
  readonly requests: number;
  readonly succeeded: number;
  readonly problems: readonly string[];
  readonly cpuMs: number | undefined;
  readonly wallMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly firstByteP50Ms: number;
  readonly readsPerReply: number;
  readonly loadCpuMs: number;
}

const sliceDeadlineMs = 60_000;
/** How long those that defer work have for it after a slice: longer than the second for which a batch of spans waits. */
const deferredWorkMs = 1_500;

/** Slices per contestant that a run will take, for a progress bar. */
export function sliceCount(options: Pick<RoundsOptions, 'scenarios' | 'rounds'>, entrants: number): number {
  return options.scenarios.length * (options.rounds + 1) * entrants;
}

/**
 * Measures all entrants side by side: in every round each gets one slice, so that whatever else the machine does hits all alike;
 * the order turns by one each round. The first round warms up and is not counted. Many short slices rather than few long ones: a shared machine
 * changes its speed within seconds, and what two contestants needed within the same seconds can be compared.
 */
export async function runRounds(arena: Arena, entrants: readonly Entrant[], options: RoundsOptions): Promise<readonly Figures[]> {
  const figures: Figures[] = [];
  for (const scenario of options.scenarios) {
    const slices = new Map<string, CountedSlice[]>(entrants.map(({ contestant }) => [contestant.name, []]));
    for (let round = 0; round <= options.rounds; round += 1) {
      for (const entrant of turned(entrants, round)) {
        const { name } = entrant.contestant;
        options.onSlice(`${scenario} ${round === 0 ? 'warm-up' : `${round}/${options.rounds}`} ${name}`);
        const requests = round === 0 ? warmUpRequests[scenario][entrant.contestant.pace] : sliceRequests(scenario, entrant.contestant.pace, options.scale);
        const slice = await measureSlice(arena, entrant, { scenario, requests });
        if (round > 0) slices.get(name)?.push(slice);
      }
    }
    for (const { contestant, running } of entrants) {
      const rssBytes = running.pid === undefined ? undefined : (await readProcessTree(running.pid)).rssBytes;
      figures.push(toFigures(contestant.name, scenario, slices.get(contestant.name) ?? [], rssBytes));
    }
  }
  return figures;
}

/** Requests of a counted slice: those of a full run times `scale`, at least one per connection. */
export function sliceRequests(scenario: ScenarioName, pace: Pace, scale: number): number {
  return Math.max(scenarios[scenario].connections, Math.round(requestsPerSlice[scenario][pace] * scale));
}

/** What is left for after the replies belongs to the slice and must not be lost: it is waited for. */
async function measureSlice(arena: Arena, { contestant, running }: Entrant, { scenario, requests }: { readonly scenario: ScenarioName; readonly requests: number }): Promise<CountedSlice> {
  const spent = async (): Promise<number | undefined> => (running.pid === undefined ? undefined : (await readProcessTree(running.pid)).cpuMs);
  const before = await spent();
  const result = await arena.send(running, { scenario, requests, deadlineMs: sliceDeadlineMs });
  if (contestant.defersWork) await sleep(deferredWorkMs);
  const after = await spent();
  return { ...result, requests, cpuMs: before === undefined || after === undefined ? undefined : after - before };
}

function toFigures(contestant: string, scenario: ScenarioName, slices: readonly CountedSlice[], rssBytes: number | undefined): Figures {
  const total = (pick: (slice: CountedSlice) => number): number => slices.reduce((sum, slice) => sum + pick(slice), 0);
  const over = (pick: (slice: CountedSlice) => number): Spread => spread(slices.map(pick));
  const answered = slices.filter((slice) => slice.succeeded > 0);
  const cpu = answered.flatMap(({ cpuMs, succeeded }) => (cpuMs === undefined ? [] : [(cpuMs * 1000) / succeeded]));
  const requests = total((slice) => slice.requests);
  return {
    contestant,
    scenario,
    requests,
    failed: requests - total((slice) => slice.succeeded),
    problems: [...new Set(slices.flatMap((slice) => slice.problems))].slice(0, 3),
    cpuMicrosPerRequest: cpu.length === 0 ? undefined : spread(cpu),
    cpuMicrosBySlice: cpu,
    requestsPerSecond: over((slice) => (slice.succeeded * 1000) / slice.wallMs),
    p50Ms: over((slice) => slice.p50Ms),
    p99Ms: over((slice) => slice.p99Ms),
    firstByteP50Ms: over((slice) => slice.firstByteP50Ms),
    readsPerReply: total((slice) => slice.readsPerReply) / Math.max(1, slices.length),
    busy: cpu.length === 0 ? undefined : total((slice) => slice.cpuMs ?? 0) / total((slice) => slice.wallMs),
    loadMicrosPerRequest: (total((slice) => slice.loadCpuMs) * 1000) / Math.max(1, total((slice) => slice.succeeded)),
    rssBytes,
  };
}

function turned<T>(items: readonly T[], by: number): readonly T[] {
  const at = by % Math.max(1, items.length);
  return [...items.slice(at), ...items.slice(0, at)];
}
