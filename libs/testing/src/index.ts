export {
  chatChunks,
  createGate,
  cutEvery,
  json,
  sse,
  startScriptedUpstream,
  type Script,
  type ScriptChoice,
  type ScriptedUpstream,
  type ScriptedUpstreamOptions,
  type ScriptStep,
  type SseOptions,
  type UpstreamCall,
} from './scripted-upstream.ts';
export { eventually, type EventuallyOptions } from './eventually.ts';
export { freePort } from './free-port.ts';
export { readProcessTree, type ProcessTreeUse } from './process-tree.ts';
export { spawnApp, type LogLine, type RunningApp, type SpawnAppOptions } from './spawn-app.ts';
export { startNginx, type RunningNginx, type StartNginxOptions } from './start-nginx.ts';
export { startObjectStore, type ObjectStoreBucket, type ObjectStoreFault, type ObjectStoreRequest, type RunningObjectStore, type StartObjectStoreOptions } from './start-object-store.ts';
export { signedS3Request, type SignedRequest } from './object-store/signed-request.ts';
export { startPostgres, type RunningPostgres, type StartPostgresOptions } from './start-postgres.ts';
export { startRedis, startRedisCluster, startRedisSentinel, type RedisNode, type RedisReply, type RunningCluster, type RunningRedis, type RunningSentinel, type StartRedisOptions } from './start-redis.ts';
export { startSteadyLoad, type LoadFailure, type LoadReport, type RunningLoad, type SteadyLoadOptions } from './steady-load.ts';
export { temporaryDirectory, type TemporaryDirectory } from './temporary-directory.ts';
export {
  attribute, constantHead, ELEMENT, graph, linearHead, message, mixedHead, node, onnxModel, tensor, valueInfo,
  type Field, type GraphParts, type LinearHeadOptions, type MixedHeadOptions, type ModelParts, type NodeParts, type TensorParts,
} from './onnx-model.ts';
