export { LockLostError, LockUnavailableError, type AcquireOptions, type HeldLock, type Lock } from './lock.ts';
export { createLocalLock, type LocalLockOptions } from './local-lock.ts';
export { createRedisLock, type RedisLockOptions } from './redis-lock.ts';
