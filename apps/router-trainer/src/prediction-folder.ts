import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PredictionStore } from '@pointsman/router-training';

/** Predictions as files of float64 in a folder, one per key. */
export function predictionFolder(directory: string): PredictionStore {
  mkdirSync(directory, { recursive: true });
  const path = (key: string): string => join(directory, `${key.replaceAll(/[^a-z0-9-]/gi, '_')}.bin`);
  return {
    get(key) {
      try {
        return new Float64Array(new Uint8Array(readFileSync(path(key))).buffer);
      } catch {
        return undefined;
      }
    },
    set(key, predicted) {
      writeFileSync(path(key), new Uint8Array(predicted.buffer, predicted.byteOffset, predicted.byteLength));
    },
  };
}
