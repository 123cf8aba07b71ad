import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError, describeUnknown } from '@pointsman/errors';
import { ConfigRejectedError, readConfigFiles, type ConfigFile, type ConfigProblem, type ParsedGatewayConfig } from '@pointsman/gateway-config';
import type { LiveValue } from '@pointsman/live-value';
import type { Logger } from '@pointsman/telemetry';
import { watch } from 'chokidar';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';
import type { Snapshot } from './snapshot.ts';

/** Body of `GET /health/config`. Times are ISO 8601. */
export interface ReloadReport {
  readonly config_revision: string | null;
  readonly applied_at: string | null;
  readonly models: readonly { readonly name: string; readonly version: string; readonly revision: string; readonly applied_at: string }[];
  readonly last_rejected?: { readonly at: string; readonly revision: string; readonly reason: string; readonly problems: readonly ConfigProblem[] };
  readonly warnings: readonly ConfigProblem[];
}

export interface FollowConfigParts {
  readonly configPath: string;
  /** `llm_candidates.json`; one that is not there is no problem. */
  readonly candidatesPath: string | undefined;
  readonly pollMs: number;
  readonly live: LiveValue<Snapshot>;
  readonly parse: (files: readonly ConfigFile[], candidates: string | undefined) => ParsedGatewayConfig;
  readonly compile: (parsed: ParsedGatewayConfig) => Promise<Snapshot>;
  /** Looked at before each pass and watched with the configuration: a file that is followed with it and is no part of it. Never rejects. */
  readonly beside?: { readonly path: string; check(): Promise<void> } | undefined;
  /** Called in the same turn in which the snapshot begins to serve. */
  readonly adopt: (snapshot: Snapshot) => void;
  readonly logger: Logger;
  readonly metrics: GatewayMetrics;
  readonly now: () => number;
}

export interface ConfigFollower {
  /** Reads, checks, compiles and swaps; resolves when that is done, whatever came of it. Calls while one runs are answered by one more run. */
  reload(reason: string): Promise<void>;
  report(): ReloadReport;
  close(): Promise<void>;
}

/** Many writes make one reload: editors and object stores replace a file in several steps. */
const SETTLE_MS = 50;

interface ReadConfig {
  readonly files: readonly ConfigFile[];
  readonly candidates: string | undefined;
  /** Digest over the bytes: what tells a change from a touch. */
  readonly digest: string;
}

/**
 * Keeps the live snapshot in step with the configuration file: on a signal, when the file changes, and by a slow poll for file systems that
 * tell nobody. A bad file changes nothing: the old snapshot serves on, and the log, `/health/config` and a metric say why.
 */
export function followConfig(parts: FollowConfigParts): ConfigFollower {
  const { logger, metrics, live } = parts;
  const rejections = logger.oncePerState('config');
  let appliedDigest = '';
  let rejectedDigest = '';
  let rejected: ReloadReport['last_rejected'];
  let warnings: readonly ConfigProblem[] = [];
  let running: Promise<void> | undefined;
  let again: Promise<void> | undefined;
  let closed = false;

  const reject = (digest: string, error: unknown, reason: string): void => {
    rejectedDigest = digest;
    const problems = error instanceof ConfigRejectedError ? error.problems : [];
    const told = error instanceof AppError ? error.message : describeUnknown(error);
    rejected = { at: new Date(parts.now()).toISOString(), revision: digest.slice(0, 12), reason: told, problems };
    metrics.reloaded('rejected');
    rejections.change(`rejected ${digest}`, 'error', 'config rejected', {
      reason: told, problems, trigger: reason, path: parts.configPath, serving_revision: live.current.revision === '' ? null : live.current.revision,
    });
  };

  const pass = async (reason: string): Promise<void> => {
    await parts.beside?.check();
    let read: ReadConfig;
    try {
      read = await readAll(parts);
    } catch (error) {
      // A file that is away for a moment (an editor's rename, a volume that is being mounted) must not stop what serves.
      reject('unreadable', new AppError('unavailable', 'config_unreadable', `The configuration ${parts.configPath} cannot be read: ${describeUnknown(error)}`), reason);
      return;
    }
    if (read.digest === appliedDigest) {
      if (rejectedDigest !== '') {
        // The file says again what serves. Said, so that the same mistake made again is told again.
        rejected = undefined;
        rejectedDigest = '';
        rejections.change(`restored ${read.digest}`, 'info', 'config restored', { revision: live.current.revision, trigger: reason });
      }
      if (reason !== 'poll') metrics.reloaded('unchanged');
      return;
    }
    // Nobody asked for this file to be read again: the poll came round, or it was written again with the same words.
    if (read.digest === rejectedDigest && (reason === 'poll' || reason === 'file change')) return;
    try {
      const parsed = parts.parse(read.files, read.candidates);
      const next = await parts.compile(parsed);
      if (closed) {
        next.close();
        return;
      }
      const previous = live.current.revision;
      parts.adopt(next);
      live.replace(next);
      appliedDigest = read.digest;
      rejectedDigest = '';
      rejected = undefined;
      warnings = parsed.warnings;
      metrics.configApplied(previous, next.revision);
      metrics.reloaded('applied');
      rejections.change(`applied ${read.digest}`, 'info', 'config applied', { revision: next.revision, previous_revision: previous === '' ? null : previous, models: next.config.models.length, warnings: warnings.length, trigger: reason });
      for (const warning of warnings.slice(0, 50)) logger.warn('config warning', { path: warning.path, reason: warning.message });
    } catch (error) {
      reject(read.digest, error, reason);
    }
  };

  const reload = (reason: string): Promise<void> => {
    if (closed) return Promise.resolve();
    if (running === undefined) {
      running = pass(reason).finally(() => {
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

  let settle: NodeJS.Timeout | undefined;
  // `current` is swapped by config-sync, `..data` by the kubelet where a ConfigMap is mounted: the file itself then stays the same link.
  const names = new Set([basename(parts.configPath), 'current', '..data', basename(parts.candidatesPath ?? 'llm_candidates.json'), ...(parts.beside === undefined ? [] : [basename(parts.beside.path)])]);
  const watcher = watch(dirname(parts.configPath), { depth: 0, ignoreInitial: true, persistent: true });
  watcher.on('all', (_event, path) => {
    if (closed || !names.has(basename(path))) return;
    clearTimeout(settle);
    settle = setTimeout(() => void reload('file change'), SETTLE_MS);
  });
  // A watch that the system refuses (no inotify instances left) leaves the poll: slower, never deaf.
  watcher.on('error', (error) => logger.oncePerState('config-watch').change('failed', 'warn', 'config watch failed, polling only', { reason: describeUnknown(error) }));
  const poll = setInterval(() => void reload('poll'), parts.pollMs);

  return {
    reload,
    report() {
      const { revision, appliedAtMs } = live.current;
      return {
        config_revision: revision === '' ? null : revision,
        applied_at: appliedAtMs === 0 ? null : new Date(appliedAtMs).toISOString(),
        models: [],
        ...(rejected === undefined ? {} : { last_rejected: rejected }),
        warnings,
      };
    },
    async close() {
      closed = true;
      clearInterval(poll);
      clearTimeout(settle);
      await watcher.close();
      await running;
    },
  };
}

/** A pipe in the place of a file would hold the reader for ever. */
async function readRegularFile(path: string): Promise<string> {
  if (!(await stat(path)).isFile()) throw new Error('not a regular file');
  return readFile(path, 'utf8');
}

async function readAll({ configPath, candidatesPath }: FollowConfigParts): Promise<ReadConfig> {
  const files = await readConfigFiles(configPath, readRegularFile);
  const candidates = await readRegularFile(candidatesPath ?? join(dirname(configPath), 'llm_candidates.json')).catch(() => undefined);
  const digest = createHash('sha256');
  for (const { path, text } of files) digest.update(`${path}\0${text}\0`);
  digest.update(candidates ?? '');
  return { files, candidates, digest: digest.digest('hex') };
}
