import { AppError } from '@pointsman/errors';
import { isJsonObject, keyGenerateFields, parseFields, type JsonObject } from '@pointsman/schemas';
import { after } from './expiry.ts';
import type { KeyFields } from './key-rows.ts';

const NUMBERS = ['max_budget', 'max_parallel_requests', 'tpm_limit', 'rpm_limit'] as const;
const DURATIONS = ['duration', 'budget_duration'] as const;

/**
 * Fills in `litellm_settings.default_key_generate_params` where the caller left a field open (empty lists and objects count as open, as they do at LiteLLM).
 * @throws AppError `internal` when the setting itself is not usable.
 */
export function withKeyDefaults(fields: KeyFields, settings: JsonObject): KeyFields {
  const defaults = readSetting(settings, 'default_key_generate_params');
  if (defaults === undefined) return fields;
  const filled: Record<string, unknown> = { ...fields };
  for (const [field, value] of Object.entries(defaults)) {
    if (value !== undefined && value !== null && isOpen(filled[field])) filled[field] = value;
  }
  return filled;
}

/**
 * Holds a new key (`fill`: what is open gets the bound) or a change of one (null, which would lift a limit, becomes the bound) to `litellm_settings.upperbound_key_generate_params`.
 * @throws AppError `invalid_request` in LiteLLM's words for what is above.
 */
export function withinKeyBounds<Fields extends KeyFields>(fields: Fields, settings: JsonObject, { fill, now }: { readonly fill: boolean; readonly now: Date }): Fields {
  const bounds = readSetting(settings, 'upperbound_key_generate_params');
  if (bounds === undefined) return fields;
  const result: Fields = { ...fields };
  for (const field of NUMBERS) {
    const bound = bounds[field];
    if (bound === undefined || bound === null) continue;
    const value = fields[field];
    if (value === undefined ? fill : value === null) result[field] = bound;
    else if (value !== undefined && value !== null && value > bound) throw over(field, value, bound);
  }
  for (const field of DURATIONS) {
    const bound = bounds[field];
    if (bound === undefined || bound === null) continue;
    const value = fields[field];
    if (value === undefined ? fill : value === null || value === '-1') result[field] = bound;
    else if (value !== undefined && value !== null && after(now, value) > after(now, bound)) throw over(field, value, bound);
  }
  return result;
}

function over(field: string, value: number | string, bound: number | string): AppError {
  return new AppError('invalid_request', '400', `${field} is over max limit set in config - user_value=${String(value)}; max_value=${String(bound)}`, { param: field, type: 'bad_request_error' });
}

function isOpen(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) ? value.length === 0 : typeof value === 'object' && Object.keys(value).length === 0);
}

function readSetting(settings: JsonObject, name: string): KeyFields | undefined {
  const setting = settings[name];
  if (setting === undefined || setting === null) return undefined;
  try {
    if (!isJsonObject(setting)) throw new AppError('invalid_request', 'invalid_type', 'an object was expected');
    return parseFields(keyGenerateFields, setting).fields;
  } catch (error) {
    throw new AppError('internal', 'invalid_setting', `The gateway's litellm_settings.${name} is not usable: ${error instanceof Error ? error.message : ''}`, { cause: error });
  }
}
