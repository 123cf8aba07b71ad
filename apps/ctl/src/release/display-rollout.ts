import type { RolloutProgress } from '@pointsman/rollout';
import type { Clock } from '@pointsman/timing';
import type { CommandContext } from '../command-context.ts';
import { printable } from '../printable.ts';
import { plural, showMs, showRate } from '../quantities.ts';
import type { RolloutEvent } from './rollout-event.ts';

/** Without a terminal a line now and then is enough to see that it lives. */
const PLAIN_LINE_MS = 15_000;

/** Tells a rollout as it goes: JSON lines; a line drawn anew on a terminal; plain lines elsewhere. */
export function displayRollout({ print, printError, draw }: CommandContext, { json, clock }: { readonly json: boolean; readonly clock: Clock }): (event: RolloutEvent) => void {
  if (json) return (event) => { print(JSON.stringify({ at: new Date(clock.now()).toISOString(), ...asRecord(event) })); };
  let shownAt = -Infinity;
  let shownState = '';
  return (event) => {
    if (event.event === 'sample') {
      const line = progressLine(event.progress);
      const state = `${event.progress.phase} ${event.progress.held ?? ''} ${event.unknown.map(({ replica }) => replica).join(' ')}`;
      const isNews = state !== shownState;
      if (isNews) for (const { replica, problem } of event.unknown) printError(`  ? ${printable(replica)}: ${printable(problem)}`);
      if (draw !== undefined) draw(line);
      else if (isNews || clock.monotonic() - shownAt >= PLAIN_LINE_MS) {
        print(line);
        shownAt = clock.monotonic();
      }
      shownState = state;
      return;
    }
    const text = textOf(event);
    if (event.event === 'rollback-failed') printError(text);
    else print(text);
  };
}

const HELD = {
  'waiting-for-replicas': 'waiting for replicas to take it', 'replicas-missing': 'paused, replicas are missing', blind: 'paused, no replica answers', 'both-arms-bad': 'held, both arms fail', 'few-requests': 'held for more requests',
  stalled: 'held, requests on the canary do not end',
} as const;

function progressLine({ percent, held, watchedMs, windowMs, canary, stable, others, unknown }: RolloutProgress): string {
  const arm = (name: string, { replicas, requests, errors }: RolloutProgress['canary']): string => `${name} ${plural(replicas, 'replica')}, ${plural(requests, 'request')}, ${showRate({ requests, errors })} failed`;
  return [
    `  ${String(percent).padStart(3)} %  ${held === undefined ? 'watching' : HELD[held]}, ${showMs(windowMs - watchedMs)} left`,
    arm('canary', canary), arm('stable', stable),
    ...(others === 0 ? [] : [`${plural(others, 'replica')} on something else`]), ...(unknown === 0 ? [] : [`${String(unknown)} not answering`]),
  ].join(' | ');
}

function textOf(event: Exclude<RolloutEvent, { readonly event: 'sample' }>): string {
  switch (event.event) {
    case 'started': return `${event.resumed ? 'Going on' : 'Started'}: ${event.environment === '' ? 'config' : event.environment} ${event.revision} (${event.key}) at ${String(event.percent)} %, over ${event.stableRevision} (${event.stableKey})`;
    case 'stage': return event.raised ? `Nobody took it: raised to ${String(event.percent)} %` : `Good: ${showRate(event.progress.canary)} of ${plural(event.progress.canary.requests, 'request')} failed on the canary, ${showRate(event.progress.stable)} on stable. On to ${String(event.percent)} %`;
    case 'breach': return `Rolling back (${event.reason}): ${printable(event.detail)}`;
    case 'store-away': return `The store is away, trying on: ${event.detail}`;
    case 'rolled-back': return `Rolled back in ${showMs(event.tookMs)}: the release has no canary`;
    case 'rollback-failed': return `THE ROLLBACK FAILED: ${event.detail}\nThe canary is still in ${event.releaseKey}: run "pointsman rollback config" as soon as the store answers.`;
    case 'returned': return event.left.length === 0 ? `${plural(event.replicas, 'replica')} back on stable` : `${plural(event.replicas, 'replica')} back on stable, not yet: ${event.left.map(printable).join(', ')}`;
    case 'promoted': return `Promoted: ${event.revision} (${event.key}) is stable`;
    case 'left': return `Left as it is, at ${String(event.percent)} %: nobody watches it. "pointsman rollout config --resume" goes on, "pointsman rollback config" ends it`;
    case 'taken-over': return `Stopped: ${event.detail}`;
  }
}

function asRecord(event: RolloutEvent): object {
  if (!('progress' in event)) return snakeCase(event);
  const { progress, ...rest } = event;
  const { canary, stable, ...facts } = progress;
  return { ...snakeCase(facts), ...snakeCase(rest), ...(event.event === 'sample' ? { unknown_replicas: event.unknown, unknown: facts.unknown } : {}), canary, stable };
}

function snakeCase(record: object): object {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value as unknown]));
}
