/** One training or registration, with what went in and what came out. */
export interface RegistryRun {
  /** Opaque; only for the registry that made it. */
  readonly id: string;
  readonly experiment: string;
  /** Where its artifacts go, as the registry calls it. */
  readonly artifactUri: string;
}

export interface NewRun {
  readonly experiment: string;
  readonly name: string;
  readonly tags?: Readonly<Record<string, string>>;
}

export interface RunFigures {
  readonly params?: Readonly<Record<string, string>>;
  /** Numbers that are not finite are left out: no registry takes them. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export type RunOutcome = 'finished' | 'failed';

/** Dataset → run → version: what the version was made of is told when it is registered. */
export interface NewVersion {
  readonly name: string;
  /** `v42`. */
  readonly version: string;
  /** SHA-256 of the manifest, hex: what the version is. */
  readonly digest: string;
  readonly datasetSha256: string;
  readonly runId: string;
  /** Where the artifact lies: `s3://bucket/models/knn-router-v42`. */
  readonly artifactUrl: string;
  readonly registeredBy: string;
}

/** The last time a version was given traffic. */
export interface DeploymentMark {
  readonly environment: string;
  readonly percent: number;
  readonly actor: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface RegisteredVersion extends NewVersion {
  /** ISO 8601. */
  readonly registeredAt: string;
  /** Names that point at it now, sorted: `champion`, `challenger`. */
  readonly aliases: readonly string[];
  readonly deployed: DeploymentMark | undefined;
}

export interface AskOptions {
  readonly signal?: AbortSignal;
}

/**
 * Where trained models are written down: MLflow, or the object store itself. Both keep the same promises (`model-registry.conformance.ts`):
 * a version is registered once, two who register at the same moment are both there or one of them is told, and nothing that was registered is lost.
 * What goes wrong is a `ModelRegistryError`; a caller's own abort rejects with the signal's reason.
 */
export interface ModelRegistry {
  readonly kind: 'mlflow' | 'object-store';
  /** For people, without credentials. */
  readonly place: string;
  /** Makes the experiment when it is not there. */
  startRun(run: NewRun, options?: AskOptions): Promise<RegistryRun>;
  /** May be called often: a metric of the same name is the newer value, a param is written once. */
  logFigures(runId: string, figures: RunFigures, options?: AskOptions): Promise<void>;
  /** `skipped`: the registry keeps artifacts at a place that only its own clients can write to. At most 64 MiB. */
  logArtifact(runId: string, path: string, body: Buffer | string, options?: AskOptions): Promise<'stored' | 'skipped'>;
  endRun(runId: string, outcome: RunOutcome, options?: AskOptions): Promise<void>;
  /**
   * Registers a version. One that is there with the same digest is returned as it is (`isNew: false`).
   * @throws ModelRegistryError `conflict` when it is there with another digest: a version is never two things.
   */
  register(version: NewVersion, options?: AskOptions): Promise<{ readonly isNew: boolean; readonly version: RegisteredVersion }>;
  find(name: string, version: string, options?: AskOptions): Promise<RegisteredVersion | undefined>;
  /** All versions of a model, oldest first; empty for one that nobody registered. */
  list(name: string, options?: AskOptions): Promise<readonly RegisteredVersion[]>;
  /** Lets a name point at a version; undefined takes the name away. @throws ModelRegistryError `not_found` */
  setAlias(name: string, alias: string, version: string | undefined, options?: AskOptions): Promise<void>;
  /** @throws ModelRegistryError `not_found` */
  markDeployed(name: string, version: string, deployed: DeploymentMark, options?: AskOptions): Promise<void>;
}

/** What went wrong, in words without credentials. `denied`: the credentials; `refused`: the registry does not take what it was given. */
export class ModelRegistryError extends Error {
  readonly kind: 'unavailable' | 'timeout' | 'denied' | 'not_found' | 'conflict' | 'refused';

  constructor(kind: ModelRegistryError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ModelRegistryError';
    this.kind = kind;
  }

  get retryable(): boolean {
    return this.kind === 'unavailable' || this.kind === 'timeout';
  }
}

const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** A name of an experiment or alias. @throws ModelRegistryError `refused` */
export function checkName(what: string, name: string): string {
  if (!SEGMENT.test(name)) throw new ModelRegistryError('refused', `${what} expects a name of letters, digits, dots, dashes and underscores, at most 128 characters`);
  return name;
}

/** A relative path of names. @throws ModelRegistryError `refused` */
export function checkArtifactPath(path: string): string {
  if (path.length > 512 || !path.split('/').every((segment) => SEGMENT.test(segment))) throw new ModelRegistryError('refused', 'the path of an artifact expects plain names with / between them');
  return path;
}

export const MAX_ARTIFACT_BYTES = 64 * 1024 * 1024;

export function checkArtifactSize(body: Buffer | string): void {
  if (Buffer.byteLength(body) > MAX_ARTIFACT_BYTES) throw new ModelRegistryError('refused', `an artifact of a run may have at most ${String(MAX_ARTIFACT_BYTES / 1024 / 1024)} MiB`);
}

/** Numeric order where versions have numbers, so that v10 comes after v9. */
export function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

export function otherDigest({ name, version }: NewVersion, digest: string): ModelRegistryError {
  return new ModelRegistryError('conflict', `${name} ${version} is registered already, with another digest (${digest.slice(0, 12)}): give what is new another version`);
}
