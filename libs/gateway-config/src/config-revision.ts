import { createHash } from 'node:crypto';
import type { ConfigFile } from './read-yaml.ts';

/** The texts that make one configuration, wherever they were read from. */
export interface ConfigTexts {
  /** `config.yaml` and what it includes, itself first, in the order in which `readConfigFiles` finds them. */
  readonly files: readonly ConfigFile[];
  /** `llm_candidates.json` */
  readonly candidates?: string | undefined;
  /** `degraded-mode.yaml` */
  readonly degradedMode?: string | undefined;
}

/**
 * The identity of a configuration: first 12 hex digits of the SHA-256 over all its texts. Paths do not count: a sidecar that stages the files elsewhere arrives at
 * the revision that the gateway reports. For one file alone it is the beginning of what `sha256sum` shows.
 */
export function configRevision({ files, candidates, degradedMode }: ConfigTexts): string {
  const hash = createHash('sha256');
  for (const [index, { text }] of files.entries()) {
    if (index > 0) hash.update('\0');
    hash.update(text);
  }
  // NUL is no character of YAML or JSON: the separators cannot be forged by what stands between them.
  if (candidates !== undefined) hash.update('\0\0').update(candidates);
  if (degradedMode !== undefined) hash.update('\0\0\0').update(degradedMode);
  return hash.digest('hex').slice(0, 12);
}
