import { randomBytes } from 'node:crypto';
import type { KeyRow } from '@pointsman/database';
import type { FieldsOf, keyGenerateFields } from '@pointsman/schemas';
import { digestKey } from '../../access/key-store.ts';
import { routesOfKeyType } from './managed-route-access.ts';
import { after } from './expiry.ts';
import { limitChange, NO_LIMITS, resetChange } from './limit-change.ts';
import { given, givenOrEmpty } from './row-changes.ts';

/** What can be set on a key, whichever route sets it. */
export type KeyFields = Omit<FieldsOf<typeof keyGenerateFields>, 'key'>;
export type KeyChange = Partial<Omit<KeyRow, 'token' | 'created_at'>>;

const HASH = /^[0-9a-f]{64}$/;

/** 256 random bits. */
export function newKey(): string {
  return `sk-${randomBytes(32).toString('base64url')}`;
}

export function hashOfKey(key: string): string {
  return digestKey(key).toString('hex');
}

/** The hash that a caller means who names a key by itself or by its hash, as every LiteLLM route allows. */
export function tokenOf(keyOrHash: string): string {
  return HASH.test(keyOrHash) ? keyOrHash : hashOfKey(keyOrHash);
}

/** The columns that the given fields set. */
export function keyChange(fields: KeyFields, now: Date): KeyChange {
  const { duration, key_type } = fields;
  return {
    ...limitChange(fields),
    ...resetChange(fields, now),
    ...given(fields, ['key_alias', 'user_id', 'team_id', 'budget_id']),
    ...givenOrEmpty(fields, {
      models: [], aliases: {}, metadata: {}, permissions: {}, config: {}, tags: [], allowed_routes: [], model_max_budget: {}, model_rpm_limit: {}, model_tpm_limit: {}, blocked: false, spend: 0,
    }),
    ...(duration === undefined ? {} : { expires: duration === null || duration === '-1' ? null : after(now, duration) }),
    // Routes that are named count more than the kind.
    ...(key_type === undefined || key_type === null || (fields.allowed_routes ?? []).length > 0 ? {} : { allowed_routes: routesOfKeyType(key_type) }),
  };
}

export function keyRow(key: string, fields: KeyFields, { author, now }: { readonly author: string; readonly now: Date }): KeyRow {
  return {
    ...NO_LIMITS, token: hashOfKey(key), key_name: nameOf(key), key_alias: null, spend: 0, budget_reset_at: null, model_max_budget: {}, model_rpm_limit: {}, model_tpm_limit: {},
    models: [], aliases: {}, metadata: {}, permissions: {}, config: {}, allowed_routes: [], tags: [], user_id: null, team_id: null, budget_id: null, blocked: false, expires: null,
    ...keyChange(fields, now),
    created_at: now, updated_at: now, created_by: author, updated_by: author,
  };
}

export function nameOf(key: string): string {
  return `sk-...${key.slice(-4)}`;
}

/** A key as LiteLLM's replies show it. */
export function keyView(row: KeyRow): Record<string, unknown> {
  return {
    ...row,
    allowed_cache_controls: [], organization_id: null, project_id: null, object_permission: null, litellm_budget_table: null, model_spend: {},
  };
}

/** A key in an info block: LiteLLM leaves the hash out, which stands beside the block. */
export function keyInfoView(row: KeyRow): Record<string, unknown> {
  const { token: _token, ...info } = keyView(row);
  return info;
}

/** The reply that shows a new key, once. */
export function newKeyView(key: string, row: KeyRow, fields: Pick<KeyFields, 'duration' | 'key_type'>): Record<string, unknown> {
  return { ...keyView(row), key, token_id: row.token, duration: fields.duration ?? null, key_type: fields.key_type ?? 'default' };
}

/** A key for the audit log: everything but its history. */
export function keyRecord(row: KeyRow): Record<string, unknown> {
  const { token: _token, created_at: _createdAt, updated_at: _updatedAt, ...rest } = row;
  return rest;
}
