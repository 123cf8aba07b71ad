import { isJsonObject, keyGenerateFields, parseFields, type JsonObject } from '@pointsman/schemas';
import { keyBoundsShape, keyDefaultsShape, KEY_FIELDS_WITHOUT_EFFECT } from './config-schema.ts';
import { checkKeys, type Findings } from './findings.ts';
import type { Path } from './path.ts';

const SETTINGS = { default_key_generate_params: keyDefaultsShape, upperbound_key_generate_params: keyBoundsShape } as const;

/**
 * Checks the fields that a configuration gives new keys, and the bounds of them, so that a slip shows at reload and not when the first key is made.
 * Types and values are checked with the rest of `litellm_settings`; `litellm` is that section: references resolved, nulls gone.
 */
export function checkKeyParams(litellm: JsonObject, findings: Findings): void {
  for (const [name, shape] of Object.entries(SETTINGS)) {
    const params = litellm[name];
    if (!isJsonObject(params)) continue;
    const path: Path = ['litellm_settings', name];
    // A default without effect is only worth a warning; a bound without effect guards nothing and is refused.
    checkKeys(params, path, { known: Object.keys(shape), ...(shape === keyDefaultsShape ? { ignored: KEY_FIELDS_WITHOUT_EFFECT } : {}) }, findings);
    const isWrong = findings.problems.some((problem) => problem.path[0] === path[0] && problem.path[1] === name);
    if (!isWrong) checkTexts(params, path, findings);
  }
}

/** What no type can say: characters that a database cannot hold. */
function checkTexts(params: JsonObject, path: Path, findings: Findings): void {
  try {
    parseFields(keyGenerateFields, params);
  } catch (error) {
    findings.problems.push({ path, message: error instanceof Error ? error.message : 'is not usable' });
  }
}
