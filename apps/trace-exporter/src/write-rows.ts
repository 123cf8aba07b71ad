import { describeUnknown } from '@pointsman/errors';
import { ObjectStoreError, type ObjectStore } from '@pointsman/object-store';
import { metric, type Logger, type Telemetry } from '@pointsman/telemetry';
import { backoffMs, sleep, type Clock } from '@pointsman/timing';
import { buildObject, feedbackFor, type BuiltObject } from './build-object.ts';
import type { RowSpool, Segment } from './row-spool.ts';
import { objectKeyOf } from './segment-file.ts';

const TICK_MS = 250;
const UPLOAD_TIMEOUT_MS = 30_000;
/** A pod that ends takes its disk with it: the last tries come quickly. */
const LAST_RETRY_MS = 300;
const BACKOFF = { baseMs: 500, maxMs: 30_000 };

export interface RowWriterOptions {
  readonly spool: RowSpool;
  readonly store: Pick<ObjectStore, 'write'>;
  readonly joinWindowMs: number;
  /** Half of it in use: rows are written without waiting longer for feedback. */
  readonly spoolMaxBytes: number;
  readonly telemetry: Pick<Telemetry, 'logger' | 'metrics'>;
  readonly clock: Clock;
  readonly random?: () => number;
}

export interface RowWriterState {
  readonly lastAttemptAt: string | null;
  readonly lastSuccessAt: string | null;
  readonly failures: number;
  readonly lastKey: string | null;
  readonly failure: string | undefined;
}

/** Closes segments when they are old enough and writes them to the object store, oldest first, each once. */
export class RowWriter {
  readonly #options: RowWriterOptions;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #inHand: Segment | undefined;
  #built: { readonly segment: Segment; readonly object: BuiltObject } | undefined;
  /** Monotonic milliseconds. */
  #retryAt = 0;
  #stopped = false;
  #state: RowWriterState = { lastAttemptAt: null, lastSuccessAt: null, failures: 0, lastKey: null, failure: undefined };
  readonly #count;

  constructor(options: RowWriterOptions) {
    this.#options = options;
    const { logger, metrics } = options.telemetry;
    this.#logger = logger;
    const rows = metrics.counter(metric.TRACE_ROWS);
    const uploads = metrics.counter(metric.TRACE_UPLOADS);
    const feedback = metrics.counter(metric.TRACE_FEEDBACK);
    this.#count = {
      rowsWritten: rows.labels('written'), dropped: metrics.counter(metric.TRACE_ROWS_DROPPED),
      written: uploads.labels('written'), present: uploads.labels('present'), failed: uploads.labels('failed'),
      joined: feedback.labels('joined'), late: feedback.labels('late'), byModel: metrics.counter(metric.ROUTER_FEEDBACK),
      lastSuccess: metrics.gauge(metric.TRACE_LAST_SUCCESS).labels(), storeAway: metrics.gauge(metric.GATEWAY_DEGRADED_MODE).labels('s3'),
    };
    this.#count.storeAway.set(0);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get state(): RowWriterState {
    return this.#state;
  }

  /** What is being written to the store: it may have arrived already. */
  get inHand(): Segment | undefined {
    return this.#inHand;
  }

  /** Writes everything that is there, without waiting for feedback; tries until the signal. Nothing is written after it: what is left waits on disk. */
  async flush(signal: AbortSignal): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    const give = (): void => this.#abort.abort(signal.reason);
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
    await this.#running;
    const { spool } = this.#options;
    spool.seal();
    // Commits may open another segment behind the last one.
    for (let oldest = spool.segments[0]; oldest !== undefined && !this.#abort.signal.aborted; oldest = spool.segments[0]) {
      await this.#write(oldest);
      spool.seal();
      if (this.#state.failures > 0) await sleep(LAST_RETRY_MS, this.#abort.signal).catch(() => undefined);
    }
    signal.removeEventListener('abort', give);
  }

  #tick(): void {
    const { spool, clock } = this.#options;
    spool.sealDue();
    if (this.#running !== undefined || clock.monotonic() < this.#retryAt) return;
    if (this.#nextDue() === undefined) return;
    this.#running = this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  #nextDue(): Segment | undefined {
    const { spool, clock, joinWindowMs, spoolMaxBytes } = this.#options;
    const oldest = spool.segments[0];
    if (oldest?.sealed !== true) return undefined;
    const isDue = oldest.commit !== undefined || clock.now() - oldest.sinceMs >= joinWindowMs || spool.backlog.bytes > spoolMaxBytes / 2;
    return isDue ? oldest : undefined;
  }

  async #drain(): Promise<void> {
    const { clock } = this.#options;
    for (let next = this.#nextDue(); next !== undefined && !this.#stopped && clock.monotonic() >= this.#retryAt; next = this.#nextDue()) await this.#write(next);
  }

  /** Never rejects. */
  async #write(segment: Segment): Promise<void> {
    const { spool, store, clock } = this.#options;
    if (segment.rows + segment.feedback === 0) {
      spool.discard(segment);
      return;
    }
    this.#inHand = segment;
    this.#state = { ...this.#state, lastAttemptAt: new Date(clock.now()).toISOString() };
    try {
      const object = await this.#build(segment);
      if (object === undefined) return;
      const key = objectKeyOf(segment.id);
      // `ifAbsent`: whoever was killed after the object was written, before its file was deleted, finds it there.
      const head = object.body === undefined ? undefined
        : await store.write(key, object.body, { ifAbsent: true, contentType: 'application/gzip', timeoutMs: UPLOAD_TIMEOUT_MS, signal: this.#abort.signal });
      this.#written(segment, object, { key, isNew: head !== false });
    } catch (error) {
      this.#failed(segment, error);
    } finally {
      this.#inHand = undefined;
    }
  }

  async #build(segment: Segment): Promise<BuiltObject | undefined> {
    if (this.#built?.segment === segment) return this.#built.object;
    const { spool } = this.#options;
    let bytes: Buffer;
    try {
      bytes = await spool.read(segment);
    } catch (error) {
      if (segment.dropped) {
        this.#count.dropped.labels('spool_full').inc(segment.rows + segment.feedback);
        return undefined;
      }
      this.#logger.error('a file of the spool cannot be read: its rows are lost', { rows: segment.rows, reason: error });
      spool.discard(segment, 'unreadable');
      return undefined;
    }
    if (segment.commit === undefined) spool.commit(segment, feedbackFor(bytes, spool.feedbacks));
    const object = await buildObject(bytes, segment.commit ?? { segment: segment.id, joined: [] }, spool.feedbacks);
    this.#built = { segment, object };
    return object;
  }

  #written(segment: Segment, object: BuiltObject, { key, isNew }: { readonly key: string; readonly isNew: boolean }): void {
    const { spool, clock } = this.#options;
    this.#built = undefined;
    spool.done(segment, object.keys);
    const count = this.#count;
    (isNew ? count.written : count.present).inc();
    count.rowsWritten.inc(object.rows);
    count.late.inc(object.late);
    for (const { strategy, modelVersion } of object.joined) {
      count.joined.inc();
      count.byModel.labels(strategy, modelVersion).inc();
    }
    count.storeAway.set(0);
    count.lastSuccess.set(clock.now() / 1000);
    this.#state = { ...this.#state, lastSuccessAt: new Date(clock.now()).toISOString(), failures: 0, lastKey: key, failure: undefined };
    this.#logger.oncePerState('store').change('well', 'info', 'rows are written to the store', { key });
    this.#logger.debug('rows written', { key, rows: object.rows, late_feedback: object.late, is_new: isNew });
  }

  #failed(segment: Segment, error: unknown): void {
    if (segment.dropped) {
      this.#built = undefined;
      this.#count.dropped.labels('spool_full').inc(segment.rows + segment.feedback);
    }
    if (this.#abort.signal.aborted) return;
    const { clock, random } = this.#options;
    const { failures } = this.#state;
    this.#count.failed.inc();
    this.#count.storeAway.set(error instanceof ObjectStoreError && error.kind !== 'no_space' ? 1 : 0);
    this.#retryAt = clock.monotonic() + backoffMs(failures, BACKOFF, random ?? Math.random);
    const failure = describeUnknown(error);
    this.#state = { ...this.#state, failures: failures + 1, failure };
    this.#logger.oncePerState('store').change(failure, 'warn', 'rows wait on disk: the store does not take them', { reason: failure });
  }
}
