import { AppError } from '@pointsman/errors';

/** Redis did not do what was asked: not connected, no answer in time, or in the middle of a failover. Whether a command that was sent took effect is not known. */
export class RedisUnavailableError extends AppError {
  constructor(reason: string, cause?: unknown) {
    super('unavailable', 'redis_unavailable', `Redis is not available: ${reason}.`, cause === undefined ? {} : { cause });
    this.name = 'RedisUnavailableError';
  }
}
