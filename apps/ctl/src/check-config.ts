import { AppError } from '@pointsman/errors';
import { ConfigRejectedError, parseDegradedMode, parseGatewayConfig, type ConfigFile, type ConfigProblem, type ParsedGatewayConfig } from '@pointsman/gateway-config';
import { providerIds } from '@pointsman/providers';
import { strategyNames } from '@pointsman/routing';
import type { CommandContext } from './command-context.ts';

export interface ConfigCheckQuestion {
  /** `config.yaml` and what it includes, itself first. */
  readonly files: readonly ConfigFile[];
  /** Text of `llm_candidates.json`. */
  readonly candidates?: string | undefined;
  readonly degradedMode?: { readonly path: string; readonly text: string } | undefined;
  readonly env: CommandContext['env'];
  /** Takes variables that are not set here for set where the gateway runs. */
  readonly expectEnv: boolean;
}

export interface ConfigCheck {
  readonly parsed: ParsedGatewayConfig | undefined;
  /** Empty: the gateway would take it. */
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

/** Reads a configuration exactly as the gateway does. */
export function checkConfig({ files, candidates, degradedMode, env, expectEnv }: ConfigCheckQuestion): ConfigCheck {
  const degraded = degradedMode === undefined ? [] : collect(() => parseDegradedMode(degradedMode.text, degradedMode.path)).problems;
  const { value, problems, warnings } = collect(() => parseGatewayConfig({
    files, env, ...(candidates === undefined ? {} : { candidates }), ...(degradedMode === undefined ? {} : { degradedMode: degradedMode.text }),
    providerIds: new Set(providerIds), implementedStrategies: new Set(strategyNames), missingVariables: expectEnv ? 'expect' : 'report',
  }));
  return { parsed: value, problems: [...problems, ...degraded], warnings: value?.warnings ?? warnings };
}

function collect<T>(parse: () => T): { readonly value: T | undefined; readonly problems: readonly ConfigProblem[]; readonly warnings: readonly ConfigProblem[] } {
  try {
    return { value: parse(), problems: [], warnings: [] };
  } catch (error) {
    if (!(error instanceof ConfigRejectedError)) throw error;
    return { value: undefined, problems: error.problems, warnings: error.warnings };
  }
}

/** @throws AppError `not_found` that names the file. */
export async function readingFile<T>(path: string, promise: Promise<T>): Promise<T> {
  return await promise.catch((error: unknown) => {
    if (error instanceof AppError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new AppError('not_found', 'file_unreadable', `cannot read ${path} (${code})`, { cause: error });
  });
}
