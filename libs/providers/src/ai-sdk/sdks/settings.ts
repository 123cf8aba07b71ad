import { AppError } from '@pointsman/errors';
import { z } from 'zod';
import type { DeploymentSettings } from '../../provider.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** A setting that may be missing or null in the configuration. */
export const optionalText = z.string().min(1).nullish().transform((value) => value ?? undefined);
export const optionalHeaders = z.record(z.string(), z.string()).nullish().transform((value) => value ?? {});

/** The first of these environment variables that is set. */
export function firstOf(env: Environment, ...names: string[]): string | undefined {
  for (const name of names) {
    const value = env[name];
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

/** A deployment that cannot work as it is configured; the message tells the operator what is missing. */
export function misconfigured({ provider, model }: Pick<DeploymentSettings, 'provider' | 'model'>, what: string): AppError {
  return new AppError('invalid_request', 'invalid_deployment', `The deployment ${provider}/${model} ${what}.`);
}

export function requireKey(deployment: DeploymentSettings, env: Environment, ...names: string[]): string {
  const key = deployment.apiKey ?? firstOf(env, ...names);
  if (key === undefined) throw misconfigured(deployment, `has no api_key, and ${names.join(' or ')} is not set`);
  return key;
}

/** `api_base` without a trailing slash, or the default. */
export function baseUrlOf(deployment: DeploymentSettings, fallback: string): string {
  const base = (deployment.apiBase ?? fallback).replace(/\/+$/, '');
  if (!URL.canParse(base)) throw misconfigured(deployment, 'has an api_base that is not a URL');
  return base;
}

export type { Environment };
