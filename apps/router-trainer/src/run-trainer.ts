import { trainArtifact, type TrainedArtifact } from '@pointsman/router-training';
import { runService, telemetrySettings } from '@pointsman/service';
import { startTelemetry } from '@pointsman/telemetry';
import { systemClock } from '@pointsman/timing';
import packageJson from '../package.json' with { type: 'json' };
import { readTrainerSettings } from './settings.ts';
import { showShare } from './show-share.ts';
import { trainFromTraces } from './train-from-traces.ts';

/**
 * The life of a training Job: trains one artifact, of files or of a window of traces, and ends. Exit code 0 when it is written, 78 for wrong settings, 1 for anything else.
 */
export async function runTrainer(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  await runService(async (signal, service) => {
    const settings = readTrainerSettings(env, systemClock.now());
    const telemetry = startTelemetry(telemetrySettings(settings.telemetry, { name: 'pointsman-router-trainer', version: packageJson.version }));
    service.useTelemetry(telemetry);
    const started = performance.now();
    let phase = '';
    using bar = showShare(process.stderr);
    const progress = (next: string, share: number): void => {
      bar.update(next, share);
      if (next === phase) return;
      phase = next;
      telemetry.logger.info('training phase', { phase });
    };
    let artifact: TrainedArtifact;
    if (settings.traces === undefined) {
      artifact = await trainArtifact({
        strategy: settings.strategy, dataFiles: settings.dataFiles, outDirectory: settings.outDirectory ?? '', name: settings.name, version: settings.version, seed: settings.seed, limit: settings.limit,
        embedder: settings.embedder, minilmDirectory: settings.minilmDirectory, signKey: settings.signKey?.reveal(), signal, progress,
      });
    } else {
      const trained = await trainFromTraces(settings, settings.traces, { progress, signal });
      telemetry.logger.info('window read', { ...trained.data.counts });
      for (const problem of trained.data.problems) telemetry.logger.warn('damaged traces', { problem });
      for (const warning of trained.artifact.report?.warnings ?? [trained.artifact.problem ?? '']) if (warning !== '') telemetry.logger.warn('estimate is weak', { warning });
      telemetry.logger.info('model published', { folder: trained.folder, ...trained.artifact.manifest.training.metrics });
      artifact = trained.artifact;
    }
    telemetry.logger.info('model trained', {
      strategy: artifact.manifest.strategy, version: artifact.manifest.version, revision: artifact.revision, rows: artifact.rows, candidates: artifact.candidates.length, bytes: artifact.modelBytes,
      // Here and not in the manifest: equal data and seed make equal manifests.
      seconds: Math.round((performance.now() - started) / 100) / 10,
    });
  }, { name: 'pointsman-router-trainer', stopTimeoutMs: 5_000 });
}
