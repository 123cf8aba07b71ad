import { AppError, describeUnknown } from '@pointsman/errors';
import { z } from 'zod';
import type { GatewayReader } from './read-gateways.ts';
import { UNCOUNTED_ROUTES, type ReplicaCounters, type ReplicaReading } from './replica-reading.ts';

export interface PrometheusReaderOptions {
  /** `http://prometheus:9090`, also with a path in front of `/api/v1`. */
  readonly url: string;
  /** Label matchers that pick the gateways of one environment: `namespace="prod"`. */
  readonly match?: string;
  /** Longest wait, in milliseconds. Default 3,000. */
  readonly timeoutMs?: number;
}

/** The label that tells replicas apart: Prometheus itself puts it on every series of a target. */
const REPLICA = 'instance';

/**
 * The questions, one vector each with a series per replica, all joined with the revision that the replica serves. Counters are asked for as they stand: between two
 * looks the difference per replica is taken here, so that a change of revision or a restart in between is seen, which `rate()` over a join would smear.
 */
export function rolloutQueries(match = ''): Readonly<Record<'requests' | 'failed' | 'startedAt', string>> {
  const also = match === '' ? '' : `,${match}`;
  const info = `max by (${REPLICA}, revision) (gateway_config_info{revision!=""${also}} == 1)`;
  const served = (expression: string): string => `${expression} * on (${REPLICA}) group_left (revision) ${info}`;
  const counted = (name: string): string => `sum by (${REPLICA}) (${name}{route!~"${UNCOUNTED_ROUTES}"${also}})`;
  return {
    // `or`: a replica that has answered nothing yet is still one.
    requests: `${served(counted('gateway_requests_total'))} or on (${REPLICA}) ${info} * 0`,
    failed: served(counted('gateway_failed_requests_total')),
    startedAt: served(`max by (${REPLICA}) (process_start_time_seconds${match === '' ? '' : `{${match}}`})`),
  };
}

/** https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries */
const replySchema = z.union([
  z.object({
    status: z.literal('success'),
    data: z.object({ resultType: z.literal('vector'), result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) })) }),
  }),
  z.object({ status: z.literal('error'), errorType: z.string(), error: z.string() }),
]);
type Vector = readonly { readonly metric: Readonly<Record<string, string>>; readonly value: number }[];

const MATCHERS = /^[a-zA-Z_]\w*\s*(=|!=|=~|!~)\s*"(?:[^"\\]|\\.)*"(\s*,\s*[a-zA-Z_]\w*\s*(=|!=|=~|!~)\s*"(?:[^"\\]|\\.)*")*$/;

/** Reads replicas through a Prometheus that scrapes them. It sees them as late as it scrapes. A Prometheus that does not answer is one replica with a problem. @throws AppError `invalid_request` */
export function createPrometheusReader({ url, match = '', timeoutMs = 3_000 }: PrometheusReaderOptions): GatewayReader {
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== '' || parsed.search !== '') throw new AppError('invalid_request', 'invalid_prometheus', '--prometheus: expected a URL such as http://prometheus:9090');
  if (match !== '' && !MATCHERS.test(match)) throw new AppError('invalid_request', 'invalid_prometheus', '--prometheus-match: expected label matchers such as namespace="prod",job="gateway"');
  const base = parsed.href.replace(/\/+$/, '');
  const queries = rolloutQueries(match);

  const ask = async (query: string, signal: AbortSignal): Promise<Vector> => {
    const reply = await fetch(`${base}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query }), signal, redirect: 'error' });
    const text = await reply.text();
    const body = replySchema.safeParse(jsonOf(text));
    if (!body.success) throw new Error(`Prometheus answers ${String(reply.status)} with something else than a vector`);
    if (body.data.status === 'error') throw new Error(`Prometheus answers ${body.data.errorType}: ${body.data.error.slice(0, 200)}`);
    return body.data.data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  };

  return {
    read: async (signal) => {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      try {
        const [requests, failed, startedAt] = await Promise.all([ask(queries.requests, limited), ask(queries.failed, limited), ask(queries.startedAt, limited)]);
        return readingsOf({ requests, failed, startedAt });
      } catch (error) {
        signal.throwIfAborted();
        return [{ replica: base, problem: limited.aborted ? `no answer within ${String(timeoutMs / 1000)} s` : describeUnknown(error) }];
      }
    },
  };
}

function readingsOf({ requests, failed, startedAt }: Readonly<Record<keyof ReturnType<typeof rolloutQueries>, Vector>>): readonly ReplicaReading[] {
  const [failedOf, startOf] = [valuesBy(failed), valuesBy(startedAt)];
  return requests.map(({ metric, value }) => {
    const replica = metric[REPLICA] ?? '';
    const counters: ReplicaCounters = { startedAt: startOf.get(replica), requests: value, failed: failedOf.get(replica) ?? 0 };
    return { replica, revision: metric['revision'] ?? '', isReady: true, counters };
  });
}

function valuesBy(vector: Vector): ReadonlyMap<string, number> {
  return new Map(vector.map(({ metric, value }) => [metric[REPLICA] ?? '', value]));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
