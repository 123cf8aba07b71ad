import type { z } from 'zod';
import { nearestName } from './nearest-name.ts';
import type { Path } from './path.ts';

/** A problem or warning before its path is written out and looked up in the file. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  readonly suggestion?: string;
  readonly ignored?: true;
}

/** Everything noticed while a configuration is read. */
export interface Findings {
  readonly problems: Finding[];
  readonly warnings: Finding[];
  /** Keys that are set and acted on. */
  readonly honoured: Path[];
}

interface KnownKeys {
  /** Keys that are acted on. */
  readonly known: Iterable<string>;
  /** Keys that LiteLLM knows and this gateway does not act on: a warning each. */
  readonly ignored?: ReadonlySet<string>;
  /** Keys of other sections, with the section's name, so that a misplaced key is told where it belongs. */
  readonly elsewhere?: (key: string) => string | undefined;
}

/** A file with more problems than this is not a configuration with slips; looking up what each key may have meant would take long. */
const MOST_SUGGESTIONS = 200;

export const IGNORED = 'LiteLLM knows this key; Pointsman does not act on it';
/** Ignoring these changes who may do what, or what is let through: the operator must not read past them. */
const PROTECTIVE = /^(guardrails|policies|custom_auth|enable_jwt_auth|litellm_jwtauth|enable_oauth2_auth|enforce_rbac|role_permissions|allowed_ips|allowed_routes|admin_only_routes|enforced_params|enforce_user_param|max_budget|max_user_budget|max_internal_user_budget|max_end_user_budget|tag_budget_config|provider_budget_config|(global_)?max_parallel_requests|banned_keywords_list|blocked_user_list|turn_off_message_logging|post_call_rules|pre_call_rules|reject_clientside_metadata_tags|fail_closed_.*)$/;
const IGNORED_PROTECTION = `${IGNORED}: what it guards is not guarded here`;

/** Sorts the keys of one mapping into honoured, ignored and unknown. */
export function checkKeys(section: Readonly<Record<string, unknown>>, path: Path, { known, ignored, elsewhere }: KnownKeys, findings: Findings): void {
  const honoured = new Set(known);
  const all = [...honoured, ...(ignored ?? [])];
  for (const [key, value] of Object.entries(section)) {
    if (value === undefined) continue;
    const at = [...path, key];
    if (honoured.has(key)) findings.honoured.push(at);
    else if (ignored?.has(key) === true) findings.warnings.push({ path: at, message: PROTECTIVE.test(key) ? IGNORED_PROTECTION : IGNORED, ignored: true });
    else {
      const home = elsewhere?.(key);
      const suggestion = home ?? (findings.problems.length < MOST_SUGGESTIONS ? nearestName(key, all) : undefined);
      findings.problems.push({ path: at, message: home === undefined ? 'nobody knows this key' : 'this key does not belong here', ...(suggestion === undefined ? {} : { suggestion }) });
    }
  }
}

/** The issues of a zod error as problems. Messages come from our schemas and hold no values. */
export function problemsOf(error: z.ZodError, prefix: Path): readonly Finding[] {
  return error.issues.map((issue) => ({ path: [...prefix, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))], message: issue.message.replace(/^Invalid input: /, '') }));
}
