export { createSync, type Sync, type SyncOptions } from './create-sync.ts';
export { createStagingDirectory, pointTo, pruneGenerations, publishDirectory, publishedRevision, removeLeftovers, replaceLink } from './publish-directory.ts';
export { runSyncLoop, type SyncLoopOptions, type SyncObserver, type SyncStatus } from './run-sync-loop.ts';
export { RejectedRevisionError, type SyncResult, type SyncSteps } from './sync-steps.ts';
export type { GatewayDoor } from './apply/gateway-door.ts';
