/// <reference lib="esnext.float16" />
import { createHmac, randomBytes } from 'node:crypto';
import type { Decision, EmbedderIdentity, PromptFeatures } from '@pointsman/routing';
import { attribute, type RequestSpan } from '@pointsman/telemetry';
import type { Exchange } from '../http/exchange.ts';
import type { ExchangeRecord } from './exchange-record.ts';

// What a training row needs besides the decision and the outcome. docs/traces.md tells what of a prompt leaves the process, and what never does.

/** A prompt that comes again this soon was not well answered. */
const RETRY_WINDOW_MS = 60_000;
const MAX_REMEMBERED = 8_192;

/**
 * Which prompts were asked lately. Remembers digests under a key that dies with the process, so that nobody can look a prompt up by guessing it;
 * the least recent give way. Only of this replica: a retry that another one gets is not seen.
 */
export class RecentPrompts {
  readonly #key = randomBytes(32);
  /** By digest, oldest first. */
  readonly #asked = new Map<string, { readonly requestId: string; readonly atMs: number }>();
  readonly #capacity: number;

  constructor(capacity = MAX_REMEMBERED) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#asked.size;
  }

  /** Remembers that a caller asked this; the id of its request with the same features within the last minute. `nowMs` is monotonic. */
  ask(caller: string, { text, ngramIndex, ngramValue, embedding }: PromptFeatures, requestId: string, nowMs: number): string | undefined {
    const hmac = createHmac('sha256', this.#key).update(caller);
    for (const array of [text, ngramIndex, ngramValue, embedding]) hmac.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    const digest = hmac.digest('base64');
    const before = this.#asked.get(digest);
    this.#asked.delete(digest);
    this.#asked.set(digest, { requestId, atMs: nowMs });
    if (this.#asked.size > this.#capacity) {
      for (const oldest of this.#asked.keys()) {
        this.#asked.delete(oldest);
        break;
      }
    }
    return before !== undefined && nowMs - before.atMs <= RETRY_WINDOW_MS ? before.requestId : undefined;
  }
}

const recentPrompts = new RecentPrompts();
const embedders = new WeakMap<EmbedderIdentity, string>();

/** `name/dimensions/sha256`: which vectors can be compared. */
function embedderName(embedder: EmbedderIdentity): string {
  let name = embedders.get(embedder);
  if (name === undefined) embedders.set(embedder, name = `${embedder.name}/${String(embedder.dimensions)}/${embedder.sha256}`);
  return name;
}

/** Base64 of float16, little endian: two bytes a number, a relative error of at most 1/2048. */
export function encodeEmbedding(embedding: Float32Array): string {
  const half = new Float16Array(embedding);
  return Buffer.from(half.buffer, half.byteOffset, half.byteLength).toString('base64');
}

/** The features that a decision was made from. Of the prompt itself only what the configuration lets a span keep. */
function addFeatures(trace: RequestSpan, { features, embedder, kept }: Decision): void {
  if (features === undefined) return;
  trace.set(attribute.ROUTER_FEATURES, [...features.text]);
  if (embedder !== undefined) {
    trace.set(attribute.ROUTER_EMBEDDER, embedderName(embedder));
    if (features.embedding.length > 0) trace.set(attribute.ROUTER_EMBEDDING, encodeEmbedding(features.embedding));
  }
  if (kept === undefined) return;
  if (kept.ngrams) {
    trace.set(attribute.ROUTER_NGRAM_INDEX, [...features.ngramIndex]);
    trace.set(attribute.ROUTER_NGRAM_VALUE, [...features.ngramValue]);
  }
  trace.set(attribute.ROUTER_PROMPT, kept.prompt);
}

/** Adds to a recorded request span what training learns from. Costs nothing where no strategy read the prompt and nothing went wrong. */
export function addRoutingEvent(exchange: Pick<Exchange, 'trace' | 'requestId' | 'isAuthenticated' | 'principal'>, record: ExchangeRecord): void {
  const { decision, usage } = record;
  const { trace } = exchange;
  if (decision === undefined) return;
  if (record.error !== undefined) trace.set(attribute.ROUTER_SIGNAL_ERROR, true);
  else if (record.clientGone) trace.set(attribute.ROUTER_SIGNAL_ABORTED, true);
  else if (usage?.completionTokens === 0 && record.operation !== 'embeddings' && !record.cacheHit) trace.set(attribute.ROUTER_SIGNAL_EMPTY, true);
  if (decision.features === undefined) return;
  addFeatures(trace, decision);
  trace.set(attribute.ROUTER_SIGNAL_RETRY_OF, recentPrompts.ask(exchange.isAuthenticated ? exchange.principal.keyHash : '', decision.features, exchange.requestId, performance.now()));
}
