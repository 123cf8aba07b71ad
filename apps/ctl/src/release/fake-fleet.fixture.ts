import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { configRevision, readConfigFiles } from '@pointsman/gateway-config';
import { releaseSchema, type Release } from '@pointsman/schemas';
import type { RunningObjectStore } from '@pointsman/testing';

export interface FakeFleetOptions {
  readonly store: RunningObjectStore;
  readonly replicas: number;
  readonly masterKey?: string;
}

/** Gateways as a rollout sees them: they follow `prod/release.json` a little later and count requests; a test decides which fail. */
export interface FakeFleet extends AsyncDisposable {
  /** For `--gateways`. */
  readonly urls: string;
  /** Part of the requests that fail under a revision, 0 to 1. */
  failing: (revision: string) => number;
  /** Revisions that every replica refuses. */
  readonly refused: Set<string>;
  /** Requests of each replica per tick (10 ms). */
  rate: number;
  /** Whether a replica takes the canary at this percent; by rank by default. */
  takes: (index: number, percent: number) => boolean;
  /** Replicas that close connections without an answer. */
  readonly silent: Set<number>;
  revisions(): readonly string[];
}

const TICK_MS = 10;

interface FakeGateway {
  readonly server: Server;
  revision: string;
  rejected: string | undefined;
  requests: number;
  failed: number;
}

export async function startFakeFleet({ store, replicas, masterKey }: FakeFleetOptions): Promise<FakeFleet> {
  const gateways: FakeGateway[] = [];
  for (let index = 0; index < replicas; index += 1) {
    const server = createServer((request, response) => {
      const gateway = gateways[index];
      if (gateway === undefined || fleet.silent.has(index)) request.socket.destroy();
      else if (request.url === '/metrics') response.end(metricsOf(gateway));
      else if (request.url === '/health/readiness') response.end(JSON.stringify({ status: 'healthy', config_revision: gateway.revision }));
      else if (request.url === '/health/config' && request.headers.authorization === `Bearer ${String(masterKey)}`) {
        response.end(JSON.stringify({
          config_revision: gateway.revision, applied_at: '2026-11-23T10:00:00.000Z', models: [{ name: 'knn-router', version: 'v42', revision: 'v42-abcdef', applied_at: '2026-11-23T10:00:00.000Z' }],
          ...(gateway.rejected === undefined ? {} : { last_rejected: { at: '2026-11-23T10:01:00.000Z', revision: gateway.rejected, reason: 'model_list[0].litellm_params.model: expected a model' } }),
        }));
      } else response.writeHead(401).end('{}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    gateways.push({ server, revision: '', rejected: undefined, requests: 0, failed: 0 });
  }
  let following: Promise<void> = Promise.resolve();
  const fleet: FakeFleet = {
    urls: gateways.map(({ server }) => `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`).join(','),
    failing: () => 0, refused: new Set(), rate: 2, silent: new Set(),
    takes: (index, percent) => index < Math.max(1, Math.floor((replicas * percent) / 100)),
    revisions: () => gateways.map(({ revision }) => revision),
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await following;
      for (const { server } of gateways) {
        server.closeAllConnections();
        server.close();
        await once(server, 'close');
      }
    },
  };
  const follow = async (): Promise<void> => {
    const { stable, canary } = await readRelease(store);
    const [stableRevision, canaryRevision] = await Promise.all([revisionAt(store, stable.config_key), canary === undefined ? undefined : revisionAt(store, canary.config_key)]);
    for (const [index, gateway] of gateways.entries()) {
      const wanted = canary !== undefined && canaryRevision !== undefined && canary.percent > 0 && fleet.takes(index, canary.percent) ? canaryRevision : stableRevision;
      if (fleet.refused.has(wanted)) gateway.rejected = wanted;
      else gateway.revision = wanted;
      gateway.requests += fleet.rate;
      gateway.failed += fleet.rate * fleet.failing(gateway.revision);
    }
  };
  await follow();
  const timer = setInterval(() => { following = following.then(follow); }, TICK_MS);
  return fleet;
}

export async function readRelease(store: RunningObjectStore): Promise<Release> {
  const text = await store.get('prod/release.json');
  return text === undefined ? { stable: { config_key: 'prod/config.yaml' } } : releaseSchema.parse(JSON.parse(text.toString('utf8')));
}

export async function revisionAt(store: RunningObjectStore, key: string): Promise<string> {
  const folder = key.slice(0, key.lastIndexOf('/'));
  const text = async (each: string): Promise<string | undefined> => (await store.get(each))?.toString('utf8');
  const files = await readConfigFiles(key.slice(folder.length + 1), async (name) => await text(`${folder}/${name}`) ?? Promise.reject(new Error(`there is no ${name}`)));
  return configRevision({ files, candidates: await text(`${folder}/llm_candidates.json`), degradedMode: await text(`${folder}/degraded-mode.yaml`) });
}

function metricsOf({ revision, requests, failed }: FakeGateway): string {
  const labels = 'route="/v1/chat/completions",model="chat",provider="openai"';
  return `# TYPE gateway_requests_total counter
gateway_requests_total{${labels},status="200"} ${String(requests - failed)}
gateway_requests_total{${labels},status="503"} ${String(failed)}
gateway_failed_requests_total{route="/v1/chat/completions",model="chat",reason="upstream"} ${String(failed)}
gateway_requests_total{route="/health/config",model="none",provider="none",status="500"} 100000
gateway_config_info{revision="${revision}"} 1
process_start_time_seconds 1763900000
`;
}
