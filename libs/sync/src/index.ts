export { createSync, type Rejection, type Sync, type SyncOptions, type SyncStep } from './create-sync.ts';
export {
  confirmedRevision, confirmRevision, createStagingDirectory, pointTo, pruneGenerations, publishDirectory, publishedRevision, removeLeftovers, replaceLink,
} from './publish-directory.ts';
export { runSyncLoop, type SyncLoopOptions, type SyncObserver } from './run-sync-loop.ts';
export { createSyncReporter, type SyncPassContext, type SyncReporter, type SyncReporterOptions } from './sync-reporter.ts';
export { RejectedRevisionError, type SyncResult, type SyncSteps } from './sync-steps.ts';
export { consumerOf, NoGatewayError, type GatewayDoor } from './apply/gateway-door.ts';
export { gatewayBySignal, type GatewayBySignalOptions } from './apply/gateway-by-signal.ts';
export { gatewayByHttp, type GatewayByHttpOptions } from './apply/gateway-by-http.ts';
export { ensureServed, type EnsureServedOptions } from './apply/ensure-served.ts';
