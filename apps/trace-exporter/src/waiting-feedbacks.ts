import type { FeedbackRow } from '@pointsman/schemas';

export interface WaitingFeedback {
  readonly key: string;
  readonly row: FeedbackRow;
}

/** Feedback beyond this is not joined: each becomes a row of its own. */
const MAX_WAITING = 50_000;

/** Feedback that lies in the spool, by the request it is about, until the segment it lies in is written. */
export class WaitingFeedbacks {
  readonly #byRequest = new Map<string, WaitingFeedback[]>();
  readonly #byKey = new Map<string, WaitingFeedback>();
  /** Keys of feedback that stands in a row already, or will: a commit says so. */
  readonly #joined = new Set<string>();

  get size(): number {
    return this.#byKey.size;
  }

  /** False when there are too many. */
  add(feedback: WaitingFeedback): boolean {
    if (this.#byKey.size >= MAX_WAITING || this.#byKey.has(feedback.key)) return false;
    this.#byKey.set(feedback.key, feedback);
    const { request_id: requestId } = feedback.row;
    const others = this.#byRequest.get(requestId);
    if (others === undefined) this.#byRequest.set(requestId, [feedback]);
    else others.push(feedback);
    return true;
  }

  /** What was said of a request and not joined yet, oldest first. */
  about(requestId: string): readonly WaitingFeedback[] {
    return (this.#byRequest.get(requestId) ?? []).filter(({ key }) => !this.#joined.has(key));
  }

  find(key: string): WaitingFeedback | undefined {
    return this.#byKey.get(key);
  }

  join(keys: readonly string[]): void {
    for (const key of keys) this.#joined.add(key);
  }

  isJoined(key: string): boolean {
    return this.#joined.has(key);
  }

  /** The segment it lay in is written. */
  forget(key: string): void {
    this.#joined.delete(key);
    const feedback = this.#byKey.get(key);
    if (feedback === undefined) return;
    this.#byKey.delete(key);
    const { request_id: requestId } = feedback.row;
    const rest = (this.#byRequest.get(requestId) ?? []).filter((other) => other !== feedback);
    if (rest.length === 0) this.#byRequest.delete(requestId);
    else this.#byRequest.set(requestId, rest);
  }
}
