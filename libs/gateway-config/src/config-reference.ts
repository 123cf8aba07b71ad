import type { z } from 'zod';
import { breakerShape, cacheParamsShape, canaryShape, credentialShape, generalSettingsShape, judgeShape, litellmSettingsShape, modelEntryShape, modelParamsShape, retryPolicyShape, routerSettingsShape, strategyArgsShape } from './config-schema.ts';
import { degradedModeShape } from './degraded-mode.ts';

const TABLES: readonly (readonly [string, Readonly<Record<string, z.ZodType>>])[] = [
  ['`model_list[]`', modelEntryShape],
  ['`model_list[].litellm_params`', modelParamsShape],
  ['`router_settings`', routerSettingsShape],
  ['`router_settings.routing_strategy_args`', strategyArgsShape],
  ['`router_settings.routing_strategy_args.canary`', canaryShape],
  ['`router_settings.retry_policy`', retryPolicyShape],
  ['`router_settings.breaker`', breakerShape],
  ['`router_settings.judge`', judgeShape],
  ['`litellm_settings`', litellmSettingsShape],
  ['`litellm_settings.cache_params`', cacheParamsShape],
  ['`general_settings`', generalSettingsShape],
  ['`credential_list[]`', credentialShape],
  ['`degraded-mode.yaml`', degradedModeShape],
];

/** The tables of `docs/configuration.md` in Markdown: every honoured key, its default, and whether it is ours. */
export function configReferenceTables(): string {
  return TABLES.map(([title, shape]) => `### ${title}\n\n| key | default | what it does |\n|---|---|---|\n${Object.entries(shape).map(([key, schema]) => row(key, schema.meta() ?? {})).join('\n')}\n`).join('\n');
}

function row(key: string, { description, default: value, ours }: Readonly<Record<string, unknown>>): string {
  return `| \`${key}\`${ours === true ? ' ◆' : ''} | ${value === undefined ? '' : `\`${String(value)}\``} | ${String(description ?? '').replaceAll('|', '\\|')} |`;
}
