import type { Clock } from '@pointsman/timing';
import type { JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '@pointsman/wire-formats';
import type { ProviderError } from '../provider-error.ts';
import type { ProviderCall, ReplySink } from '../provider.ts';

/** Runs something later; the returned function takes it back. Replaced in tests, so that no test waits. */
export type After = (ms: number, run: () => void) => () => void;

export const systemAfter: After = (ms, run) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

export interface PlayParts {
  readonly clock: Clock;
  readonly after: After;
}

/** A reply that is known before it is sent, and how fast to send it. */
export interface Play {
  readonly ttftMs: number;
  /** Wait between two steps, in milliseconds; 0 = all at once. */
  readonly stepMs: number;
  /** The reply: one whole JSON, or the events of each step. Nothing at all when `failure` comes first. */
  readonly reply: { readonly kind: 'json'; readonly value: JsonObject; readonly steps: number } | { readonly kind: 'events'; readonly steps: readonly (readonly SseEvent[])[] };
  /** Breaks the reply: before anything is sent, or after so many steps of a stream. */
  readonly failure?: { readonly afterSteps: number; readonly error: ProviderError | 'cut' };
  readonly headers: Readonly<Record<string, string>>;
}

/** Plays a reply into a sink at its pace, on timers only: the sink hears nothing before this function has returned. */
export function playReply(play: Play, sink: ReplySink, { clock, after }: PlayParts): ProviderCall {
  const { reply, failure, ttftMs, stepMs } = play;
  let over = false;
  let started = false;
  let paused = false;
  let next = 0;
  /** When step 0 is due, on the clock; moved along by every pause. */
  let origin = clock.monotonic() + ttftMs;
  let pausedAt = 0;
  let cancelTimer = after(failure?.afterSteps === 0 || reply.kind === 'events' ? ttftMs : ttftMs + reply.steps * stepMs, advance);

  function finish(tell: () => void): void {
    over = true;
    tell();
  }

  function start(): void {
    started = true;
    sink.onStart({ status: 200, headers: play.headers });
  }

  function advance(): void {
    if (over || paused) return;
    if (!started) {
      const error = failure?.afterSteps === 0 ? failure.error : undefined;
      if (error !== undefined && error !== 'cut') return finish(() => sink.onError(error));
      start();
      if (isOver()) return;
    }
    if (reply.kind === 'json') {
      // A whole reply that is cut has no meaning of its own: its bytes are not JSON, and `failure` says so as an error.
      return finish(() => {
        sink.onJson({ value: reply.value, text: undefined });
        sink.onEnd();
      });
    }
    // The timer may fire late, and at thousands of tokens a second it cannot fire often enough: send all that is due.
    const due = stepMs === 0 ? reply.steps.length : Math.min(reply.steps.length, Math.floor((clock.monotonic() - origin) / stepMs) + 1);
    const end = Math.max(next + 1, due);
    while (next < end && next < reply.steps.length) {
      if (failure?.afterSteps === next) return breakOff(failure.error);
      const events = reply.steps[next] ?? [];
      next += 1;
      sink.onEvents(events);
      // The sink may have cancelled or paused in its own callback.
      if (isOver() || isPaused()) return;
    }
    if (next >= reply.steps.length) return failure?.afterSteps === next ? breakOff(failure.error) : finish(() => sink.onEnd());
    schedule();
  }

  function breakOff(error: ProviderError | 'cut'): void {
    finish(() => (error === 'cut' ? sink.onEnd() : sink.onError(error)));
  }

  function schedule(): void {
    cancelTimer = after(Math.max(0, origin + next * stepMs - clock.monotonic()), advance);
  }

  // Read through functions: the sink's callbacks change these behind the type checker's back.
  function isOver(): boolean {
    return over;
  }
  function isPaused(): boolean {
    return paused;
  }

  return {
    cancel() {
      over = true;
      cancelTimer();
    },
    pause() {
      if (over || paused) return;
      paused = true;
      pausedAt = clock.monotonic();
      cancelTimer();
    },
    resume() {
      if (over || !paused) return;
      paused = false;
      origin += clock.monotonic() - pausedAt;
      // A stream that paused after its last step still has its end to tell.
      cancelTimer = after(Math.max(0, origin + next * stepMs - clock.monotonic()), advance);
    },
  };
}
