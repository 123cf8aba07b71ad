import type { CacheSettings } from '@pointsman/gateway-config';
import type { KeyValue } from '@pointsman/redis';
import { metric, type Metrics } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import type { Principal } from '../access/principal.ts';
import type { ReplyTap } from '../dispatch/reply-writer.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import { NO_CONTROLS, withCacheControl, type CacheControls } from './cache-controls.ts';
import { cacheKeyOf } from './cache-key.ts';
import { ReplyCollector } from './collect-reply.ts';
import type { CacheQuestion, CacheVisit, ResponseCache, StoredReply } from './response-cache.ts';
import { decodeStoredReply, encodeStoredReply } from './stored-reply-bytes.ts';

/** What is wrong with the store: `slow`, `failed` (it threw), `broken` (it answered with other bytes than were stored), `behind` (writes pile up and are dropped). */
export type CacheProblem = 'slow' | 'failed' | 'broken' | 'behind';

export interface ResponseCacheParts {
  /** What serves now, for a configuration that wishes for Redis or for memory. */
  readonly keyValue: (type: CacheSettings['type']) => KeyValue;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Called when a problem begins, and with undefined when it is over: not for each request. */
  readonly onProblem: (problem: CacheProblem | undefined, cause?: unknown) => void;
  /** Nobody waits longer for a stored reply. */
  readonly readTimeoutMs?: number;
}

const READ_TIMEOUT_MS = 250;
/** A store that answers nothing is not asked for more than this. */
const MAX_READS = 1_000;
const MAX_WRITES = 256;
const MAX_WRITING_BYTES = 64 * 1024 * 1024;
/** A problem is over when none was seen for so long. */
const CALM_MS = 10_000;

/**
 * Answers equal requests with the reply that was stored for the first of them. What it knows comes from the snapshot of each request, so a reload counts from the next one.
 * The store may be away, slow or wrong: then requests are misses.
 */
export function createResponseCache(parts: ResponseCacheParts): ResponseCache {
  return new ExactCache(parts);
}

class ExactCache implements ResponseCache {
  readonly #parts: ResponseCacheParts;
  readonly #hits;
  readonly #misses;
  readonly #skips;
  #reads = 0;
  #writes = 0;
  #writingBytes = 0;
  #problem: CacheProblem | undefined;
  #problemSeenAt = 0;

  constructor(parts: ResponseCacheParts) {
    this.#parts = parts;
    const counter = parts.metrics.counter(metric.GATEWAY_CACHE);
    this.#hits = counter.labels('hit');
    this.#misses = counter.labels('miss');
    this.#skips = counter.labels('skipped');
  }

  visit(question: CacheQuestion): CacheVisit | undefined {
    const settings = question.snapshot.config.cache;
    if (settings === undefined) return undefined;
    const controls = controlsOf(question);
    const key = isForTheCache(question, settings, controls) ? keyOf(question, settings, controls) : undefined;
    if (key === undefined) {
      this.#skips.inc(1);
      return undefined;
    }
    const store = this.#parts.keyValue(settings.type);
    const storeKey = settings.namespace === undefined ? key : `${settings.namespace}:${key}`;
    let found: CacheVisit['found'];
    if (controls.noCache || controls.maxAgeMs === 0) this.#skips.inc(1);
    else found = this.#read(store, { key, storeKey, maxAgeMs: controls.maxAgeMs });
    const ttlMs = controls.ttlMs ?? settings.ttlMs;
    const keep = controls.noStore || ttlMs < 1 ? undefined : (record: ExchangeRecord, pieces: readonly string[]): void => {
      const bytes = encodeStoredReply(key, this.#replyOf(record, pieces));
      if (bytes.length <= settings.maxReplyBytes) this.#write(store, storeKey, bytes, ttlMs);
    };
    return new Visit({ key, isShared: settings.scope !== 'key', found, maxBytes: settings.maxReplyBytes, keep });
  }

  #replyOf({ deployment, usage, usageEstimated, finishReason, responseId }: ExchangeRecord, pieces: readonly string[]): StoredReply {
    return { storedAtMs: this.#parts.clock.now(), modelId: deployment?.configured.id ?? '', usage, usageEstimated, finishReason, responseId, pieces };
  }

  #read(store: KeyValue, wanted: Wanted): CacheVisit['found'] {
    if (this.#reads >= MAX_READS) return this.#missed('slow');
    let answer: ReturnType<KeyValue['get']>;
    try {
      answer = store.get(wanted.storeKey);
    } catch (error) {
      return this.#missed('failed', error);
    }
    if (!(answer instanceof Promise)) return this.#decode(wanted, answer);
    this.#reads += 1;
    return new Promise((resolve) => {
      let waiting = true;
      const settle = (reply: () => StoredReply | undefined): void => {
        if (!waiting) return;
        waiting = false;
        clearTimeout(timer);
        resolve(reply());
      };
      const timer = setTimeout(() => settle(() => this.#missed('slow')), this.#parts.readTimeoutMs ?? READ_TIMEOUT_MS);
      answer.then((bytes) => {
        this.#reads -= 1;
        settle(() => this.#decode(wanted, bytes));
      }, (error: unknown) => {
        this.#reads -= 1;
        settle(() => this.#missed('failed', error));
      });
    });
  }

  #decode({ key, maxAgeMs }: Wanted, bytes: Buffer | undefined): StoredReply | undefined {
    if (bytes === undefined) {
      this.#worked();
      this.#misses.inc(1);
      return undefined;
    }
    const reply = decodeStoredReply(key, bytes);
    if (reply === undefined) return this.#missed('broken');
    this.#worked();
    const tooOld = maxAgeMs !== undefined && this.#parts.clock.now() - reply.storedAtMs > maxAgeMs;
    (tooOld ? this.#misses : this.#hits).inc(1);
    return tooOld ? undefined : reply;
  }

  #missed(problem: CacheProblem, cause?: unknown): undefined {
    this.#misses.inc(1);
    this.#failed(problem, cause);
  }

  /** Nobody waits for a write, and what is on its way is bounded: a store that takes nothing must not fill this process. */
  #write(store: KeyValue, key: string, bytes: Buffer, ttlMs: number): void {
    if (this.#writes >= MAX_WRITES || this.#writingBytes + bytes.length > MAX_WRITING_BYTES) {
      this.#failed('behind');
      return;
    }
    let written: void | Promise<void>;
    try {
      written = store.set(key, bytes, ttlMs);
    } catch (error) {
      this.#failed('failed', error);
      return;
    }
    if (!(written instanceof Promise)) return;
    this.#writes += 1;
    this.#writingBytes += bytes.length;
    const done = (): void => {
      this.#writes -= 1;
      this.#writingBytes -= bytes.length;
    };
    written.then(done, (error: unknown) => {
      done();
      this.#failed('failed', error);
    });
  }

  #failed(problem: CacheProblem, cause?: unknown): void {
    this.#problemSeenAt = this.#parts.clock.monotonic();
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.#parts.onProblem(problem, cause);
  }

  #worked(): void {
    if (this.#problem === undefined || this.#parts.clock.monotonic() - this.#problemSeenAt < CALM_MS) return;
    this.#problem = undefined;
    this.#parts.onProblem(undefined);
  }
}

interface Wanted {
  readonly key: string;
  readonly storeKey: string;
  readonly maxAgeMs: number | undefined;
}

interface VisitParts extends Pick<CacheVisit, 'key' | 'isShared' | 'found'> {
  readonly maxBytes: number;
  readonly keep: ((record: ExchangeRecord, pieces: readonly string[]) => void) | undefined;
}

class Visit implements CacheVisit {
  readonly key: string;
  readonly isShared: boolean;
  readonly found: CacheVisit['found'];
  readonly #maxBytes: number;
  readonly #keep: VisitParts['keep'];

  constructor({ key, isShared, found, maxBytes, keep }: VisitParts) {
    this.key = key;
    this.isShared = isShared;
    this.found = found;
    this.#maxBytes = maxBytes;
    this.#keep = keep;
  }

  tap(record: ExchangeRecord): ReplyTap | undefined {
    const keep = this.#keep;
    return keep === undefined ? undefined : new ReplyCollector(record, this.#maxBytes, (pieces) => keep(record, pieces));
  }
}

function controlsOf({ parameters, cacheControl }: CacheQuestion): CacheControls {
  const controls = parameters.cache ?? NO_CONTROLS;
  return cacheControl === undefined ? controls : withCacheControl(controls, cacheControl);
}

/** Made-up replies, servers and credentials of the client's own, and requests that start or continue something at the provider have no reply that another request could use. */
function isForTheCache({ format, parameters, body }: CacheQuestion, settings: CacheSettings, controls: CacheControls): boolean {
  if (!settings.formats.has(format) || (settings.optIn && !controls.useCache)) return false;
  if (parameters.mockResponse !== undefined || parameters.clientSide !== undefined) return false;
  const { background, conversation } = body.outline;
  return format !== 'responses' || (background !== true && (conversation === undefined || conversation === null));
}

const NO_TAGS: readonly string[] = [];

function keyOf({ principal, snapshot, format, stream, group, model, parameters, anthropicBeta, body }: CacheQuestion, { scope }: CacheSettings, { namespace }: CacheControls): string | undefined {
  const filtersByTag = snapshot.config.router.enableTagFiltering;
  return cacheKeyOf({
    scope: scopeOf(principal, scope), namespace: namespace ?? '', format, stream, group, model, beta: anthropicBeta ?? '', body,
    tags: filtersByTag ? [...principal.tags, ...parameters.tags ?? NO_TAGS].sort() : NO_TAGS,
  });
}

/** A key without a team shares with nobody. */
function scopeOf({ keyHash, teamId }: Principal, scope: CacheSettings['scope']): string {
  if (scope === 'shared') return 'shared';
  return scope === 'team' && teamId !== undefined ? `team:${teamId}` : `key:${keyHash}`;
}
