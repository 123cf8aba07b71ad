import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { HEAD_FILE, loadRouterModel, ModelRefusedError, requireFreeMemory, selfTestArtifact, type LoadRouterModelOptions, type RouterModel } from '@pointsman/routing';
import { versionOf } from './find-generation.ts';

export interface ModelPreparationSettings {
  /** Of a head's file, bytes. */
  readonly maxBytes: number;
  /** What the gateway's own extractor makes. */
  readonly expect: LoadRouterModelOptions['expect'];
  /** For the self-test and the load each. */
  readonly timeoutMs: number;
  /** Directories of embedder files, for the extractor of the self-test. */
  readonly extractorOptions?: Readonly<Record<string, unknown>> | undefined;
  /** Another extractor; for tests. */
  readonly extractorModule?: string | undefined;
}

/** Makes a model of a generation's directory, or says why it must not serve. */
export type PrepareModel = (directory: string, signal: AbortSignal) => Promise<RouterModel>;

/** Node, onnxruntime and an embedder, before any model. */
const CHILD_BASE_BYTES = 512 * 1024 * 1024;
/** While a model is loaded its file and its weights are in memory together. */
const COPIES = 2;

/**
 * The way to a model that may serve: room in memory, every file as the manifest that names the directory says and a self-test, both in a child, load with one run. Every step throws `ModelRefusedError` with its reason and leaves nothing behind.
 */
export function modelPreparation({ maxBytes, expect, timeoutMs, extractorOptions, extractorModule }: ModelPreparationSettings): PrepareModel {
  return async (directory, signal) => {
    const { size } = await stat(join(directory, HEAD_FILE)).catch((error: unknown) => {
      throw new ModelRefusedError('unreadable', `${HEAD_FILE} cannot be read.`, error);
    });
    if (size > maxBytes) throw new ModelRefusedError('too_large', `The model has ${size} bytes; ${maxBytes} are allowed.`);
    await requireFreeMemory(size);
    const revision = basename(directory);
    const intact = { name: basename(join(directory, '..', '..')), version: versionOf(revision) ?? '', revision };
    await selfTestArtifact(directory, { intact, maxBytes, memoryLimitBytes: COPIES * size + CHILD_BASE_BYTES, timeoutMs, signal, extractorOptions, extractorModule });
    // The child is gone; what it had is free again unless somebody else took it.
    await requireFreeMemory(size);
    const deadline = AbortSignal.timeout(timeoutMs);
    return loadRouterModel(directory, { maxBytes, expect, signal: AbortSignal.any([signal, deadline]) }).catch((error: unknown) => {
      throw deadline.aborted && !signal.aborted ? new ModelRefusedError('timeout', `The model did not load within ${timeoutMs / 1000} s.`, error) : error;
    });
  };
}
