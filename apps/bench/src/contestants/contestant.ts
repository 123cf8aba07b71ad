import type { Pace } from '../scenarios.ts';

/** What a contestant is given to start with. */
export interface Surroundings {
  readonly upstreamUrl: string;
  /** OTLP/HTTP receiver for spans. */
  readonly otlpUrl: string;
  /** A directory of its own, empty, removed at the end. */
  readonly directory: string;
  /** The core to pin to; undefined where pinning is not possible. */
  readonly core: number | undefined;
  /** Further arguments for Node: `--cpu-prof`. */
  readonly nodeArguments: readonly string[];
}

export interface RunningContestant {
  readonly baseUrl: string;
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
  /** Root of its process tree; undefined for the one without a process. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

export interface Contestant {
  readonly name: string;
  /** One line for the report: what it is and what it does per request. */
  readonly about: string;
  readonly pace: Pace;
  /** Runs in `--quick`. */
  readonly quick: boolean;
  /** Leaves work for after the reply (exports): its CPU between two slices counts too. */
  readonly defersWork: boolean;
  /** Installs what is missing; throws when it cannot be had here. May take minutes; `say` tells what it does. */
  prepare(say: (text: string) => void): Promise<void>;
  start(surroundings: Surroundings): Promise<RunningContestant>;
}

/** The model name that clients ask for, the same everywhere. */
export const requestedModel = 'gpt-4o-mini';
