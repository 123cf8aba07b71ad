import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { z } from 'zod';
import { credentialShape } from './config-schema.ts';
import { checkKeys, problemsOf, type Findings } from './findings.ts';
import type { Path } from './path.ts';

const schema = z.object(credentialShape);

/** Reads `credential_list`: named sets of values that entries of `model_list` take over. */
export function readCredentials(list: JsonValue | undefined, findings: Findings): ReadonlyMap<string, JsonObject> {
  const credentials = new Map<string, JsonObject>();
  if (list === undefined) return credentials;
  if (!Array.isArray(list)) {
    findings.problems.push({ path: ['credential_list'], message: 'expected a list of credentials' });
    return credentials;
  }
  for (const [index, entry] of list.entries()) {
    const path: Path = ['credential_list', index];
    if (!isJsonObject(entry)) {
      findings.problems.push({ path, message: 'expected a mapping with credential_name and credential_values' });
      continue;
    }
    checkKeys(entry, path, { known: Object.keys(credentialShape), ignored: new Set(['provider_id', 'source', 'display_name']) }, findings);
    const parsed = schema.safeParse(entry);
    if (!parsed.success) findings.problems.push(...problemsOf(parsed.error, path));
    else if (parsed.data.credential_name === undefined) findings.problems.push({ path: [...path, 'credential_name'], message: 'missing: expected a name' });
    else if (credentials.has(parsed.data.credential_name)) findings.problems.push({ path: [...path, 'credential_name'], message: 'another credential has the same name' });
    else credentials.set(parsed.data.credential_name, isJsonObject(entry['credential_values']) ? entry['credential_values'] : {});
  }
  return credentials;
}
