import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigRejectedError, configRevision, parseDegradedMode, parseGatewayConfig, readConfigFiles, type ConfigProblem } from '@pointsman/gateway-config';
import { loadPriceMap } from '@pointsman/pricing';
import { providerIds } from '@pointsman/providers';
import { strategyNames } from '@pointsman/routing';
import { RejectedRevisionError } from '@pointsman/sync';
import { CANDIDATES_FILE, CONFIG_FILE, DEGRADED_MODE_FILE } from './read-config-objects.ts';

/** The gateway's master key may well be in its environment alone: its absence here is nothing to warn of. */
const GATEWAY_ENVIRONMENT = { LITELLM_MASTER_KEY: 'known-to-the-gateway-alone' };

export type VerifyConfig = (directory: string, revision: string, onWarnings?: (warnings: readonly ConfigProblem[]) => void) => Promise<void>;

/**
 * Checks a staged generation as the gateway will read it: the same parser, the same providers, strategies and prices. Only what stands in the gateway's own environment is
 * taken for granted. The registries hold names alone: no provider's SDK and no model runtime is loaded.
 */
export function createVerifyConfig(): VerifyConfig {
  const prices = loadPriceMap();
  const providers = new Set(providerIds);
  const strategies = new Set<string>(strategyNames);

  return async (directory, revision, onWarnings) => {
    const read = (path: string): Promise<string> => readFile(join(directory, path), 'utf8');
    const optional = (path: string): Promise<string | undefined> => read(path).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    });
    const reasons: string[] = [];
    const check = <T>(parse: () => T): T | undefined => {
      try {
        return parse();
      } catch (error) {
        if (!(error instanceof ConfigRejectedError)) throw error;
        reasons.push(error.message);
        return undefined;
      }
    };
    const [files, candidates, degradedMode] = await Promise.all([readConfigFiles(CONFIG_FILE, read), optional(CANDIDATES_FILE), optional(DEGRADED_MODE_FILE)]);
    const parsed = check(() => parseGatewayConfig({
      files, env: GATEWAY_ENVIRONMENT, missingVariables: 'expect', providerIds: providers, implementedStrategies: strategies,
      ...(candidates === undefined ? {} : { candidates }), ...(degradedMode === undefined ? {} : { degradedMode }),
      providerOfModel: (model) => prices.get(model)?.provider,
    }));
    if (degradedMode !== undefined) check(() => parseDegradedMode(degradedMode, DEGRADED_MODE_FILE));
    if (reasons.length > 0) throw new RejectedRevisionError(revision, reasons.join(' '));
    const asPublished = configRevision({ files, candidates, degradedMode });
    if (asPublished !== revision) throw new RejectedRevisionError(revision, `Published, the files would be another configuration (${asPublished}): an include means something else there than in the store.`);
    onWarnings?.(parsed?.warnings ?? []);
  };
}
