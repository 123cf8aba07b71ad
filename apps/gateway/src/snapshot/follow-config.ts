import { basename, dirname } from 'node:path';
import { AppError, describeUnknown } from '@pointsman/errors';
import { ConfigRejectedError, type ConfigProblem, type ConfigTexts, type DegradedMode, type ParsedGatewayConfig } from '@pointsman/gateway-config';
import type { LiveValue } from '@pointsman/live-value';
import type { GatewayReport } from '@pointsman/schemas';
import type { Logger } from '@pointsman/telemetry';
import { watch } from 'chokidar';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';
import { readGeneration, type ConfigPlaces, type ReadGeneration } from './read-generation.ts';
import type { Snapshot } from './snapshot.ts';

/** Body of `GET /health/config`. Times are ISO 8601. */
export interface ReloadReport extends GatewayReport {
  readonly last_rejected?: { readonly at: string; readonly revision: string; readonly reason: string; readonly problems: readonly ConfigProblem[] };
  readonly warnings: readonly ConfigProblem[];
}

export interface CheckedConfig extends ParsedGatewayConfig {
  readonly degradedMode: DegradedMode;
}

export interface FollowConfigParts extends ConfigPlaces {
  readonly pollMs: number;
  readonly live: LiveValue<Snapshot>;
  /** Where secrets lie as files, watched like the configuration: a rotated one is taken over without a restart. */
  readonly secretsDirectory?: string | undefined;
  /** Takes over what the files of secrets say now, and resolves to a digest of them. */
  readonly readSecrets?: (() => Promise<string>) | undefined;
  /** Throws for texts that are not valid, each of them: a generation is taken as a whole or not at all. */
  readonly parse: (texts: ConfigTexts) => CheckedConfig;
  readonly compile: (checked: CheckedConfig) => Promise<Snapshot>;
  /** Called in the same turn in which the snapshot begins to serve. */
  readonly adopt: (snapshot: Snapshot, checked: CheckedConfig) => void;
  /** Router models that serve and that were refused, for the report. */
  readonly models: () => Pick<GatewayReport, 'models' | 'rejected_models'>;
  /** Called after each pass that something came of, before whoever asked for it hears. Must not reject. */
  readonly onReport: (report: ReloadReport) => Promise<void>;
  readonly logger: Logger;
  readonly metrics: GatewayMetrics;
  readonly now: () => number;
}

export interface ConfigFollower {
  /** Reads, checks, compiles and swaps; resolves when that is done, whatever came of it. Calls while one runs are answered by one more run. */
  reload(reason: string): Promise<void>;
  report(): ReloadReport;
  /** Tells the report again, where something else in it has changed. */
  publish(): Promise<void>;
  close(): Promise<void>;
}

/** Many writes make one reload: editors and object stores replace a file in several steps. */
const SETTLE_MS = 50;

/**
 * Keeps the live snapshot in step with the configuration file: on a signal, when the file changes, and by a slow poll for file systems that
 * tell nobody. A bad file changes nothing: the old snapshot serves on, and the log, `/health/config` and a metric say why.
 */
export function followConfig(parts: FollowConfigParts): ConfigFollower {
  const { logger, metrics, live } = parts;
  const rejections = logger.oncePerState('config');
  // Revision and digest of the secrets: the same configuration with a rotated key is another one to compile.
  let appliedIdentity = '';
  let rejectedIdentity = '';
  let rejected: ReloadReport['last_rejected'];
  let warnings: readonly ConfigProblem[] = [];
  let running: Promise<void> | undefined;
  let again: Promise<void> | undefined;
  let closed = false;

  const reject = (revision: string, error: unknown, reason: string, identity = revision): void => {
    rejectedIdentity = identity;
    const problems = error instanceof ConfigRejectedError ? error.problems : [];
    const told = error instanceof AppError ? error.message : describeUnknown(error);
    rejected = { at: new Date(parts.now()).toISOString(), revision, reason: told, problems };
    metrics.reloaded('rejected');
    rejections.change(`rejected ${revision}`, 'error', 'config rejected', {
      reason: told, problems, trigger: reason, path: parts.configPath, serving_revision: live.current.revision === '' ? null : live.current.revision,
    });
  };

  const pass = async (reason: string): Promise<void> => {
    let read: ReadGeneration;
    try {
      read = await readGeneration(parts);
    } catch (error) {
      // A file that is away for a moment (an editor's rename, a volume that is being mounted) must not stop what serves.
      reject('unreadable', new AppError('unavailable', 'config_unreadable', `The configuration ${parts.configPath} cannot be read: ${describeUnknown(error)}`), reason);
      return;
    }
    let identity = read.revision;
    try {
      if (parts.readSecrets !== undefined) identity += `\n${await parts.readSecrets()}`;
    } catch (error) {
      reject(read.revision, error, reason, 'unreadable');
      return;
    }
    if (identity === appliedIdentity) {
      if (rejectedIdentity !== '') {
        // The file says again what serves. Said, so that the same mistake made again is told again.
        rejected = undefined;
        rejectedIdentity = '';
        rejections.change(`restored ${read.revision}`, 'info', 'config restored', { revision: live.current.revision, trigger: reason });
      }
      if (reason !== 'poll') metrics.reloaded('unchanged');
      return;
    }
    // Nobody asked for this file to be read again: the poll came round, or it was written again with the same words.
    if (identity === rejectedIdentity && (reason === 'poll' || reason === 'file change')) return;
    try {
      const checked = parts.parse(read);
      const next = await parts.compile(checked);
      if (closed) {
        next.close();
        return;
      }
      const previous = live.current.revision;
      parts.adopt(next, checked);
      live.replace(next);
      const isRotation = appliedIdentity.startsWith(`${read.revision}\n`);
      appliedIdentity = identity;
      rejectedIdentity = '';
      rejected = undefined;
      warnings = checked.warnings;
      metrics.configApplied(previous, next.revision);
      metrics.reloaded('applied');
      rejections.change(`applied ${identity}`, 'info', isRotation ? 'rotated secrets applied' : 'config applied', { revision: next.revision, previous_revision: previous === '' ? null : previous, models: next.config.models.length, warnings: warnings.length, trigger: reason });
      for (const warning of warnings.slice(0, 50)) logger.warn('config warning', { path: warning.path, reason: warning.message });
    } catch (error) {
      reject(read.revision, error, reason, identity);
    }
  };

  const reload = (reason: string): Promise<void> => {
    if (closed) return Promise.resolve();
    if (running === undefined) {
      running = pass(reason).then(() => parts.onReport(report())).finally(() => {
        running = undefined;
      });
      return running;
    }
    // What changed while a pass reads may have been read half: one more pass, shared by all who ask meanwhile.
    again ??= running.then(() => {
      again = undefined;
      return reload(reason);
    });
    return again;
  };

  const report = (): ReloadReport => {
    const { revision, appliedAtMs } = live.current;
    return {
      config_revision: revision === '' ? null : revision,
      applied_at: appliedAtMs === 0 ? null : new Date(appliedAtMs).toISOString(),
      ...parts.models(),
      ...(rejected === undefined ? {} : { last_rejected: rejected }),
      warnings,
    };
  };

  let settle: NodeJS.Timeout | undefined;
  // `current` is swapped by config-sync, `..data` by the kubelet where a ConfigMap is mounted: the file itself then stays the same link.
  const names = new Set([basename(parts.configPath), 'current', '..data', basename(parts.candidatesPath ?? 'llm_candidates.json'), basename(parts.degradedModePath ?? 'degraded-mode.yaml')]);
  const { secretsDirectory } = parts;
  const watcher = watch([dirname(parts.configPath), ...(secretsDirectory === undefined ? [] : [secretsDirectory])], { depth: 0, ignoreInitial: true, persistent: true });
  watcher.on('all', (_event, path) => {
    if (closed || !(names.has(basename(path)) || (secretsDirectory !== undefined && dirname(path) === secretsDirectory))) return;
    clearTimeout(settle);
    settle = setTimeout(() => void reload('file change'), SETTLE_MS);
  });
  // A watch that the system refuses (no inotify instances left) leaves the poll: slower, never deaf.
  watcher.on('error', (error) => logger.oncePerState('config-watch').change('failed', 'warn', 'config watch failed, polling only', { reason: describeUnknown(error) }));
  const poll = setInterval(() => void reload('poll'), parts.pollMs);

  return {
    reload,
    report,
    publish: () => parts.onReport(report()),
    async close() {
      closed = true;
      clearInterval(poll);
      clearTimeout(settle);
      await watcher.close();
      await running;
    },
  };
}
