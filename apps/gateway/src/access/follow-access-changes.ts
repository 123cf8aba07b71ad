import { AppError } from '@pointsman/errors';
import type { ChangeCursor } from '@pointsman/database';
import type { Channel } from '@pointsman/redis';
import type { Logger } from '@pointsman/telemetry';
import type { GatewayDatabase } from '../state/gateway-database.ts';

const TOPIC = 'access';
const POLL_EVERY_MS = 1_000;
const DEADLINE_MS = 2_000;
/** More than these are not worth a message. */
const MAX_TOKENS = 1_000;
const TOKEN = /^[0-9a-f]{64}$/;

export interface FollowAccessChangesOptions {
  readonly database: GatewayDatabase;
  readonly channel: Channel;
  readonly logger: Logger;
  /** Hashes of keys that are not what they were; undefined: any key. */
  readonly onChange: (tokens: readonly string[] | undefined) => void;
  readonly pollEveryMs?: number;
}

export interface AccessChangeFollower {
  /** Applies a change here at once and tells every replica. */
  announce(tokens: readonly string[] | undefined): void;
  close(): Promise<void>;
}

/**
 * How a change of a key reaches every replica within two seconds: a message over Redis at once, and a look into the database's journal every second,
 * which also finds what was changed by other programs and what a message did not reach.
 */
export function followAccessChanges({ database, channel, logger, onChange, pollEveryMs = POLL_EVERY_MS }: FollowAccessChangesOptions): AccessChangeFollower {
  let cursor: ChangeCursor | undefined;
  let running: Promise<void> | undefined;
  let isClosed = false;

  const unsubscribe = channel.subscribe(TOPIC, (message) => {
    const tokens = readMessage(message);
    if (tokens !== null) onChange(tokens);
  });

  const look = async (): Promise<void> => {
    try {
      const isFirst = cursor === undefined;
      const answer = await database.run((open, signal) => open.access.changesSince(cursor, signal), { deadlineMs: DEADLINE_MS });
      cursor = answer.cursor;
      // What changed between the first key that was read and this first look is not known.
      if (isFirst) onChange(undefined);
      else if (answer.change !== undefined) onChange(answer.change.tokens);
      logger.oncePerState('access-changes').change('followed', 'debug', 'key changes are followed');
    } catch (error) {
      // An outage has its own line; anything else would go unnoticed.
      if (!(error instanceof AppError && error.kind === 'unavailable')) logger.oncePerState('access-changes').change('failed', 'warn', 'key changes could not be read', { reason: error });
    }
  };
  const poll = (): void => {
    if (isClosed) return;
    running ??= look().finally(() => {
      running = undefined;
    });
  };
  poll();
  const polls = setInterval(poll, pollEveryMs);
  polls.unref();

  return {
    announce(tokens) {
      onChange(tokens);
      const message = tokens === undefined || tokens.length > MAX_TOKENS ? '*' : JSON.stringify(tokens);
      void channel.publish(TOPIC, message).catch(() => undefined);
    },
    async close() {
      isClosed = true;
      clearInterval(polls);
      unsubscribe();
      await running;
    },
  };
}

/** Null for what is no message of ours. */
function readMessage(message: string): readonly string[] | undefined | null {
  if (message === '*') return undefined;
  try {
    const value: unknown = JSON.parse(message);
    if (!Array.isArray(value) || value.length > MAX_TOKENS) return null;
    return value.filter((token): token is string => typeof token === 'string' && TOKEN.test(token));
  } catch {
    return null;
  }
}
