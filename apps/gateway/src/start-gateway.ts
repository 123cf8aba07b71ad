import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { DEFAULT_DEGRADED_MODE, parseDegradedMode, parseGatewayConfig, type ConfigTexts } from '@pointsman/gateway-config';
import { LiveValue } from '@pointsman/live-value';
import { loadPriceMap } from '@pointsman/pricing';
import { providerIds, UpstreamPools } from '@pointsman/providers';
import { CircuitBreakers, Cooldowns, RetryBudget } from '@pointsman/resilience';
import { DeploymentStatsRegistry, strategyNames } from '@pointsman/routing';
import { telemetrySettings } from '@pointsman/service';
import { startTelemetry, type Telemetry } from '@pointsman/telemetry';
import { sleep, systemClock } from '@pointsman/timing';
import { MasterKeyStore } from './access/key-store.ts';
import { generatedMasterKey } from './access/master-key.ts';
import { LiveKeyStore } from './access/live-key-store.ts';
import { openBandits } from './bandit/open-bandits.ts';
import { createResponseCache } from './cache/create-response-cache.ts';
import type { DispatchParts } from './dispatch/dispatch.ts';
import type { GatewayContext } from './endpoints/gateway-context.ts';
import { createRequestListener } from './http/create-app.ts';
import { DrainGate } from './http/drain-gate.ts';
import { listen } from './http/listen.ts';
import { createJudgeBudget } from './judge/judge-budget.ts';
import { openJudge } from './judge/open-judge.ts';
import { modelMetrics } from './models/model-metrics.ts';
import { openRouterModels } from './models/open-router-models.ts';
import { GatewayMetrics } from './record/gateway-metrics.ts';
import { openRecords } from './record/open-records.ts';
import type { GatewaySettings } from './settings.ts';
import { adoptSettings, compileSnapshot, emptySnapshot, type SnapshotParts } from './snapshot/compile-snapshot.ts';
import { readSecretFiles, type Environment } from './snapshot/secret-files.ts';
import { createAppliedFile, thisProcess } from './snapshot/applied-file.ts';
import { followConfig, type CheckedConfig } from './snapshot/follow-config.ts';
import { readGeneration } from './snapshot/read-generation.ts';
import { openGatewayState } from './state/open-gateway-state.ts';
import { version } from './version.ts';

export interface Gateway {
  readonly url: string;
  readonly telemetry: Telemetry;
  /** Reads the configuration again. Never rejects: what is wrong with it is reported and the old one serves on. */
  reload(reason: string): Promise<void>;
  /** Refuses new work, lets running work finish up to the limit, ends the rest with an error frame. */
  drain(): Promise<void>;
  /** Closes listener, watcher and pools. Telemetry stays: whoever started the process flushes it last. */
  close(): Promise<void>;
}

const servedProviders: ReadonlySet<string> = new Set(providerIds);
/** How long a start waits for router models: past it the gateway listens and routes by beliefs. */
const MODELS_START_LIMIT_MS = 10_000;
const EMPTY_CONFIG = 'model_list: []';

/** Builds the parts, wires them and listens. main.ts and tests both start the gateway here. */
export async function startGateway(settings: GatewaySettings): Promise<Gateway> {
  const telemetry = startTelemetry(telemetrySettings(settings.telemetry, { name: 'pointsman-gateway', version }));
  const { logger } = telemetry;
  const metrics = new GatewayMetrics(telemetry.metrics);
  const gate = new DrainGate();
  telemetry.metrics.onCollect(() => metrics.inflight(gate.running));

  // Outside every snapshot on purpose: a reload keeps warm connections, open breakers and what was learned of deployments.
  const clock = systemClock;
  const pools = new UpstreamPools();
  const breakers = new CircuitBreakers({ clock, onChange: ({ name, state, previous }) => {
    metrics.breakerChanged(name, state);
    logger.warn('circuit breaker changed', { target: name, state, previous });
  } });
  const modelFigures = modelMetrics(telemetry.metrics);
  const models = openRouterModels({
    settings: settings.models, clock, logger,
    events: {
      applied: (served, previous) => {
        const { name, version: applied, revision } = served;
        modelFigures.applied(served, previous);
        records.audit.record({ actor: 'system:models', action: 'model.apply', resource: `model:${name}`, before: previous === undefined ? undefined : { version: previous.version, revision: previous.revision }, after: { version: applied, revision } });
        void follower.publish();
      },
      retired: modelFigures.retired,
      refused: (model, revision, refusal) => {
        const { name, version: refused } = model;
        modelFigures.refused(model, revision, refusal);
        records.audit.record({ actor: 'system:models', action: 'model.reject', resource: `model:${name}`, after: { version: refused ?? null, revision, reason: refusal } });
        void follower.publish();
      },
    },
  });
  const bandits = openBandits({
    ...settings.bandit, redisUrl: settings.redisUrl, home: settings.home, replicaId: randomBytes(9).toString('base64url'), clock, logger, metrics: telemetry.metrics,
  });
  // What `os.environ/NAME` looks in: the environment, and over it the files of SECRETS_DIR as they were last read.
  const secrets: { env: Environment } = { env: settings.env };
  const { secretsDirectory } = settings;
  const parts: SnapshotParts = {
    models, bandits, modules: { allowed: settings.allowStrategyModules, directory: dirname(settings.configPath) }, pools, breakers, clock, random: Math.random, prices: loadPriceMap(),
    get env() {
      return secrets.env;
    },
    cooldowns: new Cooldowns({ clock }), retryBudget: new RetryBudget({ clock }), stats: new DeploymentStatsRegistry(),
    onProviderProblem: ({ group, configuredModel }, problem) => logger.oncePerState(`provider ${group} ${configuredModel}`).change(problem, 'warn', 'deployment cannot be called yet', { model_group: group, model: configuredModel, problem }),
    onDecisionProblem: (problem, strategy, cause) => {
      metrics.decisionTimedOut(strategy);
      logger.oncePerState(`strategy ${strategy}`).change(problem, 'error', 'strategy failed, default order used', { strategy, problem, reason: cause });
    },
  };
  const parse = (texts: ConfigTexts): CheckedConfig => ({
    degradedMode: texts.degradedMode === undefined ? DEFAULT_DEGRADED_MODE : parseDegradedMode(texts.degradedMode),
    ...parseGatewayConfig({
      ...texts, env: secrets.env, providerIds: servedProviders, implementedStrategies: new Set<string>(strategyNames),
      providerOfModel: (model) => parts.prices.get(model)?.provider,
    }),
  });
  const live = new LiveValue(emptySnapshot(parse({ files: [{ path: 'none', text: EMPTY_CONFIG }] }).config), (snapshot) => snapshot.close());

  const generated = settings.masterKey === undefined ? await generatedMasterKey(settings.home) : undefined;
  const fallbackKey = settings.masterKey ?? generated?.key ?? '';
  const master = new LiveKeyStore(new MasterKeyStore(fallbackKey));
  // What holds without Redis and Postgres must be known before they are asked; whether the file is right is told when the configuration is read.
  const degradedMode = await readGeneration(settings).then(({ degradedMode: text }) => parse({ files: [{ path: 'none', text: EMPTY_CONFIG }], degradedMode: text }).degradedMode).catch(() => DEFAULT_DEGRADED_MODE);
  const state = await openGatewayState({ settings, degradedMode, master, clock, logger, metrics });
  const { database, redis, keys, limits } = state;
  metrics.arms.shareWith(redis.channel);
  const records = await openRecords({ database, home: settings.home, pod: settings.telemetry.POD_NAME ?? hostname(), clock, logger, metrics: telemetry.metrics });
  const cacheState = logger.oncePerState('cache');
  const cache = createResponseCache({
    keyValue: (type) => redis.keyValue(type), clock, metrics: telemetry.metrics,
    onProblem: (problem, cause) => cacheState.change(problem ?? 'well', problem === undefined ? 'info' : 'warn', problem === undefined ? 'cache is well again' : 'cache has a problem', { problem, reason: cause }),
  });

  const pidFile = join(settings.runDir, 'gateway.pid');
  let modelsFollowed: Promise<void> | undefined;
  const identity = thisProcess();
  const applied = createAppliedFile({ runDir: settings.runDir, process: identity, logger });
  const follower = followConfig({
    ...settings, pollMs: settings.configPollMs, live, logger, metrics, now: () => clock.now(),
    parse,
    readSecrets: secretsDirectory === undefined ? undefined : async () => {
      const read = await readSecretFiles(secretsDirectory, settings.env);
      secrets.env = read.env;
      return read.digest;
    },
    compile: ({ config }) => compileSnapshot(config, parts),
    adopt: (snapshot, checked) => {
      adoptSettings(snapshot, parts);
      const { revision } = live.current;
      if (snapshot.revision !== revision) records.audit.record({ actor: 'system:config', action: 'config.reload', resource: `config:${snapshot.revision}`, before: { revision: revision === '' ? null : revision }, after: { revision: snapshot.revision } });
      master.replace(new MasterKeyStore(snapshot.config.masterKey ?? fallbackKey));
      state.setDegradedMode(checked.degradedMode);
      // Not waited for: until a model is there, strategies decide by what is believed of their candidates.
      modelsFollowed = models.follow(snapshot.config.router);
    },
    models: () => models.report(),
    onReport: (report) => applied.write(report),
  });
  const reload = async (reason: string): Promise<void> => {
    await follower.reload(reason);
    await models.refresh(reason);
    await follower.publish();
  };
  const dispatch: DispatchParts = {
    retryBudget: parts.retryBudget, cooldowns: parts.cooldowns, random: Math.random,
    onDecision: (decision) => metrics.decided(decision),
    onFallback: (from, to) => metrics.fellBack(from, to),
    onRetry: (group, reason) => metrics.retried(group, reason),
    onAttemptEnd: (deployment, outcome) => metrics.attemptEnded(deployment, outcome),
  };
  const judge = openJudge({
    live, dispatch, budget: createJudgeBudget({ shared: redis.shared, clock }), random: Math.random, traces: telemetry.traces, logger, metrics: telemetry.metrics,
    book: records.book,
    onScore: (answer) => {
      bandits.judged(answer);
      if (answer.requestId !== undefined) metrics.arms.scored({ requestId: answer.requestId, score: answer.score, source: 'judge' });
    },
  });
  const context: GatewayContext = {
    live, gate, telemetry, metrics, keys, limits, cache, database, pools, breakers, prices: parts.prices, audit: records.audit, bandits,
    book: (exchange, record) => {
      records.book(exchange, record);
      bandits.ended(exchange.requestId, record, exchange.snapshot.config);
    },
    accessChanged: (tokens) => state.accessChanged(tokens),
    degraded: () => state.degraded(),
    dispatch, judge,
    reloadReport: () => ({ ...identity, ...follower.report() }),
    reload,
  };
  await follower.reload('start');
  const waited = new AbortController();
  await Promise.race([modelsFollowed, sleep(MODELS_START_LIMIT_MS, waited.signal)]);
  waited.abort();
  if (generated?.created === true && live.current.config.masterKey === undefined) {
    logger.warn('master key generated: none is configured by LITELLM_MASTER_KEY or general_settings.master_key', { path: generated.path });
  }
  await telemetry.librariesTraced;
  const { server, url, port } = await listen(createRequestListener(context), {
    host: settings.host, port: settings.port, headersTimeoutMs: settings.requestHeadersTimeoutMs, bodyTimeoutMs: settings.requestBodyTimeoutMs,
  });
  await mkdir(settings.runDir, { recursive: true }).then(() => writeFile(pidFile, `${String(process.pid)}\n`)).catch((error: unknown) => {
    logger.warn('pid file not written: config-sync cannot signal this gateway', { path: pidFile, reason: error });
  });
  logger.info('listening', { url, port, config_path: settings.configPath, ready: live.current.ready });

  return {
    url,
    telemetry,
    reload,
    async drain() {
      const startedAt = clock.monotonic();
      logger.info('draining', { running: gate.running, limit_ms: settings.drainLimitMs });
      const [ended] = await Promise.all([gate.drain(settings.drainLimitMs), judge.close()]);
      const passed = clock.monotonic() - startedAt;
      if (passed < settings.drainDelayMs) await new Promise((resolve) => setTimeout(resolve, settings.drainDelayMs - passed));
      logger.info('drained', { ended_by_limit: ended, took_ms: Math.round(clock.monotonic() - startedAt) });
    },
    async close() {
      await follower.close();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      // What still holds a socket now has had its answer: a peer that does not read it may not keep the process.
      const stragglers = setTimeout(() => server.closeAllConnections(), 1_000);
      await closed;
      clearTimeout(stragglers);
      // What the last requests cost is written before the doors it goes through are closed.
      await judge.close();
      await records.close();
      await bandits.close();
      await state.close();
      live.close();
      await models.close();
      await pools.close();
      await Promise.all([pidFile, applied.path].map((path) => rm(path, { force: true }).catch(() => undefined)));
    },
  };
}
