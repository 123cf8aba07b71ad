import type { ServedModel } from '@pointsman/schemas';
import type { ExposedSample } from './parse-exposition.ts';

/** Counters of one gateway since it started. */
export interface ReplicaCounters {
  /** Seconds since 1970; undefined where it is not told. */
  readonly startedAt: number | undefined;
  readonly requests: number;
  /** Replies with a status of 500 and above. */
  readonly failed: number;
  readonly byModel: ReadonlyMap<string, {
    /** Replies with a status of 400 and above. */
    readonly refused: number;
    /** Streamed replies that ended in an error, whatever the status: also those that were refused before they began. */
    readonly failedStreams: number;
  }>;
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
}

export interface UnknownReading {
  readonly replica: string;
  readonly problem: string;
}

/** What one look at one replica gave. */
export type ReplicaReading = AnsweredReading | UnknownReading;

/** Names of what is read out of `/metrics`. */
export const READ_METRICS: ReadonlySet<string> = new Set(['gateway_requests_total', 'gateway_streams_ended_total', 'gateway_config_info', 'process_start_time_seconds']);

/** Requests of operators and sidecars say nothing about what clients get. The expression of Prometheus, which anchors both ends. */
export const UNCOUNTED_ROUTES = '/health.*|/metrics|/config/.*';
const uncounted = new RegExp(`^(?:${UNCOUNTED_ROUTES})$`);

/** What a gateway's `/metrics` say about its configuration and its requests. Without `gateway_config_info` the revision is empty. */
export function countersOf(samples: Iterable<ExposedSample>): { readonly revision: string; readonly counters: ReplicaCounters } {
  let revision = '';
  let startedAt: number | undefined;
  let requests = 0;
  let failed = 0;
  const byModel = new Map<string, { refused: number; failedStreams: number }>();
  const ofModel = (model: string): { refused: number; failedStreams: number } => {
    const known = byModel.get(model) ?? { refused: 0, failedStreams: 0 };
    byModel.set(model, known);
    return known;
  };
  for (const { name, labels, value } of samples) {
    if (name === 'gateway_config_info' && value === 1) revision = labels.get('revision') ?? '';
    else if (name === 'process_start_time_seconds') startedAt = value;
    else if (name === 'gateway_requests_total' && !uncounted.test(labels.get('route') ?? '')) {
      const status = Number(labels.get('status'));
      requests += value;
      if (status >= 500) failed += value;
      if (status >= 400) ofModel(labels.get('model') ?? '').refused += value;
    } else if (name === 'gateway_streams_ended_total' && labels.get('outcome') === 'error') ofModel(labels.get('model') ?? '').failedStreams += value;
  }
  return { revision, counters: { startedAt, requests, failed, byModel } };
}
