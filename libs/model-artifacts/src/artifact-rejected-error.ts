import { AppError } from '@pointsman/errors';

/** Stable, one per way of being bad: for metrics, alerts and tests. */
export type ArtifactFault =
  | 'manifest_missing' | 'manifest_too_large' | 'manifest_invalid' | 'signature_missing' | 'signature_invalid' | 'wrong_model' | 'file_name' | 'too_large'
  | 'file_missing' | 'file_size' | 'file_digest' | 'file_unexpected' | 'file_not_regular';

/** An artifact that will not become good by trying again. The message is a sentence for operators; it names files and fields, never content. */
export class ArtifactRejectedError extends AppError {
  override readonly code: ArtifactFault;
  /** The file in question, relative to the artifact's folder. */
  readonly path: string | undefined;

  constructor(code: ArtifactFault, message: string, { path, cause }: { readonly path?: string; readonly cause?: unknown } = {}) {
    super('unprocessable', code, message, cause === undefined ? {} : { cause });
    this.name = 'ArtifactRejectedError';
    this.code = code;
    this.path = path;
  }
}

/** A name from a manifest as a message may show it. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}
