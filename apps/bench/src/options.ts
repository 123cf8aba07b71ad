import { Command, InvalidArgumentError, Option } from 'commander';
import { contestants } from './contestants/registry.ts';
import { type ScenarioName, scenarioNames } from './scenarios.ts';

export interface BenchOptions {
  readonly quick: boolean;
  readonly scenarios: readonly ScenarioName[];
  /** Names of contestants. */
  readonly only: readonly string[];
  readonly rounds: number;
  readonly scale: number;
  readonly chunkIntervalMs: number;
  /** Also run Pointsman (or whom `--only` names) under the profiler. */
  readonly profile: boolean;
  /** Measure nothing else than what `--profile` or `--memory` asks. */
  readonly measure: boolean;
  readonly profileDirectory: string | undefined;
  readonly top: number;
  readonly memory: boolean;
  readonly ledger: boolean;
  readonly jsonFile: string | undefined;
  readonly write: boolean;
}

/** The command line as options. Prints help or an error and ends the process where the command line asks for that. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const names = contestants.map(({ name }) => name);
  const program = new Command('bench')
    .description('Measures what a request through Pointsman costs, next to a bare proxy, nginx, Portkey and LiteLLM. Loopback only; a full run takes about twenty minutes, half of it the memory of half a million requests.')
    .option('--quick', `under 90 s: ${contestants.filter(({ quick }) => quick).map(({ name }) => name).join(', ')}`, false)
    .addOption(new Option('--scenario <names...>', 'only these scenarios').choices(scenarioNames))
    .addOption(new Option('--only <names...>', 'only these contestants').choices(names))
    .option('--rounds <count>', 'counted slices per contestant and scenario (11, quick 5)', positive)
    .option('--scale <factor>', 'requests per slice, relative to a full run (1, quick 0.5)', positive)
    .option('--chunk-interval-ms <ms>', 'between two chunks of a stream; 0: one per turn of the event loop', notNegative, 1)
    .option('--profile', 'run the gateway under --cpu-prof as well and print where the time goes', false)
    .option('--profile-dir <directory>', 'keep the .cpuprofile files there')
    .option('--top <count>', 'functions to print of a profile', positive, 40)
    .option('--memory', 'memory after 20,000 and after 200,000 requests (part of a full run)', false)
    .option('--ledger', '10,000 keys and 1,000 ledger rows a second on a real PostgreSQL (part of a full run)', false)
    .option('--no-measure', 'leave the tables out: only --profile, --memory or --ledger')
    .option('--json <file>', 'write all figures as JSON')
    .option('--write', 'write docs/benchmarks.md (a full run does)', false)
    .parse([...argv], { from: 'user' });
  const given = program.opts<{
    quick: boolean; scenario?: ScenarioName[]; only?: string[]; rounds?: number; scale?: number; chunkIntervalMs: number; profile: boolean;
    profileDir?: string; top: number; memory: boolean; ledger: boolean; measure: boolean; json?: string; write: boolean;
  }>();
  const isFull = !given.quick && given.scenario === undefined && given.only === undefined && given.measure;
  return {
    quick: given.quick,
    scenarios: given.scenario ?? scenarioNames,
    only: given.only ?? contestants.filter(({ quick }) => quick || !given.quick).map(({ name }) => name),
    rounds: given.rounds ?? (given.quick ? 5 : 11),
    scale: given.scale ?? (given.quick ? 0.5 : 1),
    chunkIntervalMs: given.chunkIntervalMs,
    profile: given.profile,
    measure: given.measure,
    profileDirectory: given.profileDir,
    top: given.top,
    memory: given.memory || isFull,
    ledger: given.ledger || isFull,
    jsonFile: given.json,
    write: given.write || isFull,
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('Expected a number above 0.');
  return value;
}

function notNegative(text: string): number {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError('Expected 0 or a number above.');
  return value;
}
