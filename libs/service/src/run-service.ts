import { writeSync } from 'node:fs';
import { createLogger, type Logger, type Telemetry } from '@pointsman/telemetry';
import { SettingsError } from './settings-error.ts';

export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
/** EX_CONFIG of sysexits.h: starting again with the same configuration is of no use. */
export const EXIT_CONFIG = 78;

/** Two stop signals within this time are one wish. */
const SAME_WISH_MS = 500;

/** What the body of a service may tell its runner. */
export interface Service {
  /** From now on problems are logged there, and it is flushed last of all. */
  useTelemetry(telemetry: Telemetry): void;
  /** Called on every SIGHUP. A failure is logged, never fatal. */
  onReload(reload: () => void | Promise<void>): void;
}

export interface RunServiceOptions {
  /** `service` of the log lines before there is telemetry. */
  readonly name?: string;
  /** Longest time to stop after the first signal, in milliseconds; then the process exits with 1. Without it the body may take as long as it wants. */
  readonly stopTimeoutMs?: number;
  /** Longest time to flush telemetry, in milliseconds (default 5,000). */
  readonly flushTimeoutMs?: number;
}

function bareLogger(name: string): Logger {
  return createLogger({ service: name, level: 'info', write: (line) => writeSync(1, line) });
}

/**
 * Runs one process: its start, its work and its stopping are the body, top to bottom.
 * SIGTERM and SIGINT abort the signal; the second one exits at once. SIGHUP never ends the process. A bug (uncaught exception, unhandled rejection) is logged once
 * and ends it. Telemetry is flushed last. Exit codes: 0 the body ended, 78 `SettingsError`, 1 anything else. Ends the process; never returns.
 */
export async function runService(body: (signal: AbortSignal, service: Service) => Promise<void>, options: RunServiceOptions = {}): Promise<never> {
  const stop = new AbortController();
  let logger = bareLogger(options.name ?? 'pointsman');
  let telemetry: Telemetry | undefined;
  let ending = false;
  let firstStopAt = 0;
  const reloads: (() => void | Promise<void>)[] = [];

  async function end(code: number): Promise<never> {
    ending = true;
    await telemetry?.shutdown(options.flushTimeoutMs ?? 5000).catch(() => undefined);
    process.exit(code);
  }
  function crash(message: string, error: unknown): void {
    if (ending) return;
    ending = true;
    logger.error(message, { error, ...(error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}) });
    void end(EXIT_FAILED);
  }
  function onStopSignal(name: NodeJS.Signals): void {
    if (stop.signal.aborted) {
      // A terminal signals the whole group, and npm passes on what its child has got already: the same wish twice within a moment is one.
      if (performance.now() - firstStopAt < SAME_WISH_MS) return;
      logger.warn('forced to stop', { signal: name });
      process.exit(EXIT_FAILED);
    }
    firstStopAt = performance.now();
    logger.info('stopping', { signal: name });
    stop.abort();
    if (options.stopTimeoutMs === undefined) return;
    setTimeout(() => {
      logger.error('stopping took too long', { limit_ms: options.stopTimeoutMs });
      void end(EXIT_FAILED);
    }, options.stopTimeoutMs).unref();
  }
  async function reload(): Promise<void> {
    for (const run of reloads) {
      try {
        await run();
      } catch (error) {
        logger.error('reload failed', { error });
      }
    }
  }
  process.on('SIGTERM', onStopSignal);
  process.on('SIGINT', onStopSignal);
  process.on('SIGHUP', () => void reload());
  process.on('uncaughtException', (error) => crash('uncaught exception', error));
  process.on('unhandledRejection', (reason) => crash('unhandled rejection', reason));

  const service: Service = {
    useTelemetry(started) {
      telemetry = started;
      logger = started.logger;
    },
    onReload(run) {
      reloads.push(run);
    },
  };
  try {
    await body(stop.signal, service);
  } catch (error) {
    // Whatever waited on the signal rejects with its reason: that is how stopping looks from inside, not a failure.
    const stopped = stop.signal.aborted && error instanceof Error && error.name === 'AbortError';
    if (error instanceof SettingsError) {
      logger.error('settings are not usable', { problems: error.problems });
      return end(EXIT_CONFIG);
    }
    if (!stopped) {
      crash('service failed', error);
      return new Promise<never>(() => undefined);
    }
  }
  // A crash is already ending the process with its own exit code.
  if (ending) return new Promise<never>(() => undefined);
  logger.info('stopped');
  return end(EXIT_OK);
}
