import { lookup } from 'node:dns/promises';
import { describeUnknown } from '@pointsman/errors';
import { gatewayReportSchema, type GatewayReport } from '@pointsman/schemas';
import { z } from 'zod';
import type { GatewayPlaces } from './parse-gateways.ts';
import { parseExposition } from './parse-exposition.ts';
import { countersOf, READ_METRICS, type ReplicaReading } from './replica-reading.ts';

export interface GatewayReader {
  /** One look at every replica; one that does not answer is a reading with a problem, so that this throws for nothing but the signal. */
  read(signal: AbortSignal): Promise<readonly ReplicaReading[]>;
}

export interface GatewayReaderOptions {
  readonly gateways: GatewayPlaces;
  /** With it `/health/config` is read too, which tells what a replica refused. */
  readonly adminKey?: string | undefined;
  /** Longest wait for each replica, in milliseconds. Default 3,000. */
  readonly timeoutMs?: number;
  /** Addresses of a name; the system's by default. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/** A page of metrics of a gateway with thousands of series is 1 to 2 MB. */
const MAX_BYTES = 32 * 1024 * 1024;
const readinessSchema = z.object({ config_revision: z.string() });

/** Reads replicas by their own pages. A name is resolved for every look; while it cannot be, the replicas known before are asked. */
export function createGatewayReader({ gateways, adminKey, timeoutMs = 3_000, resolve = addressesOf }: GatewayReaderOptions): GatewayReader {
  let known: readonly string[] = gateways.kind === 'list' ? gateways.urls : [];

  const replicas = async (): Promise<{ readonly urls: readonly string[]; readonly problem?: string }> => {
    if (gateways.kind === 'list') return { urls: known };
    try {
      const addresses = await resolve(gateways.host);
      known = [...new Set(addresses)].sort().map((address) => `http://${address.includes(':') ? `[${address}]` : address}:${String(gateways.port)}`);
      return { urls: known };
    } catch (error) {
      return { urls: known, problem: `cannot be resolved (${describeUnknown(error)})` };
    }
  };

  return {
    read: async (signal) => {
      const { urls, problem } = await replicas();
      signal.throwIfAborted();
      if (urls.length === 0 && gateways.kind === 'dns') return [{ replica: gateways.host, problem: problem ?? 'has no address' }];
      const readings = await Promise.all(urls.map((url) => readReplica(url, { adminKey, timeoutMs, signal })));
      signal.throwIfAborted();
      return readings;
    },
  };
}

interface Ask {
  readonly adminKey: string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

async function readReplica(url: string, ask: Ask): Promise<ReplicaReading> {
  const limited: Ask = { ...ask, signal: AbortSignal.any([ask.signal, AbortSignal.timeout(ask.timeoutMs)]) };
  try {
    const [page, readiness, report] = await Promise.all([
      bodyOf(`${url}/metrics`, limited), bodyOf(`${url}/health/readiness`, limited, { anyStatus: true }), ask.adminKey === undefined ? undefined : reportOf(url, limited),
    ]);
    const { revision, counters, arms } = countersOf(parseExposition(page.text, READ_METRICS));
    return {
      replica: url, counters, ...(arms.size === 0 ? {} : { arms }), isReady: readiness.ok,
      revision: revision === '' ? (report?.config_revision ?? revisionOf(readiness.text)) : revision,
      ...(report === undefined ? {} : { models: report.models, appliedAt: report.applied_at, ...(report.rejected_models === undefined ? {} : { rejectedModels: report.rejected_models }) }),
      ...(report?.last_rejected === undefined ? {} : { lastRejected: report.last_rejected }),
    };
  } catch (error) {
    return { replica: url, problem: limited.signal.aborted ? `no answer within ${String(ask.timeoutMs / 1000)} s` : describeUnknown(error) };
  }
}

async function bodyOf(url: string, { adminKey, signal }: Ask, { anyStatus = false } = {}): Promise<{ readonly ok: boolean; readonly text: string }> {
  // A redirect would take the key elsewhere.
  const reply = await fetch(url, { signal, redirect: 'error', headers: adminKey === undefined ? {} : { authorization: `Bearer ${adminKey}` } });
  if (!reply.ok && !anyStatus) {
    await reply.body?.cancel();
    throw new Error(`${new URL(url).pathname} answers ${String(reply.status)}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of reply.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BYTES) throw new Error(`${new URL(url).pathname} is longer than ${String(MAX_BYTES / 1024 / 1024)} MiB`);
    chunks.push(chunk);
  }
  return { ok: reply.ok, text: Buffer.concat(chunks).toString('utf8') };
}

/** A key that is not the right one must not make replicas unseen: it only costs what it would have told. */
async function reportOf(url: string, ask: Ask): Promise<GatewayReport | undefined> {
  try {
    return gatewayReportSchema.parse(JSON.parse((await bodyOf(`${url}/health/config`, ask)).text));
  } catch {
    return undefined;
  }
}

function revisionOf(readiness: string): string {
  try {
    return readinessSchema.parse(JSON.parse(readiness)).config_revision;
  } catch {
    return '';
  }
}

async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
