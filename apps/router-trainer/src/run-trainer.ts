import { trainArtifact } from '@pointsman/router-training';
import { runService, telemetrySettings } from '@pointsman/service';
import { startTelemetry } from '@pointsman/telemetry';
import packageJson from '../package.json' with { type: 'json' };
import { readTrainerSettings } from './settings.ts';

/** The life of a training Job: trains one artifact and ends. Exit code 0 when it is written, 78 for wrong settings, 1 for anything else. */
export async function runTrainer(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  await runService(async (signal, service) => {
    const settings = readTrainerSettings(env);
    const telemetry = startTelemetry(telemetrySettings(settings.telemetry, { name: 'pointsman-router-trainer', version: packageJson.version }));
    service.useTelemetry(telemetry);
    const started = performance.now();
    let phase = '';
    const artifact = await trainArtifact({
      strategy: settings.strategy, dataFiles: settings.dataFiles, outDirectory: settings.outDirectory, name: settings.name, version: settings.version, seed: settings.seed, limit: settings.limit,
      embedder: settings.embedder, minilmDirectory: settings.minilmDirectory, signKey: settings.signKey?.reveal(), signal,
      progress(next) {
        if (next === phase) return;
        phase = next;
        telemetry.logger.info('training phase', { phase });
      },
    });
    telemetry.logger.info('model trained', {
      strategy: artifact.manifest.strategy, revision: artifact.revision, rows: artifact.rows, candidates: artifact.candidates.length, bytes: artifact.modelBytes,
      // Here and not in the manifest: equal data and seed make equal manifests.
      seconds: Math.round((performance.now() - started) / 100) / 10,
    });
  }, { name: 'pointsman-router-trainer', stopTimeoutMs: 5_000 });
}
