export type { Channel } from './channel.ts';
export { connectRedis, type CommandArgument, type CommandDone, type ConnectRedisOptions, type RedisConnection, type RedisState } from './connect-redis.ts';
export type { KeyValue } from './key-value.ts';
export type {
  BudgetCheck, LimitCheck, LimitCounters, ParallelCheck, Refusal, Reservation, ScopeChecks, Standing, Used, WindowCheck,
} from './limit-counters.ts';
export { createLocalChannel } from './local-channel.ts';
export { createMemoryCounters, type MemoryCountersOptions } from './memory-counters.ts';
export { createMemoryKeyValue, type MemoryKeyValueOptions } from './memory-key-value.ts';
export { parseRedisUrl, type RedisHost, type RedisTarget } from './parse-redis-url.ts';
export { createRedisChannel, type RedisChannel, type RedisChannelOptions } from './redis-channel.ts';
export { createRedisCounters, type RedisCountersOptions, type RedisLimitCounters } from './redis-counters.ts';
export { createRedisKeyValue, type RedisKeyValueOptions } from './redis-key-value.ts';
export { RedisUnavailableError } from './redis-unavailable-error.ts';
export { ReplyError } from './reply-parser.ts';
