import { rm } from 'node:fs/promises';
import { confirmedRevision, confirmRevision, createStagingDirectory, pointTo, pruneGenerations, publishDirectory, publishedRevision } from './publish-directory.ts';
import { RejectedRevisionError, type SyncResult, type SyncSteps } from './sync-steps.ts';

/** `returned`: the consumer refused what was published, and `current` points to the generation before it again. */
export type SyncStep = 'head' | 'fetched' | 'verified' | 'published' | 'returned' | 'applied' | 'pruned';

export interface SyncOptions {
  /** The directory that holds `generations/` and `current`. */
  readonly root: string;
  readonly steps: SyncSteps;
  /** Old generations that stay besides the published and the confirmed one; default 3. */
  readonly keepGenerations?: number;
  /** Called between steps with the name of the one that is over: a test kills the process there. */
  readonly onStep?: (step: SyncStep) => void | Promise<void>;
}

export interface Rejection {
  readonly revision: string;
  readonly reason: string;
}

export interface Sync {
  /**
   * One pass: head → fetch into a private directory → verify → publish by renaming a link → apply and confirm. Resolves to what it came to; `rejected` again and again
   * for the same bad content without downloading it a second time. What the consumer refuses after it was published gives way to the generation that the consumer last
   * confirmed. Rejects when something failed that may work the next time.
   */
  pass(signal: AbortSignal): Promise<SyncResult>;
  /** Why the newest content is not served; undefined when it is. */
  readonly rejected: Rejection | undefined;
}

export function createSync({ root, steps, keepGenerations = 3, onStep = () => undefined }: SyncOptions): Sync {
  // Bad content does not improve by downloading it again.
  let rejected: Rejection | undefined;
  /** Who refused it; undefined when it was found to be bad here. */
  let rejectedBy: string | undefined;

  /** Resolves when the consumer serves it; where there is none, at once. */
  async function ensureApplied(revision: string, signal: AbortSignal): Promise<void> {
    if (steps.ensureApplied === undefined) return;
    await steps.ensureApplied(revision, signal);
    await confirmRevision(root, revision);
    await onStep('applied');
  }

  /** The same for what is published while something newer is rejected: a refusal is no news about that one. */
  async function keepApplied(revision: string, signal: AbortSignal): Promise<void> {
    try {
      await ensureApplied(revision, signal);
    } catch (error) {
      if (!(error instanceof RejectedRevisionError)) throw error;
      throw new Error(`The published revision ${revision} is refused too: ${error.message}`, { cause: error });
    }
  }

  /** The consumer refuses what `current` points to: back to what it last confirmed, if there is such a thing. */
  async function giveWay(error: RejectedRevisionError, signal: AbortSignal): Promise<SyncResult> {
    rejected = { revision: error.revision, reason: error.message };
    rejectedBy = await steps.consumer?.(signal);
    const confirmed = await confirmedRevision(root);
    if (confirmed === undefined || confirmed === error.revision) return { outcome: 'rejected', revision: error.revision, serving: await publishedRevision(root) };
    await pointTo(root, confirmed);
    await onStep('returned');
    await keepApplied(confirmed, signal);
    return { outcome: 'rejected', revision: error.revision, serving: confirmed };
  }

  async function applyOrGiveWay(revision: string, done: () => Promise<SyncResult>, signal: AbortSignal): Promise<SyncResult> {
    try {
      await ensureApplied(revision, signal);
    } catch (error) {
      if (error instanceof RejectedRevisionError) return giveWay(error, signal);
      throw error;
    }
    rejected = undefined;
    return done();
  }

  async function keepRejected(published: string | undefined, { revision, reason }: Rejection, signal: AbortSignal): Promise<SyncResult> {
    if (rejected?.revision !== revision) rejectedBy = undefined;
    rejected = { revision, reason };
    // What is published may be unapplied still: a gateway that restarted meanwhile.
    if (published !== undefined) await keepApplied(published, signal);
    return { outcome: 'rejected', revision, serving: published };
  }

  /** Bad is bad; but what a consumer refused may suit the one that runs now: it was restarted with another environment, or is a newer version. */
  async function isStillRejected(revision: string, signal: AbortSignal): Promise<boolean> {
    if (revision !== rejected?.revision) return false;
    if (rejectedBy === undefined) return true;
    const now = await steps.consumer?.(signal);
    return now === undefined || now === rejectedBy;
  }

  async function pass(signal: AbortSignal): Promise<SyncResult> {
    let wanted: string;
    try {
      wanted = await steps.head(signal);
    } catch (error) {
      if (error instanceof RejectedRevisionError) return keepRejected(await publishedRevision(root), { revision: error.revision, reason: error.message }, signal);
      throw error;
    }
    await onStep('head');
    const published = await publishedRevision(root);
    if (wanted === published) return applyOrGiveWay(wanted, () => Promise.resolve({ outcome: 'unchanged', revision: wanted, serving: wanted }), signal);
    if (rejected !== undefined && await isStillRejected(wanted, signal)) return keepRejected(published, rejected, signal);
    const staging = await createStagingDirectory(root);
    try {
      const fetched = await steps.fetch(wanted, staging, signal);
      await onStep('fetched');
      if (fetched !== published) {
        try {
          await steps.verify(staging, fetched, signal);
        } catch (error) {
          if (error instanceof RejectedRevisionError) return await keepRejected(published, { revision: error.revision, reason: error.message }, signal);
          throw error;
        }
        await onStep('verified');
        await publishDirectory(root, staging, fetched);
        await onStep('published');
      }
      return await applyOrGiveWay(fetched, async () => {
        await pruneGenerations(root, { keep: keepGenerations });
        await onStep('pruned');
        return { outcome: fetched === published ? 'unchanged' : 'published', revision: fetched, serving: fetched };
      }, signal);
    } catch (error) {
      if (!(error instanceof RejectedRevisionError)) throw error;
      return await keepRejected(await publishedRevision(root), { revision: error.revision, reason: error.message }, signal);
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  }

  return {
    get rejected() {
      return rejected;
    },
    pass,
  };
}
