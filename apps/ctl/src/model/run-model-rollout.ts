import { AppError, describeUnknown } from '@pointsman/errors';
import { createModelRollout, ModelArmTally, type GatewayReader, type ModelArm, type ModelChange, type ModelLimits, type ModelProgress, type ModelUse } from '@pointsman/rollout';
import { backoffMs, sleep, type Clock } from '@pointsman/timing';
import { plural, showMs } from '../quantities.ts';
import type { ModelConfig } from './model-config.ts';
import type { ModelRecords } from './model-records.ts';
import { sampleOf, waitUntilProven, type ModelProof } from './model-replicas.ts';

/** One thing that happened: facts for machines, words for people. `isProgress`: drawn anew on a terminal. */
export interface ModelEvent {
  readonly event: string;
  readonly text: string;
  readonly facts: object;
  readonly isProgress?: true;
}

export interface ModelRolloutRun {
  readonly model: string;
  readonly version: string;
  readonly digest: string;
  readonly config: ModelConfig;
  /** As it was before. */
  readonly before: ModelUse;
  readonly stages: readonly number[];
  readonly windowMs: number;
  readonly intervalMs: number;
  readonly limits: ModelLimits;
  readonly storeTriesMs: number;
  readonly reader: GatewayReader;
  readonly records: Pick<ModelRecords, 'record'>;
  readonly actor: string;
  readonly clock: Clock;
  readonly report: (event: ModelEvent) => void;
  readonly interrupted: AbortSignal;
  readonly onInterrupt: 'rollback' | 'leave';
  /** Joins the first audit row: what the gate said. */
  readonly reason: string;
}

export type ModelRolloutOutcome = 'promoted' | 'promoted-unproven' | 'rolled-back' | 'rollback-failed' | 'left' | 'taken-over';

const LOOKS_PER_CHECK = 4;

/** Somebody else has changed the model or its canary in the configuration. */
class TakenOver extends Error {}

/**
 * Gives a version more and more of the traffic of its model, compares it with the one that serves, and takes it out again when it is worse. Whatever fails on the way is a
 * reason to roll back. Throws only when not even the beginning could be written.
 */
export async function runModelRollout(run: ModelRolloutRun): Promise<ModelRolloutOutcome> {
  const { model, version, digest, before, stages, report, records, config } = run;
  const first = before.canary?.weight ?? stages[0] ?? 100;
  const state: State = { run, stable: before.version ?? '', percent: first, revision: '', isFirst: true };
  state.revision = await change(state, () => ({ canary: { version, weight: first } }), [undefined, first]);
  report({ event: 'started', text: `Started: ${model} ${version} at ${String(first)} % of ${before.places.join(', ')}, over ${state.stable === '' ? 'no version' : state.stable}`, facts: { model, version, digest, stable: before.version, percent: first, environment: config.environment, revision: state.revision } });
  await records.record({ ...rowOf(state), action: 'start', percent: first, reason: run.reason });
  const engine = createModelRollout({ stages, windowMs: run.windowMs, limits: run.limits, clock: run.clock, startPercent: first });
  try {
    return await drive(state, engine);
  } catch (error) {
    if (error instanceof TakenOver) return takenOver(state, error);
    return await rollBack(state, engine.progress, 'error', error instanceof AppError ? error.message : describeUnknown(error));
  }
}

interface State {
  readonly run: ModelRolloutRun;
  readonly stable: string;
  percent: number;
  revision: string;
  isFirst: boolean;
}

function rowOf({ run, stable }: State): { version: string; digest: string; environment: string; from: string | null; to: string | null } {
  return { version: run.version, digest: run.digest, environment: run.config.environment, from: stable === '' ? null : stable, to: stable === '' ? null : stable };
}

function proofOf({ run: { model, version, digest }, revision, stable }: State): ModelProof {
  return { model, revision, versions: [{ version, digest }, ...(stable === '' ? [] : [{ version: stable }])] };
}

async function drive(state: State, engine: ReturnType<typeof createModelRollout>): Promise<ModelRolloutOutcome> {
  const { run } = state;
  const { model, version, reader, interrupted, report, records } = run;
  const tally = new ModelArmTally(model, { canary: version, stable: state.stable });
  for (let looks = 1; ; looks += 1) {
    await sleep(run.intervalMs, interrupted);
    const readings = interrupted.aborted ? undefined : await reader.read(interrupted).catch((error: unknown) => {
      if (interrupted.aborted) return undefined;
      throw error;
    });
    if (readings === undefined) {
      if (run.onInterrupt === 'rollback') return await rollBack(state, engine.progress, 'interrupted', 'stopped by its operator');
      report({ event: 'left', text: `Left as it is, at ${String(state.percent)} %: nobody watches it. --resume goes on, "pointsman rollback model ${model}" ends it`, facts: { percent: state.percent } });
      return 'left';
    }
    const passed = engine.progress;
    const decision = engine.observe(sampleOf(readings, proofOf(state), tally));
    report({ event: 'sample', isProgress: true, text: progressLine(engine.progress), facts: factsOf(engine.progress) });
    if (decision.action === 'rollback') return await rollBack(state, engine.progress, decision.reason, decision.detail);
    if (decision.action === 'promote') return await promote(state, engine.progress);
    if (decision.action === 'advance') {
      const from = state.percent;
      state.revision = await change(state, () => ({ canary: { version, weight: decision.percent } }), [from, decision.percent]);
      state.percent = decision.percent;
      report({ event: 'stage', text: `Good: ${armText(passed.canary)} on ${version}, ${armText(passed.stable)} on ${state.stable}. On to ${String(decision.percent)} %`, facts: { percent: decision.percent, ...factsOf(passed) } });
      await records.record({ ...rowOf(state), action: 'stage', percent: decision.percent, reason: '' }, { before: { percent: from, observed: observed(passed) } });
    } else if (looks % LOOKS_PER_CHECK === 0) await follow(state);
  }
}

/** Whether the canary is still ours, and which revision replicas must serve: the rest of the configuration may have been changed by others. */
async function follow(state: State): Promise<void> {
  let now: Awaited<ReturnType<ModelConfig['read']>>;
  try {
    now = await state.run.config.read();
  } catch (error) {
    // A store that is away says nothing about whose the canary is.
    if (error instanceof AppError && error.retryable) return;
    throw error;
  }
  checkOurs(state, now.use, [state.percent]);
  state.revision = now.revision;
}

function checkOurs({ run, stable }: State, { version, canary }: ModelUse, weights: readonly (number | undefined)[]): void {
  if ((version ?? '') !== stable) throw new TakenOver(`somebody else has set model_version of ${run.model} to ${version ?? 'nothing'}`);
  if (canary !== undefined && canary.version !== run.version) throw new TakenOver(`somebody else has put ${canary.version} in the place of the canary`);
  if (!weights.includes(canary?.weight)) throw new TakenOver(canary === undefined ? 'somebody else has taken the canary out' : `somebody else has set the canary to ${String(canary.weight)} %`);
}

/** Changes the configuration as long as the canary is ours, trying on while the store is away. Resolves to the revision. @throws TakenOver; AppError when the time is up. */
async function change(state: State, next: (use: ModelUse) => ModelChange, weights: readonly (number | undefined)[]): Promise<string> {
  const { config, clock, storeTriesMs, actor, report } = state.run;
  const deadline = clock.monotonic() + storeTriesMs;
  for (let attempt = 0; ; attempt += 1) {
    try {
      const now = await config.read();
      checkOurs(state, now.use, weights);
      const written = await config.write(now, next(now.use), { actor, at: new Date(clock.now()), isFirst: state.isFirst });
      if (written !== undefined) {
        state.isFirst = false;
        return written.revision;
      }
    } catch (error) {
      if (error instanceof TakenOver || !(error instanceof AppError) || !error.retryable || clock.monotonic() >= deadline) throw error;
      if (attempt === 0) report({ event: 'store-away', text: `The store is away, trying on: ${error.message}`, facts: { detail: error.message } });
    }
    if (clock.monotonic() >= deadline) throw new AppError('unavailable', 'config_contended', 'the configuration keeps being changed by others');
    await sleep(100 + backoffMs(attempt, { baseMs: 200, maxMs: 5_000 }, Math.random));
  }
}

async function promote(state: State, progress: ModelProgress): Promise<ModelRolloutOutcome> {
  const { run } = state;
  const { model, version, digest, records, report, reader, limits, intervalMs, clock } = run;
  state.revision = await change(state, () => ({ version, canary: null }), [state.percent]);
  await records.record({ ...rowOf(state), action: 'promote', percent: 100, reason: '', to: version }, { before: { percent: state.percent, observed: observed(progress) } });
  report({ event: 'promoted', text: `Promoted: ${model} serves ${version} (was ${state.stable})`, facts: { model, version, from: state.stable, revision: state.revision, ...factsOf(progress) } });
  // What happens from here on is no reason to go back: the version was good at 100 %.
  const { replicas, left } = await waitUntilProven({ reader, proof: { model, revision: state.revision, versions: [{ version, digest }] }, timeoutMs: limits.pickUpMs, intervalMs, clock, signal: run.interrupted }).catch(() => ({ replicas: 0, left: [{ replica: 'all', why: 'nobody waited' }] }));
  report({ event: 'proven', text: left.length === 0 ? `${plural(replicas, 'replica')} ${replicas === 1 ? 'serves' : 'serve'} it` : `Not yet: ${left.map(({ replica, why }) => `${replica} ${why}`).join('; ')}`, facts: { replicas, left } });
  return left.length === 0 ? 'promoted' : 'promoted-unproven';
}

async function rollBack(state: State, progress: ModelProgress, reason: string, detail: string): Promise<ModelRolloutOutcome> {
  const { run } = state;
  const { model, version, report, records, reader, limits, intervalMs, clock } = run;
  const startedAt = clock.monotonic();
  report({ event: 'breach', text: `Rolling back (${reason}): ${detail}`, facts: { reason, detail, ...factsOf(progress) } });
  const audit = { before: { percent: state.percent, observed: observed(progress) } };
  try {
    // An advance that failed may have been written all the same.
    state.revision = await change(state, () => ({ canary: null }), [undefined, state.percent, ...run.stages]);
  } catch (error) {
    if (error instanceof TakenOver) return takenOver(state, error);
    const failure = error instanceof AppError ? error.message : describeUnknown(error);
    report({ event: 'rollback-failed', text: `THE ROLLBACK FAILED: ${failure}\nRun "pointsman rollback model ${model}" as soon as the store answers.`, facts: { detail: failure } });
    await records.record({ ...rowOf(state), action: 'rollback', percent: state.percent, reason: `${reason}: ${detail}; failed: ${failure}` }, audit);
    return 'rollback-failed';
  }
  report({ event: 'rolled-back', text: `Rolled back in ${showMs(clock.monotonic() - startedAt)}: ${version} gets no requests, ${state.stable} all of them`, facts: { reason, detail, took_ms: Math.round(clock.monotonic() - startedAt), revision: state.revision } });
  await records.record({ ...rowOf(state), action: 'rollback', percent: 0, reason: `${reason}: ${detail}` }, audit);
  const { replicas, left } = await waitUntilProven({ reader, proof: { model, revision: state.revision, versions: state.stable === '' ? [] : [{ version: state.stable }] }, timeoutMs: Math.min(limits.pickUpMs, 300_000), intervalMs, clock, signal: new AbortController().signal });
  report({ event: 'returned', text: left.length === 0 ? `${plural(replicas, 'replica')} back on ${state.stable}` : `Not yet back: ${left.map(({ replica, why }) => `${replica} ${why}`).join('; ')}`, facts: { replicas, left } });
  return 'rolled-back';
}

function takenOver({ run: { report } }: State, { message }: TakenOver): 'taken-over' {
  report({ event: 'taken-over', text: `Stopped, nothing was changed: ${message}`, facts: { detail: message } });
  return 'taken-over';
}

const HELD = { 'waiting-for-replicas': 'waiting for replicas to load it', 'few-requests': 'held for more requests', blind: 'paused, replicas do not answer', 'both-arms-bad': 'held, both versions fail' } as const;

function progressLine({ percent, held, watchedMs, windowMs, missing, unknown, canary, stable }: ModelProgress): string {
  return [
    `  ${String(percent).padStart(3)} %  ${held === undefined ? 'watching' : HELD[held]}, ${showMs(windowMs - watchedMs)} left`, `canary ${armText(canary)}`, `stable ${armText(stable)}`,
    ...(missing === 0 ? [] : [`${plural(missing, 'replica')} not there yet`]), ...(unknown === 0 ? [] : [`${String(unknown)} not answering`]),
  ].join(' | ');
}

function armText({ requests, failed, measures }: ModelArm): string {
  const mean = ({ count, sum }: { readonly count: number; readonly sum: number }): string => (count === 0 ? '-' : String(Number((sum / count).toPrecision(3))));
  return `${plural(requests, 'request')}, ${requests === 0 ? '-' : `${String(Number(((failed / requests) * 100).toFixed(2)))} %`} failed, feedback ${mean(measures.feedback)} (${String(measures.feedback.count)}), ${mean(measures.request_seconds)} s, ${mean(measures.cost_usd)} USD`;
}

function observed({ canary, stable }: ModelProgress): object {
  const arm = ({ requests, failed, measures }: ModelArm): object => ({
    requests, failed, ...Object.fromEntries(Object.entries(measures).filter(([, { count }]) => count > 0).map(([name, { count, sum }]) => [name, { count, mean: Number((sum / count).toPrecision(6)) }])),
  });
  return { canary: arm(canary), stable: arm(stable) };
}

function factsOf(progress: ModelProgress): object {
  const { percent, held, watchedMs, windowMs, proven, missing, unknown } = progress;
  return { percent, held, watched_ms: watchedMs, window_ms: windowMs, replicas: { proven, missing, unknown }, ...observed(progress) };
}
