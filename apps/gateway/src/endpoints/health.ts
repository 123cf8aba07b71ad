import type { IncomingMessage, ServerResponse } from 'node:http';
import { serve, type Handler } from '../http/serve.ts';
import { sendJson } from '../http/send-json.ts';
import type { GatewayContext } from './gateway-context.ts';

/** The process lives. Open, also while draining: a draining pod must not be killed. */
export function liveness(): Handler {
  return (_req, res) => sendJson(res, 200, "I'm alive!");
}

/**
 * Whether this replica wants traffic: 503 while draining and before the first valid configuration. Never because something else is away: all replicas would leave at
 * once. The body tells what is (LiteLLM's `db`, and `degraded`).
 */
export function readiness({ gate, live, database, degraded }: GatewayContext): Handler {
  return (_req, res) => {
    if (gate.draining) sendJson(res, 503, { status: 'shutting_down' });
    else if (!live.current.ready) sendJson(res, 503, { status: 'no_valid_configuration' });
    else {
      const db = !database.isConfigured ? 'Not connected' : database.isAway ? 'disconnected' : 'connected';
      const away = degraded?.() ?? [];
      sendJson(res, 200, { status: 'healthy', db, config_revision: live.current.revision, ...(away.length === 0 ? {} : { degraded: away }) });
    }
  };
}

export function configHealth(context: GatewayContext): Handler {
  return serve(context, { route: '/health/config', beforeReady: true }, ({ exchange }) => {
    sendJson(exchange.res, 200, context.reloadReport());
  });
}

/** `POST /config/reload`: SIGHUP for those who cannot send signals. Answers when it is done, with what came of it. */
export function reloadNow(context: GatewayContext): Handler {
  return serve(context, { route: '/config/reload', beforeReady: true }, async ({ exchange }) => {
    await context.reload('request');
    sendJson(exchange.res, 200, context.reloadReport());
  });
}

/** What the gateway knows of its deployments without calling any: breakers, cooldowns, load. LiteLLM's names. */
export function deploymentHealth(context: GatewayContext): Handler {
  return serve(context, { route: '/health' }, ({ exchange }) => {
    const healthy: unknown[] = [];
    const unhealthy: unknown[] = [];
    for (const { models } of exchange.snapshot.listed) {
      for (const { id, group, configuredModel } of models) {
        const breaker = context.breakers.get(id);
        const coolingUntil = context.dispatch.cooldowns.coolingUntil(id);
        const entry = {
          model: configuredModel, model_name: group, model_id: id, breaker: breaker.state,
          ...(coolingUntil === undefined ? {} : { cooling_until: new Date(coolingUntil).toISOString() }),
        };
        (breaker.state === 'open' || coolingUntil !== undefined ? unhealthy : healthy).push(entry);
      }
    }
    sendJson(exchange.res, 200, { healthy_endpoints: healthy, unhealthy_endpoints: unhealthy, healthy_count: healthy.length, unhealthy_count: unhealthy.length });
  });
}

export function metricsExposition(context: GatewayContext): Handler {
  const write = (res: ServerResponse): void => {
    context.telemetry.metrics.exposition().then(({ contentType, text }) => {
      res.writeHead(200, { 'content-type': contentType, 'content-length': Buffer.byteLength(text) });
      res.end(text);
    }).catch((error: unknown) => res.destroy(error instanceof Error ? error : undefined));
  };
  const guarded = serve(context, { route: '/metrics', beforeReady: true }, ({ exchange }) => write(exchange.res));
  return (req: IncomingMessage, res: ServerResponse) => {
    if (context.live.current.config.requireAuthForMetrics) guarded(req, res);
    else write(res);
  };
}
