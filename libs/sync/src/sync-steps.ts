/** What a sidecar brings: four steps around one directory that is published as a whole. */
export interface SyncSteps {
  /** What should be here: a content digest, cheap to find out. @throws RejectedRevisionError when what says so is itself bad content. */
  head(signal: AbortSignal): Promise<string>;
  /** Fills a private, empty directory. Returns the revision of what was really read, which may be newer than what was asked for. */
  fetch(revision: string, directory: string, signal: AbortSignal): Promise<string>;
  /** @throws RejectedRevisionError for content that is bad whatever the number of tries. */
  verify(directory: string, revision: string, signal: AbortSignal): Promise<void>;
  /**
   * Asks the consumer what it runs and nudges until it agrees; rejects when it does not in time, and with RejectedRevisionError when it refuses it for good.
   * Absent where there is no consumer to ask (an init container): what is published then counts as not confirmed.
   */
  ensureApplied?(revision: string, signal: AbortSignal): Promise<void>;
  /** Names the running consumer: another name after it was restarted. What one consumer refused, its successor is asked again; undefined when it cannot be told. */
  consumer?(signal: AbortSignal): Promise<string | undefined>;
}

export interface SyncResult {
  readonly outcome: 'unchanged' | 'published' | 'rejected';
  /** What was found at the source: after `rejected`, the revision that is not served. */
  readonly revision: string;
  /** What is published when the pass is over; undefined when nothing is. */
  readonly serving?: string | undefined;
}

/** Content that will not become good by trying again. */
export class RejectedRevisionError extends Error {
  readonly revision: string;

  constructor(revision: string, reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = 'RejectedRevisionError';
    this.revision = revision;
  }
}
