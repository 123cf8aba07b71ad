import { AppError, describeUnknown } from '@pointsman/errors';
import { LiveValue, type Lease } from '@pointsman/live-value';
import { ModelRefusedError, type ModelRefusal, type RouterModel } from '@pointsman/routing';
import type { GatewayReport, ServedModel } from '@pointsman/schemas';
import type { Logger } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import { findGeneration, findLastServed, versionOf, type FoundGeneration } from './find-generation.ts';
import type { PrepareModel } from './model-preparation.ts';
import { watchModels } from './watch-models.ts';

export interface WantedModel {
  readonly name: string;
  /** Undefined: whatever `current` points to. */
  readonly version: string | undefined;
}

/** Where requests get a model from. Stays good for ever: hold it in a snapshot. */
export interface ModelSlot extends WantedModel {
  /** The wanted version, or the last good model of that name while the wanted one is not there or refused. Undefined before the first one. One map look-up. */
  acquire(): Lease<RouterModel> | undefined;
}

/** What happens to models, for metrics and the audit log; called in the turn in which it happens. */
export interface ModelStoreEvents {
  applied?(model: ServedModel, previous: ServedModel | undefined): void;
  retired?(model: ServedModel): void;
  refused?(model: WantedModel, revision: string, refusal: ModelRefusal | 'failed'): void;
}

export interface ModelStoreParts {
  readonly modelsDir: string;
  readonly prepare: PrepareModel;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events?: ModelStoreEvents;
  /** How often to look without being told. */
  readonly pollMs?: number;
  /** How long a model that is no longer wanted stays for a rollback at once; at most one per name, and none while another one is prepared. */
  readonly keepPreviousMs?: number;
  /** When a refused generation is tried again although it is the same. */
  readonly retryRefusedMs?: number;
}

export type RejectedModel = NonNullable<GatewayReport['rejected_models']>[number];

export interface ModelStore {
  /** Says which models the configuration names, the one that serves most first. Resolves when each of them serves, is refused or is not there; never rejects. */
  want(models: readonly WantedModel[]): Promise<void>;
  /** Looks at the disk again; resolves as `want` does. A generation that was refused is not tried again for that. */
  refresh(reason: string): Promise<void>;
  slot(name: string, version: string | undefined): ModelSlot;
  report(): { readonly models: ServedModel[]; readonly rejected_models: RejectedModel[] };
  /** Stops what runs and gives back every model that no request holds any more. */
  close(): Promise<void>;
}

/** A model in memory. */
interface Loaded {
  readonly revision: string;
  readonly live: LiveValue<RouterModel>;
  readonly served: ServedModel;
  /** Monotonic time since which no slot needs it. */
  spareSince: number | undefined;
}

interface Refused {
  readonly revision: string;
  readonly fingerprint: string;
  readonly triedAt: number;
  readonly retryMs: number;
  readonly told: RejectedModel;
}

/** All of one name. */
interface NamedModels {
  /** By wanted version. An entry stays for requests of older snapshots until its model is retired. */
  readonly serving: Map<string | undefined, Loaded>;
  readonly loaded: Map<string, Loaded>;
  /** Wanted versions, the main one first. */
  wanted: readonly (string | undefined)[];
  readonly refused: Map<string | undefined, Refused>;
  /** What was to serve in place of a wanted version and could not, by revision. */
  readonly refusedInstead: Map<string, Refused>;
  lastGood: Loaded | undefined;
}

const NO_MEMORY_RETRY_MS = 30_000;
/** Why a generation is prepared that no configuration names. */
const INSTEAD = 'last good';

/**
 * Keeps the router models that the configuration names in memory, in step with what model-sync publishes under `modelsDir`. Prepare, swap, dispose: a generation is prepared
 * beside the one that serves, one at a time; serving it is one assignment; the old one is given back when its last request ends. A bad one changes nothing and says why.
 */
export function createModelStore(parts: ModelStoreParts): ModelStore {
  return new FollowingModelStore(parts);
}

class FollowingModelStore implements ModelStore {
  readonly #parts: Required<Pick<ModelStoreParts, 'pollMs' | 'keepPreviousMs' | 'retryRefusedMs'>> & ModelStoreParts;
  readonly #names = new Map<string, NamedModels>();
  readonly #disposals = new Set<Promise<void>>();
  #wanted: readonly WantedModel[] = [];
  #preparing: { readonly model: WantedModel; readonly stop: AbortController } | undefined;
  #running: Promise<void> | undefined;
  #again: Promise<void> | undefined;
  #poll: NodeJS.Timeout | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #endWatch: (() => Promise<void>) | undefined;
  #closed = false;

  constructor(parts: ModelStoreParts) {
    this.#parts = { pollMs: 10_000, keepPreviousMs: 60_000, retryRefusedMs: 600_000, ...parts };
  }

  want(models: readonly WantedModel[]): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#wanted = models;
    for (const [name, state] of this.#names) {
      state.wanted = models.filter((model) => model.name === name).map(({ version }) => version);
      for (const version of state.refused.keys()) if (!state.wanted.includes(version)) state.refused.delete(version);
    }
    for (const { name, version } of models) {
      const state = this.#state(name);
      if (!state.wanted.includes(version)) state.wanted = [...state.wanted, version];
    }
    const { model, stop } = this.#preparing ?? {};
    // The latest wish wins: minutes of work for a model that nobody wants any more would hold up the one that is wanted.
    if (model !== undefined && !models.some(({ name, version }) => name === model.name && version === model.version)) stop?.abort(new Error('The model is no longer wanted.'));
    if (models.length > 0) this.#follow();
    return this.refresh('config');
  }

  refresh(reason: string): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (this.#running === undefined) {
      this.#running = this.#pass(reason).finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    // What changed while a pass runs may have been looked at before: one more, shared by all who ask meanwhile.
    this.#again ??= this.#running.then(() => {
      this.#again = undefined;
      return this.refresh(reason);
    });
    return this.#again;
  }

  slot(name: string, version: string | undefined): ModelSlot {
    const state = this.#state(name);
    return { name, version, acquire: () => (state.serving.get(version) ?? state.lastGood)?.live.acquire() };
  }

  report(): { readonly models: ServedModel[]; readonly rejected_models: RejectedModel[] } {
    const models = new Map<Loaded, ServedModel>();
    const rejected: RejectedModel[] = [];
    for (const { name, version } of this.#wanted) {
      const state = this.#state(name);
      const loaded = state.serving.get(version) ?? state.lastGood;
      if (loaded !== undefined) models.set(loaded, loaded.served);
      const refused = state.refused.get(version);
      if (refused !== undefined) rejected.push(refused.told);
    }
    return { models: [...models.values()], rejected_models: rejected };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#sweep);
    this.#preparing?.stop.abort(new Error('The gateway stops.'));
    await this.#endWatch?.();
    await this.#running;
    for (const state of this.#names.values()) for (const loaded of state.loaded.values()) this.#retire(state, loaded);
    await Promise.all(this.#disposals);
  }

  #state(name: string): NamedModels {
    let state = this.#names.get(name);
    if (state === undefined) {
      state = { serving: new Map(), loaded: new Map(), wanted: [], refused: new Map(), refusedInstead: new Map(), lastGood: undefined };
      this.#names.set(name, state);
    }
    return state;
  }

  /** A gateway without router models watches nothing. */
  #follow(): void {
    const { modelsDir, pollMs, logger } = this.#parts;
    if (this.#endWatch !== undefined) return;
    this.#endWatch = watchModels({
      modelsDir, onChange: () => void this.refresh('file change'),
      // A watch that the system refuses (no inotify instances left) leaves the poll: slower, never deaf.
      onError: (error) => logger.oncePerState('models-watch').change('failed', 'warn', 'models watch failed, polling only', { reason: describeUnknown(error) }),
    });
    this.#poll = setInterval(() => void this.refresh('poll'), pollMs);
  }

  /** Never rejects. */
  async #pass(reason: string): Promise<void> {
    for (const model of this.#wanted) {
      if (this.#closed) return;
      await this.#bring(model, reason);
      if (!this.#closed) await this.#serveInstead(model);
    }
    this.#spare();
  }

  async #bring(model: WantedModel, trigger: string): Promise<void> {
    const { modelsDir, logger, clock } = this.#parts;
    const { name, version } = model;
    const state = this.#state(name);
    const news = logger.oncePerState(`model ${name} ${version ?? 'current'}`);
    const found = await findGeneration(modelsDir, name, version);
    if (found === undefined) {
      const serving = (state.serving.get(version) ?? state.lastGood)?.revision ?? null;
      news.change('missing', 'warn', 'model is not there yet', { model: name, model_version: version ?? null, serving_revision: serving });
      return;
    }
    const { revision } = found;
    if (state.serving.get(version)?.revision === revision) {
      this.#serve(state, model, state.serving.get(version), trigger);
      return;
    }
    const loaded = state.loaded.get(revision);
    if (loaded !== undefined) {
      this.#serve(state, model, loaded, trigger);
      return;
    }
    const refused = state.refused.get(version);
    // A signal from model-sync asks to look, not to crash once more over the same bytes.
    if (refused?.revision === revision && refused.fingerprint === found.fingerprint && clock.monotonic() - refused.triedAt < refused.retryMs) return;
    await this.#prepare(model, found, trigger);
  }

  /** A process that begins while the wanted version is missing or refused serves what the one before it served. */
  async #serveInstead(model: WantedModel): Promise<void> {
    const state = this.#state(model.name);
    if (state.lastGood !== undefined || !this.#wanted.includes(model)) return;
    for (const found of await findLastServed(this.#parts.modelsDir, model.name)) {
      const stands = (refused: Refused | undefined): boolean =>
        refused?.revision === found.revision && refused.fingerprint === found.fingerprint && this.#parts.clock.monotonic() - refused.triedAt < refused.retryMs;
      if (stands(state.refusedInstead.get(found.revision)) || [...state.refused.values()].some(stands)) continue;
      await this.#prepare(model, found, INSTEAD);
      if (state.lastGood !== undefined || this.#closed || !this.#wanted.includes(model)) return;
    }
  }

  async #prepare(model: WantedModel, found: FoundGeneration, trigger: string): Promise<void> {
    const { prepare, logger, clock } = this.#parts;
    const { revision, directory } = found;
    const state = this.#state(model.name);
    // Never three in memory: what is only kept for a rollback makes room.
    for (const named of this.#names.values()) for (const loaded of this.#unneeded(named)) this.#retire(named, loaded);
    const stop = new AbortController();
    this.#preparing = { model, stop };
    const startedAt = clock.monotonic();
    let ready: RouterModel | undefined;
    try {
      logger.info('model preparing', { model: model.name, revision, trigger });
      ready = await prepare(directory, stop.signal);
      const { name, version } = ready.manifest;
      if (name !== model.name || version !== versionOf(revision)) throw new ModelRefusedError('manifest', `The manifest is of ${name} ${version}.`);
      stop.signal.throwIfAborted();
      const served: ServedModel = { name, version, revision, applied_at: new Date(clock.now()).toISOString() };
      const taken = ready;
      const loaded: Loaded = { revision, served, spareSince: undefined, live: new LiveValue(taken, () => this.#dispose(taken)) };
      ready = undefined;
      state.loaded.set(revision, loaded);
      if (trigger === INSTEAD) {
        state.lastGood = loaded;
        logger.warn('last good model serves in place of the wanted one', { model: name, revision, model_version: model.version ?? null });
        this.#parts.events?.applied?.(served, undefined);
      } else {
        this.#serve(state, model, loaded, trigger, Math.round(clock.monotonic() - startedAt));
      }
    } catch (error) {
      if (ready !== undefined) this.#dispose(ready);
      if (!stop.signal.aborted) this.#refuse(state, model, found, error, trigger === INSTEAD);
    } finally {
      this.#preparing = undefined;
    }
  }

  /** The swap: assignments only. */
  #serve(state: NamedModels, model: WantedModel, loaded: Loaded | undefined, trigger: string, tookMs?: number): void {
    const { name, version } = model;
    const previous = state.serving.get(version) ?? state.lastGood;
    if (loaded === undefined) return;
    state.serving.set(version, loaded);
    state.refused.delete(version);
    // A canary is not what the others fall back to.
    if (state.wanted[0] === version || state.lastGood === undefined) state.lastGood = loaded;
    loaded.spareSince = undefined;
    if (previous === loaded) return;
    this.#parts.logger.oncePerState(`model ${name} ${version ?? 'current'}`).change(`serving ${loaded.revision}`, 'info', 'model applied', {
      model: name, revision: loaded.revision, previous_revision: previous?.revision ?? null, trigger, ...(tookMs === undefined ? {} : { took_ms: tookMs }),
    });
    this.#parts.events?.applied?.(loaded.served, previous?.served);
  }

  #refuse(state: NamedModels, model: WantedModel, { revision, fingerprint }: FoundGeneration, error: unknown, instead: boolean): void {
    const { logger, clock, retryRefusedMs, events } = this.#parts;
    const { name, version } = model;
    const refusal = error instanceof ModelRefusedError ? error.refusal : 'failed';
    const reason = error instanceof AppError ? error.message : describeUnknown(error);
    const told: RejectedModel = { name, version: versionOf(revision) ?? version ?? '', revision, reason, at: new Date(clock.now()).toISOString() };
    const refused: Refused = { revision, fingerprint, triedAt: clock.monotonic(), retryMs: refusal === 'no_memory' ? Math.min(NO_MEMORY_RETRY_MS, retryRefusedMs) : retryRefusedMs, told };
    if (instead) state.refusedInstead.set(revision, refused);
    else state.refused.set(version, refused);
    logger.oncePerState(`model ${name} ${version ?? 'current'}`).change(`rejected ${revision} ${reason}`, 'error', 'model rejected', {
      model: name, revision, refusal, reason, serving_revision: (state.serving.get(version) ?? state.lastGood)?.revision ?? null, ...(error instanceof Error && error.cause !== undefined ? { cause: describeUnknown(error.cause) } : {}),
    });
    events?.refused?.(model, revision, refusal);
  }

  /** Loaded models that no wanted version is served by. */
  #unneeded(state: NamedModels): Loaded[] {
    const needed = new Set(state.wanted.map((version) => state.serving.get(version) ?? state.lastGood));
    return [...state.loaded.values()].filter((loaded) => !needed.has(loaded));
  }

  /** Lets go of what is not needed: the newest of each name after a while, for a rollback at once, the others now. */
  #spare(): void {
    const { clock, keepPreviousMs } = this.#parts;
    clearTimeout(this.#sweep);
    let nextMs = Infinity;
    for (const state of this.#names.values()) {
      const spares = this.#unneeded(state);
      for (const loaded of spares) loaded.spareSince ??= clock.monotonic();
      const kept = spares.at(-1);
      for (const loaded of spares) {
        const leftMs = (loaded.spareSince ?? 0) + keepPreviousMs - clock.monotonic();
        if (loaded === kept && leftMs > 0) nextMs = Math.min(nextMs, leftMs);
        else this.#retire(state, loaded);
      }
    }
    if (nextMs < Infinity && !this.#closed) this.#sweep = setTimeout(() => this.#spare(), nextMs + 1);
  }

  #retire(state: NamedModels, loaded: Loaded): void {
    state.loaded.delete(loaded.revision);
    for (const [version, served] of state.serving) if (served === loaded) state.serving.delete(version);
    if (state.lastGood === loaded) state.lastGood = undefined;
    this.#parts.events?.retired?.(loaded.served);
    loaded.live.close();
  }

  #dispose(model: RouterModel): void {
    const disposal = model.close().catch((error: unknown) => {
      this.#parts.logger.warn('model not closed', { model: model.manifest.name, revision: model.revision, reason: describeUnknown(error) });
    }).finally(() => this.#disposals.delete(disposal));
    this.#disposals.add(disposal);
  }
}
