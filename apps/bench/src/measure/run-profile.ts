import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contestant } from '../contestants/contestant.ts';
import { type ScenarioName, warmUpRequests } from '../scenarios.ts';
import type { Arena } from './arena.ts';
import { type CpuProfile, type ProfileSummary, summariseProfile } from './cpu-profile.ts';
import { sliceRequests } from './run-rounds.ts';

export interface ProfileRun {
  readonly contestant: string;
  readonly scenario: ScenarioName;
  readonly requests: number;
  readonly failed: number;
  readonly problems: readonly string[];
  readonly summary: ProfileSummary;
  /** Where the profile was kept for DevTools, undefined when it was not. */
  readonly file: string | undefined;
}

/**
 * Runs a contestant under V8's sampling profiler, warms it up, and sums up the samples of one loaded window:
 * start-up and warm-up are in the file but not in the summary. Throws `Error` when the contestant writes no profile at its end.
 */
export async function runProfile(
  arena: Arena,
  contestant: Contestant,
  { scenario, scale, keepIn }: { readonly scenario: ScenarioName; readonly scale: number; readonly keepIn: string | undefined },
): Promise<ProfileRun> {
  const directory = keepIn ?? (await mkdtemp(join(tmpdir(), 'pointsman-profile-')));
  try {
    const file = `${contestant.name}-${scenario}.cpuprofile`;
    const running = await arena.start(contestant, ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${directory}`, `--cpu-prof-name=${file}`]);
    const requests = sliceRequests(scenario, contestant.pace, scale) * 2;
    await arena.send(running, { scenario, requests: warmUpRequests[scenario][contestant.pace], deadlineMs: 60_000 });
    const from = monotonicMicros();
    const result = await arena.send(running, { scenario, requests, deadlineMs: 120_000 });
    const to = monotonicMicros();
    await running.stop();
    if (!(await readdir(directory)).includes(file)) throw new Error(`${contestant.name} wrote no profile: it must end by itself on SIGTERM.`);
    const profile = JSON.parse(await readFile(join(directory, file), 'utf8')) as CpuProfile;
    return {
      contestant: contestant.name,
      scenario,
      requests,
      failed: result.failed,
      problems: result.problems,
      summary: summariseProfile(profile, { from, to }),
      file: keepIn === undefined ? undefined : join(keepIn, file),
    };
  } finally {
    if (keepIn === undefined) await rm(directory, { recursive: true, force: true });
  }
}

/** The clock of the samples' times. */
function monotonicMicros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
