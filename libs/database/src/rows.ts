import { z } from 'zod';

/** Budgets per model of a key, as LiteLLM writes them: `{"gpt-4o": {"max_budget": 5, "budget_duration": "1d"}}`; a bare number means no period. */
export const modelBudgetsSchema = z.record(z.string(), z.object({ max_budget: z.number().nonnegative(), budget_duration: z.string().nullable().default(null) }));
export type ModelBudgets = z.infer<typeof modelBudgetsSchema>;

/** What keys, teams, users and budgets have in common. Money in USD; `null` = no limit. */
export interface LimitColumns {
  max_budget: number | null;
  soft_budget: number | null;
  /** `30s`, `15m`, `12h`, `7d`, `1mo`. */
  budget_duration: string | null;
  max_parallel_requests: number | null;
  tpm_limit: number | null;
  rpm_limit: number | null;
}

/** A virtual key. `token` is the SHA-256 of the key in hex: the key itself is nowhere. */
export interface KeyRow extends LimitColumns {
  token: string;
  /** `sk-...last4`: what lists show. */
  key_name: string;
  key_alias: string | null;
  /** What was spent since `budget_reset_at` was last passed. */
  spend: number;
  budget_reset_at: Date | null;
  model_max_budget: ModelBudgets;
  model_rpm_limit: Record<string, number>;
  model_tpm_limit: Record<string, number>;
  /** Model groups; empty = all. */
  models: string[];
  /** Name the client uses → model group. */
  aliases: Record<string, string>;
  metadata: Record<string, unknown>;
  permissions: Record<string, unknown>;
  config: Record<string, unknown>;
  /** Routes or route groups of LiteLLM (`llm_api_routes`, `info_routes`, `management_routes`) or paths; empty = what its role allows. */
  allowed_routes: string[];
  tags: string[];
  user_id: string | null;
  team_id: string | null;
  budget_id: string | null;
  blocked: boolean;
  expires: Date | null;
  created_at: Date;
  updated_at: Date;
  created_by: string | null;
  updated_by: string | null;
}

export interface TeamRow extends LimitColumns {
  team_id: string;
  team_alias: string | null;
  models: string[];
  aliases: Record<string, string>;
  metadata: Record<string, unknown>;
  /** `role` is `admin` or `user`. */
  members_with_roles: { user_id: string; role: string }[];
  model_max_budget: ModelBudgets;
  spend: number;
  budget_reset_at: Date | null;
  blocked: boolean;
  created_at: Date;
  updated_at: Date;
}

export interface UserRow extends LimitColumns {
  user_id: string;
  user_email: string | null;
  user_alias: string | null;
  /** `proxy_admin`, `proxy_admin_viewer`, `internal_user`, `internal_user_viewer`. */
  user_role: string;
  models: string[];
  metadata: Record<string, unknown>;
  teams: string[];
  spend: number;
  budget_reset_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

export interface BudgetRow extends LimitColumns {
  budget_id: string;
  model_max_budget: ModelBudgets;
  created_at: Date;
  updated_at: Date;
  created_by: string | null;
  updated_by: string | null;
}

/** A key with everything its limits depend on, read in one query. */
export interface KeyAccess {
  key: KeyRow;
  team: TeamRow | undefined;
  user: UserRow | undefined;
  budget: BudgetRow | undefined;
  /** Spend per model of the current period, for `model_max_budget`; USD. */
  model_spend: { scope: 'key' | 'team'; model: string; spend: number; period_start: Date | null }[];
  /** Set when the hash that was asked for is an old one of a rotated key: it works until then. */
  grace_until: Date | undefined;
}

/** One line of the spend ledger: a finished request. Written as JSON by the gateway, taken by `SpendStore.record` as it is. */
export interface SpendLine {
  /** Made by the gateway, never by a client: a line that comes twice counts once. */
  id: string;
  request_id: string;
  trace_id: string;
  /** `acompletion`-like names are LiteLLM's; here: chat, completions, embeddings, responses, messages, passthrough. */
  call_type: string;
  /** SHA-256 of the key, hex. */
  api_key: string;
  user_id: string | null;
  team_id: string | null;
  end_user: string | null;
  /** What the client asked for. */
  requested_model: string;
  model_group: string;
  /** The provider's own name of the model; null when nobody was asked. */
  model: string | null;
  model_id: string | null;
  provider: string | null;
  /** USD. */
  spend: number;
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  /** The provider sent no usage, or the stream was cut before it came: counted here. */
  usage_estimated: boolean;
  cache_hit: boolean;
  stream: boolean;
  /** `success`, `failure`, `partial` (content was sent, then it broke or the client left). */
  status: 'success' | 'failure' | 'partial';
  error_code: string | null;
  tags: string[];
  /** ISO 8601. */
  start_time: string;
  completion_start_time: string | null;
  end_time: string;
}
