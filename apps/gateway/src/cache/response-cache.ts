import type { WireFormat } from '@pointsman/providers';
import type { Usage } from '@pointsman/wire-formats';
import type { Principal } from '../access/principal.ts';
import type { ReplyTap } from '../dispatch/reply-writer.ts';
import type { GatewayParameters } from '../dispatch/gateway-parameters.ts';
import type { JsonBody } from '../http/parse-json-body.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** What a cache must know of a request to tell whether it has the reply. */
export interface CacheQuestion {
  readonly snapshot: Snapshot;
  readonly principal: Principal;
  readonly format: WireFormat;
  readonly group: string;
  /** The name that the client asked for. */
  readonly model: string;
  readonly stream: boolean;
  /** What the client sent, before anything for the gateway was split off. */
  readonly body: JsonBody;
  readonly parameters: GatewayParameters;
  /** `cache-control` of the request. */
  readonly cacheControl: string | undefined;
  /** `anthropic-beta` of the request. */
  readonly anthropicBeta: string | undefined;
}

/** A reply that was stored, in the client's format. */
export interface StoredReply {
  /** When it was stored, in milliseconds since the epoch. */
  readonly storedAtMs: number;
  /** The deployment that made it. */
  readonly modelId: string;
  /** What it cost in tokens then. */
  readonly usage: Usage | undefined;
  readonly usageEstimated: boolean;
  readonly finishReason: string | undefined;
  readonly responseId: string | undefined;
  /** One piece for a JSON reply; the pieces as they were written for a stream. At least one. */
  readonly pieces: readonly string[];
}

/** One request's business with the cache. */
export interface CacheVisit {
  /** Shown as `x-litellm-cache-key`. */
  readonly key: string;
  /**
   * Whether other keys see the reply. Then the provider must be sent what the cache has read, not the bytes: JSON with a name twice means one thing here and another
   * to a provider that takes the first, and one caller could store the reply to another question under the key of this one.
   */
  readonly isShared: boolean;
  /** The stored reply; undefined: nothing there, or not asked for (`no-cache`). A cache that is away or slow is a miss, never an error. */
  readonly found: StoredReply | undefined | Promise<StoredReply | undefined>;
  /** Collects the reply to store it when it is whole; undefined with `no-store`. The record is read when the reply is whole. */
  tap(record: ExchangeRecord): ReplyTap | undefined;
}

export interface ResponseCache {
  /** Undefined when the cache has nothing to do with this request: off, or a format or mode it does not serve. */
  visit(question: CacheQuestion): CacheVisit | undefined;
}

/** No cache is configured. */
export const noCache: ResponseCache = { visit: () => undefined };
