import { isDeepStrictEqual } from 'node:util';
import { AppError, describeUnknown } from '@pointsman/errors';
import { ArmTally, createRollout, type GatewayReader, type ReplicaReading, type Rollout, type RolloutLimits, type RolloutProgress } from '@pointsman/rollout';
import { releaseSchema, type Release } from '@pointsman/schemas';
import { backoffMs, sleep, type Clock } from '@pointsman/timing';
import type { AuditTrail } from './audit-trail.ts';
import { promoted, withoutCanary, type ReleaseFile, type StoredRelease } from './release-file.ts';
import type { RollbackReason, RolloutEvent } from './rollout-event.ts';
import { waitUntilServed } from './wait-until-served.ts';

export interface ConfigRollout {
  readonly releases: ReleaseFile;
  /** The release as it was written at the start, with the canary in it. */
  readonly release: Release;
  readonly revisions: { readonly canary: string; readonly stable: string };
  readonly resumed: boolean;
  readonly stages: readonly number[];
  readonly windowMs: number;
  readonly limits: RolloutLimits;
  readonly intervalMs: number;
  readonly reader: GatewayReader;
  readonly actor: string;
  readonly audit: Pick<AuditTrail, 'record'>;
  readonly clock: Clock;
  readonly report: (event: RolloutEvent) => void;
  readonly interrupted: AbortSignal;
  readonly onInterrupt: 'rollback' | 'leave';
  /** How long a change of the release is tried while the store is away, in milliseconds. */
  readonly storeTriesMs: number;
  /** Puts the stable configuration, as it was at the start, where nobody changes it, and resolves to its key there. Undefined when it lies at such a place. */
  readonly keepStable: (() => Promise<string>) | undefined;
}

export type RolloutOutcome = 'promoted' | 'rolled-back' | 'rollback-failed' | 'left' | 'taken-over';

/** After so many looks the release is read, to see whether somebody else has changed it. */
const LOOKS_PER_CHECK = 4;

/** The canary is no longer ours: promoted, removed, moved or replaced by somebody else. */
class TakenOver extends Error {}

/**
 * Takes a canary that is in the release through its stages, and out again when it is bad. What fails on the way (the store, a defect) is a reason to roll back too.
 * Throws nothing: the outcome says how it ended.
 */
export async function runConfigRollout(rollout: ConfigRollout): Promise<RolloutOutcome> {
  const { release, revisions, stages, windowMs, limits, clock, report, resumed, audit } = rollout;
  const canary = canaryOf(release);
  const engine = createRollout({ stages, windowMs, limits, clock, startPercent: canary.percent });
  report({
    event: 'started', environment: rollout.releases.environment, key: canary.config_key, revision: revisions.canary, stableKey: release.stable.config_key, stableRevision: revisions.stable,
    percent: canary.percent, resumed,
  });
  await audit.record('config.rollout.start', { before: { stable: stableOf(rollout) }, after: { stable: stableOf(rollout), canary: { config_key: canary.config_key, revision: revisions.canary, percent: canary.percent }, resumed } });
  try {
    return await drive(rollout, engine);
  } catch (error) {
    if (error instanceof TakenOver) return await takenOver(rollout, engine.progress, error);
    return await rollBack(rollout, engine, 'error', error instanceof AppError ? error.message : describeUnknown(error));
  }
}

async function drive(rollout: ConfigRollout, engine: Rollout): Promise<RolloutOutcome> {
  const { revisions, report, reader, interrupted, intervalMs, audit } = rollout;
  const tally = new ArmTally(revisions);
  for (let looks = 1; ; looks += 1) {
    await sleep(intervalMs, interrupted);
    if (interrupted.aborted) return await interrupt(rollout, engine);
    const readings = await reader.read(interrupted).catch((error: unknown) => {
      if (interrupted.aborted) return undefined;
      throw error;
    });
    if (readings === undefined) return await interrupt(rollout, engine);
    const before = engine.progress;
    const decision = engine.observe(tally.add(readings));
    report({ event: 'sample', progress: engine.progress, unknown: unknownOf(readings) });

    if (decision.action === 'rollback') return await rollBack(rollout, engine, decision.reason, decision.detail);
    if (decision.action === 'promote') return await promote(rollout, engine.progress);
    if (decision.action === 'advance') {
      const passed: RolloutProgress = decision.raised ? engine.progress : { ...engine.progress, ...sumsOf(before) };
      await change(rollout, (current) => ({ ...current, canary: { ...canaryOf(current), percent: decision.percent } }), { percents: [engine.progress.percent, decision.percent] });
      report({ event: 'stage', percent: decision.percent, raised: decision.raised, progress: passed });
      await audit.record('config.rollout.stage', { before: { percent: before.percent, ...ratesOf(before) }, after: { percent: decision.percent, revision: revisions.canary, raised: decision.raised } });
    }
    if (looks % LOOKS_PER_CHECK === 0) await checkOwnership(rollout, [engine.percent]);
  }
}

async function promote(rollout: ConfigRollout, progress: RolloutProgress): Promise<RolloutOutcome> {
  const { release, revisions, actor, clock, report, audit, keepStable } = rollout;
  const at = new Date(clock.now());
  let keptAs: string | undefined;
  await change(rollout, async (current) => {
    if (current.stable.config_key === release.stable.config_key) keptAs ??= await keepStable?.();
    return promoted(current, { at, by: actor, keptAs });
  }, { percents: [progress.percent] });
  const { config_key: key } = canaryOf(release);
  await audit.record('config.rollout.promote', { before: { stable: stableOf(rollout) }, after: { stable: { config_key: key, revision: revisions.canary }, ...ratesOf(progress) } });
  report({ event: 'promoted', key, revision: revisions.canary });
  return 'promoted';
}

async function interrupt(rollout: ConfigRollout, engine: Rollout): Promise<RolloutOutcome> {
  if (rollout.onInterrupt === 'rollback') return await rollBack(rollout, engine, 'interrupted', 'stopped by its operator');
  const { progress } = engine;
  rollout.report({ event: 'left', percent: progress.percent });
  await rollout.audit.record('config.rollout.stage', { before: { percent: progress.percent, ...ratesOf(progress) }, after: { percent: progress.percent, revision: rollout.revisions.canary, left: true } });
  return 'left';
}

/** Says that somebody else decides over the canary now. Nothing is changed. */
async function takenOver({ report, audit, release, revisions, ...rollout }: ConfigRollout, progress: RolloutProgress, { message }: TakenOver, after: object = {}): Promise<'taken-over'> {
  report({ event: 'taken-over', detail: message });
  await audit.record('config.rollout.taken_over', {
    before: { stable: stableOf({ release, revisions }), canary: { config_key: canaryOf(release).config_key, revision: revisions.canary, percent: progress.percent }, ...ratesOf(progress) },
    after: { detail: message, changed_by: 'somebody else', watched_by: rollout.actor, ...after },
  });
  return 'taken-over';
}

/** Takes the canary out, whatever else is away; then waits until replicas have followed. */
async function rollBack(rollout: ConfigRollout, { progress, percent }: Rollout, reason: RollbackReason, detail: string): Promise<RolloutOutcome> {
  const { release, releases, revisions, clock, report, audit, reader, limits, intervalMs } = rollout;
  const startedAt = clock.monotonic();
  report({ event: 'breach', reason, detail, progress });
  const canary = canaryOf(release);
  const row = {
    before: { stable: stableOf(rollout), canary: { config_key: canary.config_key, revision: revisions.canary, percent: progress.percent }, ...ratesOf(progress) },
    after: { stable: stableOf(rollout), reason, detail },
  };
  try {
    // What was seen of the canary speaks against it at any percent; a stop of this command only ends what this command does.
    const isSeen = reason !== 'interrupted' && reason !== 'error';
    await change(rollout, withoutCanary, isSeen ? {} : { percents: [progress.percent, percent] });
  } catch (error) {
    if (error instanceof TakenOver) return await takenOver(rollout, progress, error, { wanted: { rollback: reason, detail } });
    const failure = error instanceof AppError ? error.message : describeUnknown(error);
    report({ event: 'rollback-failed', detail: failure, releaseKey: releases.key });
    await audit.record('config.rollout.rollback', { ...row, after: { ...row.after, failed: failure } });
    return 'rollback-failed';
  }
  report({ event: 'rolled-back', reason, detail, tookMs: clock.monotonic() - startedAt });
  await audit.record('config.rollout.rollback', row);
  const { readings, left } = await waitUntilServed({ reader, revision: revisions.stable, timeoutMs: limits.pickUpMs, intervalMs, clock, signal: new AbortController().signal });
  report({ event: 'returned', replicas: readings.length - left.length, left: left.map(({ replica }) => replica) });
  return 'rolled-back';
}

interface Ours {
  /** Percents that this rollout has set; another one was set by somebody else. Any by default. */
  readonly percents?: readonly number[];
}

/** Changes the release as long as its canary is ours, trying on while the store is away. @throws TakenOver; AppError when the time is up. */
async function change(rollout: ConfigRollout, next: (current: Release) => Release | Promise<Release>, ours: Ours): Promise<void> {
  const { releases, clock, report, storeTriesMs } = rollout;
  const deadline = clock.monotonic() + storeTriesMs;
  let sent: Release | undefined;
  for (let attempt = 0; ; attempt += 1) {
    try {
      const stored = await releases.read();
      // The store took it, and only its answer was lost.
      if (sent !== undefined && isDeepStrictEqual(stored.release, releaseSchema.parse(sent))) return;
      checkOurs(rollout, stored, ours);
      sent = await next(stored.release);
      if (await releases.replace(stored, sent)) return;
      sent = undefined;
    } catch (error) {
      if (error instanceof TakenOver || !(error instanceof AppError) || !error.retryable || clock.monotonic() >= deadline) throw error;
      if (attempt === 0) report({ event: 'store-away', detail: error.message });
    }
    await sleep(100 + backoffMs(attempt, { baseMs: 200, maxMs: 5_000 }, Math.random));
  }
}

/** A store that is away says nothing about whose the canary is. */
async function checkOwnership(rollout: ConfigRollout, percents: readonly number[]): Promise<void> {
  const stored = await rollout.releases.read().catch(() => undefined);
  if (stored !== undefined) checkOurs(rollout, stored, { percents });
}

function checkOurs({ release, releases }: ConfigRollout, { release: { canary, stable } }: StoredRelease, { percents }: Ours): void {
  const ours = canaryOf(release);
  if (canary === undefined) throw new TakenOver(`somebody else has taken the canary out of ${releases.key}; stable is ${stable.config_key}`);
  if (canary.config_key !== ours.config_key || canary.started_at !== ours.started_at) {
    throw new TakenOver(`another rollout of ${canary.config_key}, started by ${canary.started_by} at ${canary.started_at}, has taken the place of this one`);
  }
  if (percents?.includes(canary.percent) === false) throw new TakenOver(`somebody else has set the canary in ${releases.key} to ${String(canary.percent)} % (it was at ${percents.map(String).join(' or ')} %)`);
}

function canaryOf({ canary }: Release): NonNullable<Release['canary']> {
  if (canary === undefined) throw new TypeError('The release of a rollout has a canary.');
  return canary;
}

function stableOf({ release, revisions }: Pick<ConfigRollout, 'release' | 'revisions'>): { readonly config_key: string; readonly revision: string } {
  // The audit log takes the value of a field called `key` for a secret.
  return { config_key: release.stable.config_key, revision: revisions.stable };
}

function sumsOf({ canary, stable, watchedMs, windowMs }: RolloutProgress): Pick<RolloutProgress, 'canary' | 'stable' | 'watchedMs' | 'windowMs'> {
  return { canary, stable, watchedMs, windowMs };
}

function ratesOf({ canary, stable }: RolloutProgress): object {
  const rate = ({ requests, errors }: RolloutProgress['canary']): object => ({ requests, errors, error_rate: requests === 0 ? null : Number((errors / requests).toFixed(4)) });
  return { observed: { canary: rate(canary), stable: rate(stable) } };
}

function unknownOf(readings: readonly ReplicaReading[]): readonly { readonly replica: string; readonly problem: string }[] {
  return readings.flatMap((reading) => ('problem' in reading ? [{ replica: reading.replica, problem: reading.problem }] : []));
}
