import type { ServedModel } from '@pointsman/schemas';
import { ARM_METRICS, armsOf, type ArmCounters } from './model-arm-tally.ts';
import type { ExposedSample } from './parse-exposition.ts';

/** Counters of one gateway since it started. */
export interface ReplicaCounters {
  /** Seconds since 1970; undefined where it is not told. */
  readonly startedAt: number | undefined;
  readonly requests: number;
  /** Requests that failed through no fault of their caller, whatever their status. */
  readonly failed: number;
}

export interface AnsweredReading {
  readonly replica: string;
  /** The configuration it serves; empty before the first one. */
  readonly revision: string;
  /** Takes traffic: not draining, and with a configuration. */
  readonly isReady: boolean;
  readonly counters: ReplicaCounters;
  /** Where its report was asked for. */
  readonly models?: readonly ServedModel[];
  readonly appliedAt?: string | null;
  readonly lastRejected?: { readonly revision: string; readonly reason: string };
  /** Router models that it refused, where its report was asked for. */
  readonly rejectedModels?: readonly { readonly name: string; readonly version: string; readonly reason: string }[];
  /** What each version of a router model did, where the replica itself was asked. */
  readonly arms?: ArmCounters;
}

export interface UnknownReading {
  readonly replica: string;
  readonly problem: string;
}

/** What one look at one replica gave. */
export type ReplicaReading = AnsweredReading | UnknownReading;

/** Names of what is read out of `/metrics`. */
export const READ_METRICS: ReadonlySet<string> = new Set(['gateway_requests_total', 'gateway_failed_requests_total', 'gateway_config_info', 'process_start_time_seconds', ...ARM_METRICS]);

/** Requests of operators and sidecars say nothing about what clients get. The expression of Prometheus, which anchors both ends. */
export const UNCOUNTED_ROUTES = '/health.*|/metrics|/config/.*';
const uncounted = new RegExp(`^(?:${UNCOUNTED_ROUTES})$`);

/** What a gateway's `/metrics` say about its configuration and its requests. Without `gateway_config_info` the revision is empty. */
export function countersOf(samples: Iterable<ExposedSample>): { readonly revision: string; readonly counters: ReplicaCounters; readonly arms: ArmCounters } {
  const armSamples: ExposedSample[] = [];
  let revision = '';
  let startedAt: number | undefined;
  let requests = 0;
  let failed = 0;
  for (const sample of samples) {
    const { name, labels, value } = sample;
    if (name.startsWith('router_arm_')) armSamples.push(sample);
    else if (name === 'gateway_config_info' && value === 1) revision = labels.get('revision') ?? '';
    else if (name === 'process_start_time_seconds') startedAt = value;
    else if (uncounted.test(labels.get('route') ?? '')) continue;
    else if (name === 'gateway_requests_total') requests += value;
    else if (name === 'gateway_failed_requests_total') failed += value;
  }
  return { revision, counters: { startedAt, requests, failed }, arms: armsOf(armSamples) };
}
