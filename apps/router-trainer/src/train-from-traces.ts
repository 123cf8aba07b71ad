import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openObjectStore } from '@pointsman/object-store';
import { embedderIdentity, readTraceWindow, trainWindow, type TrainedWindow, type WindowData } from '@pointsman/router-training';
import { nextVersion, publishArtifact } from './publish-artifact.ts';
import type { TrainerSettings, WindowSettings } from './settings.ts';

export interface TrainedFromTraces {
  readonly artifact: TrainedWindow;
  readonly data: WindowData;
  /** `models/{name}-{version}` in the store. */
  readonly folder: string;
}

export interface TrainFromTracesOptions {
  readonly progress: (phase: string, share: number) => void;
  readonly signal: AbortSignal;
}

/** A window of traces becomes an artifact under `models/` of the store, with its report. @throws AppError as `readTraceWindow`, `trainWindow`; ObjectStoreError */
export async function trainFromTraces(settings: TrainerSettings, traces: WindowSettings, { progress, signal }: TrainFromTracesOptions): Promise<TrainedFromTraces> {
  const endpoint = traces.storeEndpoint === undefined ? {} : { endpoint: traces.storeEndpoint };
  const [source, target] = [await openObjectStore(traces.tracesUrl, endpoint), await openObjectStore(traces.modelsUrl, endpoint)];
  const directory = await mkdtemp(join(tmpdir(), 'pointsman-trainer-'));
  try {
    const data = await readTraceWindow({
      store: source, window: traces.window, embedder: await embedderIdentity(settings.embedder, settings.minilmDirectory), implicit: traces.implicit, limit: settings.limit, signal, progress: (share) => progress('traces', share),
    });
    const version = settings.version === 'next' ? await nextVersion(target, settings.name, signal) : settings.version;
    const outDirectory = settings.outDirectory ?? join(directory, 'artifact');
    const reportDirectory = join(directory, 'report');
    const artifact = await trainWindow({
      data, strategy: settings.strategy, outDirectory, reportDirectory, name: settings.name, version, seed: settings.seed, embedder: settings.embedder, minilmDirectory: settings.minilmDirectory, signKey: settings.signKey?.reveal(),
      serving: traces.serving, tradeoff: traces.tradeoff, progress, signal,
    });
    progress('publish', 0);
    return { artifact, data, folder: await publishArtifact(target, { directory: outDirectory, reportDirectory, name: settings.name, version, signal }) };
  } finally {
    source.close();
    target.close();
    await rm(directory, { recursive: true, force: true });
  }
}
