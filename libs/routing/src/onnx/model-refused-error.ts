import { AppError } from '@pointsman/errors';

/** Why a model is refused: stable, a closed set, for metrics, alerts and tests. */
export const MODEL_REFUSALS = [
  'manifest', 'unreadable', 'too_large', 'not_onnx', 'external_data', 'operator', 'structure', 'tensor', 'interface', 'features', 'no_memory', 'load_failed', 'crashed', 'memory_exceeded',
  'timeout', 'bad_output', 'golden_mismatch',
] as const;
export type ModelRefusal = (typeof MODEL_REFUSALS)[number];

/** A router model that must not serve. The message is a sentence for operators: it names parts of the model, never a prompt. */
export class ModelRefusedError extends AppError {
  readonly refusal: ModelRefusal;

  constructor(refusal: ModelRefusal, message: string, cause?: unknown) {
    super('unprocessable', `model_${refusal}`, message, cause === undefined ? {} : { cause });
    this.name = 'ModelRefusedError';
    this.refusal = refusal;
  }
}

export function isModelRefusal(value: unknown): value is ModelRefusal {
  return MODEL_REFUSALS.some((refusal) => refusal === value);
}
