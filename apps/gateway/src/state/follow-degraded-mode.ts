import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describeUnknown } from '@pointsman/errors';
import { ConfigRejectedError, DEFAULT_DEGRADED_MODE, parseDegradedMode, type DegradedMode } from '@pointsman/gateway-config';
import type { Logger } from '@pointsman/telemetry';

export interface DegradedModeFollower {
  readonly current: DegradedMode;
  /** Reads the file again. Never rejects: a bad file changes nothing, and the log says why once. */
  check(): Promise<void>;
}

export interface FollowDegradedModeOptions {
  /** One that is not there means the defaults. */
  readonly path: string;
  readonly logger: Logger;
  readonly onChange: (mode: DegradedMode) => void;
}

/** Keeps what holds in degraded modes in step with `degraded-mode.yaml`. Whoever follows the configuration asks it to look as often as at that. */
export function followDegradedMode({ path, logger, onChange }: FollowDegradedModeOptions): DegradedModeFollower {
  const reporter = logger.oncePerState('degraded-mode');
  let current = DEFAULT_DEGRADED_MODE;
  let served: string | undefined = '';
  let seen: string | undefined = '';
  return {
    get current() {
      return current;
    },
    async check() {
      let text: string;
      try {
        text = await readFile(path, 'utf8');
      } catch (error) {
        // A file that was there and cannot be read (a volume that is being mounted) must not undo what it said.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT' && served === '') return;
        reporter.change('unreadable', 'error', 'degraded mode file rejected', { path, reason: describeUnknown(error) });
        seen = undefined;
        return;
      }
      if (text === seen) return;
      seen = text;
      try {
        const next = parseDegradedMode(text, path);
        if (text !== served) {
          served = text;
          current = next;
          onChange(next);
        }
        reporter.change(`applied ${digestOf(text)}`, 'info', 'degraded mode applied', { path, fallback_keys: next.fallbackKeys.size, rate_limits_without_redis: next.rateLimitsWithoutRedis });
      } catch (error) {
        reporter.change(`rejected ${digestOf(text)}`, 'error', 'degraded mode file rejected', {
          path, reason: error instanceof ConfigRejectedError ? error.message : describeUnknown(error), ...(error instanceof ConfigRejectedError ? { problems: error.problems } : {}),
        });
      }
    },
  };
}

function digestOf(text: string): string {
  return hash('sha256', text).slice(0, 12);
}
