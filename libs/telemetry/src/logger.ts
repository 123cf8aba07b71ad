import { pino, stdTimeFunctions, type Logger as PinoLogger } from 'pino';
import { addRedacted, redactText } from './redact.ts';
import type { Span } from './span.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LineLevel = Exclude<LogLevel, 'silent'>;

/** Fields of a log line. Secrets are masked by type, name and look; prompts and replies do not belong here. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A state that is reported when it changes, not whenever it is seen. */
export interface StateReporter {
  /** Logs one line when `state` differs from the last one reported under this key; returns whether it did. */
  change(state: string, level: LineLevel, message: string, fields?: LogFields): boolean;
}

/**
 * JSON lines: `time` (ISO 8601, UTC, milliseconds), `level` (word), `service`, `msg` (short and constant), then the fields.
 * An `Error` among the fields becomes one line with its causes.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Whether lines of that level are written: skip work that only feeds them. */
  isEnabled(level: LineLevel): boolean;
  /** A logger that adds these fields to every line. */
  child(fields: LogFields): Logger;
  /** A logger that adds `trace_id` and `span_id` to every line. Costs one small object. */
  forSpan(span: Pick<Span, 'traceId' | 'spanId'>): Logger;
  /** One line per change of a state, however often it is reported: for what would otherwise be logged per request or per batch. */
  oncePerState(key: string): StateReporter;
}

const MAX_STATE_KEYS = 10_000;
const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50, silent: Infinity };

class PinoBackedLogger implements Logger {
  readonly #pino: PinoLogger;
  readonly #bound: Readonly<Record<string, unknown>> | undefined;
  readonly #span: Pick<Span, 'traceId' | 'spanId'> | undefined;
  readonly #states: Map<string, string>;
  readonly #severity: number;

  constructor(line: PinoLogger, states: Map<string, string>, bound: Readonly<Record<string, unknown>> | undefined, span: Pick<Span, 'traceId' | 'spanId'> | undefined) {
    this.#pino = line;
    this.#severity = SEVERITY[line.level as LogLevel];
    this.#states = states;
    this.#bound = bound;
    this.#span = span;
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields);
  }

  isEnabled(level: LineLevel): boolean {
    return SEVERITY[level] >= this.#severity;
  }

  child(fields: LogFields): Logger {
    return new PinoBackedLogger(this.#pino, this.#states, addRedacted({ ...this.#bound }, fields), this.#span);
  }

  forSpan(span: Pick<Span, 'traceId' | 'spanId'>): Logger {
    return new PinoBackedLogger(this.#pino, this.#states, this.#bound, span);
  }

  oncePerState(key: string): StateReporter {
    return {
      change: (state, level, message, fields) => {
        if (this.#states.get(key) === state) return false;
        // The oldest key goes: at worst its state is reported once more.
        if (!this.#states.has(key) && this.#states.size >= MAX_STATE_KEYS) this.#states.delete(this.#states.keys().next().value as string);
        this.#states.set(key, state);
        this.#write(level, message, { ...fields, state });
        return true;
      },
    };
  }

  #write(level: LineLevel, message: string, fields: LogFields | undefined): void {
    if (SEVERITY[level] < this.#severity) return;
    const span = this.#span;
    const line: Record<string, unknown> = span === undefined ? { ...this.#bound } : { trace_id: span.traceId, span_id: span.spanId, ...this.#bound };
    if (fields !== undefined) addRedacted(line, fields);
    this.#pino[level](line, redactText(message));
  }
}

export interface LoggerSettings {
  readonly service: string;
  readonly level: LogLevel;
  /** Takes one line with its newline. */
  readonly write: (line: string) => void;
}

export function createLogger({ service, level, write }: LoggerSettings): Logger {
  const line = pino(
    {
      level,
      base: { service },
      messageKey: 'msg',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Fields arrive redacted and flat: pino's own error serializer would only look for `err`.
      serializers: {},
    },
    { write },
  );
  return new PinoBackedLogger(line, new Map(), undefined, undefined);
}
