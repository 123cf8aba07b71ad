import { rm } from 'node:fs/promises';
import { createStagingDirectory, pruneGenerations, publishDirectory, publishedRevision } from './publish-directory.ts';
import { RejectedRevisionError, type SyncResult, type SyncSteps } from './sync-steps.ts';

export interface SyncOptions {
  /** The directory that holds `generations/` and `current`. */
  readonly root: string;
  readonly steps: SyncSteps;
  /** Old generations that stay besides the published one; default 3. */
  readonly keepGenerations?: number;
  /** Called between steps with the name of the one that is over: a test kills the process there. */
  readonly onStep?: (step: 'head' | 'fetched' | 'verified' | 'published' | 'applied' | 'pruned') => void | Promise<void>;
}

export interface Sync {
  /**
   * One pass: head → fetch into a private directory → verify → publish by renaming a link → apply and confirm. Resolves to what it came to; `rejected` again and again
   * for the same bad content without downloading it a second time. Rejects when something failed that may work the next time.
   */
  pass(signal: AbortSignal): Promise<SyncResult>;
  /** Why the newest content is not served; undefined when it is. */
  readonly rejected: { readonly revision: string; readonly reason: string } | undefined;
}

export function createSync({ root, steps, keepGenerations = 3, onStep = () => undefined }: SyncOptions): Sync {
  // Bad content does not improve by downloading it again.
  let rejected: { readonly revision: string; readonly reason: string } | undefined;

  async function pass(signal: AbortSignal): Promise<SyncResult> {
    const wanted = await steps.head(signal);
    await onStep('head');
    const published = await publishedRevision(root);
    if (wanted === rejected?.revision) {
      // What is published may be unapplied still: a gateway that restarted meanwhile.
      if (published !== undefined) await steps.ensureApplied(published, signal);
      return { outcome: 'rejected', revision: wanted };
    }
    if (wanted === published) {
      rejected = undefined;
      await steps.ensureApplied(wanted, signal);
      await onStep('applied');
      return { outcome: 'unchanged', revision: wanted };
    }
    const staging = await createStagingDirectory(root);
    try {
      const fetched = await steps.fetch(wanted, staging, signal);
      await onStep('fetched');
      if (fetched !== published) {
        await steps.verify(staging, fetched, signal);
        await onStep('verified');
        await publishDirectory(root, staging, fetched);
        await onStep('published');
      }
      rejected = undefined;
      await steps.ensureApplied(fetched, signal);
      await onStep('applied');
      await pruneGenerations(root, { keep: keepGenerations });
      await onStep('pruned');
      return { outcome: fetched === published ? 'unchanged' : 'published', revision: fetched };
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  }

  return {
    get rejected() {
      return rejected;
    },
    async pass(signal) {
      try {
        return await pass(signal);
      } catch (error) {
        if (!(error instanceof RejectedRevisionError)) throw error;
        rejected = { revision: error.revision, reason: error.message };
        return { outcome: 'rejected', revision: error.revision };
      }
    },
  };
}
