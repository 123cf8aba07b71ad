import type { RolloutProgress, RolloutReason } from '@pointsman/rollout';

export type RollbackReason = RolloutReason | 'interrupted' | 'error';

/** Everything that happens in a rollout, in order: lines for people, JSON for machines, rows for the audit log. */
export type RolloutEvent =
  | { readonly event: 'started'; readonly environment: string; readonly key: string; readonly revision: string; readonly stableKey: string; readonly stableRevision: string; readonly percent: number; readonly resumed: boolean }
  | { readonly event: 'sample'; readonly progress: RolloutProgress; readonly unknown: readonly { readonly replica: string; readonly problem: string }[] }
  | { readonly event: 'stage'; readonly percent: number; readonly raised: boolean; readonly progress: RolloutProgress }
  | { readonly event: 'breach'; readonly reason: RollbackReason; readonly detail: string; readonly progress: RolloutProgress }
  | { readonly event: 'store-away'; readonly detail: string }
  | { readonly event: 'rolled-back'; readonly reason: RollbackReason; readonly detail: string; readonly tookMs: number }
  | { readonly event: 'rollback-failed'; readonly detail: string; readonly releaseKey: string }
  | { readonly event: 'returned'; readonly replicas: number; readonly left: readonly string[] }
  | { readonly event: 'promoted'; readonly key: string; readonly revision: string }
  | { readonly event: 'left'; readonly percent: number }
  | { readonly event: 'taken-over'; readonly detail: string };
