import type { AnsweredReading, GatewayReader, ModelArmTally, ModelSample, ReplicaReading } from '@pointsman/rollout';
import { sleep, type Clock } from '@pointsman/timing';

/** What a replica must serve. */
export interface ModelProof {
  readonly model: string;
  /** Of the configuration. */
  readonly revision: string;
  /** Versions that must be loaded; with a digest, that very artifact. */
  readonly versions: readonly { readonly version: string; readonly digest?: string | undefined }[];
}

/** What is missing on a replica; undefined when it serves all of it. Only its own report proves that: a configuration may ask for a version that is not loaded yet. */
export function unprovenOf(reading: AnsweredReading, { model, revision, versions }: ModelProof): string | undefined {
  if (!reading.isReady) return 'is not ready';
  if (reading.revision !== revision) return `serves the configuration ${reading.revision === '' ? '(none)' : reading.revision}`;
  if (reading.models === undefined) return 'does not tell its models: is the master key right?';
  for (const { version, digest } of versions) {
    const found = reading.models.find((each) => each.name === model && each.version === version);
    if (found === undefined) return `has not loaded ${model} ${version}`;
    if (digest !== undefined && found.revision !== `${version}-${digest.slice(0, 12)}`) return `has another ${version} (${found.revision})`;
  }
  return undefined;
}

export function sampleOf(readings: readonly ReplicaReading[], proof: ModelProof, tally: ModelArmTally): ModelSample {
  const missing: string[] = [];
  const unknown: string[] = [];
  let proven = 0;
  let rejected: string | undefined;
  for (const reading of readings) {
    if ('problem' in reading) {
      unknown.push(reading.replica);
      continue;
    }
    if (unprovenOf(reading, proof) === undefined) proven += 1;
    else missing.push(reading.replica);
    rejected ??= refusalOf(reading, proof);
  }
  return { proven, missing, unknown, rejected, ...tally.add(readings) };
}

function refusalOf({ replica, revision, lastRejected, models = [], rejectedModels = [] }: AnsweredReading, proof: ModelProof): string | undefined {
  if (lastRejected?.revision === proof.revision && revision !== proof.revision) return `${replica} refuses the configuration: ${lastRejected.reason}`;
  const refused = rejectedModels.find(({ name, version }) => name === proof.model && proof.versions.some((each) => each.version === version) && !models.some((each) => each.name === name && each.version === version));
  return refused === undefined ? undefined : `${replica} refuses ${proof.model} ${refused.version}: ${refused.reason}`;
}

/** Looks until every replica serves it, or the time is up. `left`: who does not, and why. */
export async function waitUntilProven({ reader, proof, timeoutMs, intervalMs, clock, signal }: {
  readonly reader: GatewayReader; readonly proof: ModelProof; readonly timeoutMs: number; readonly intervalMs: number; readonly clock: Clock; readonly signal: AbortSignal;
}): Promise<{ readonly replicas: number; readonly left: readonly { readonly replica: string; readonly why: string }[] }> {
  const deadline = clock.monotonic() + timeoutMs;
  for (;;) {
    const readings = await reader.read(signal);
    const left = readings.flatMap((reading) => {
      const why = 'problem' in reading ? reading.problem : unprovenOf(reading, proof);
      return why === undefined ? [] : [{ replica: reading.replica, why }];
    });
    if ((left.length === 0 && readings.length > 0) || clock.monotonic() >= deadline) return { replicas: readings.length, left };
    await sleep(intervalMs, signal);
  }
}
