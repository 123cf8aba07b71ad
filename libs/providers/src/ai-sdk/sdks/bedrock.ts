import { z } from 'zod';
import { ProviderError } from '../../provider-error.ts';
import { defineNative } from '../dialect.ts';
import type { UnsignedRequest } from '../upstream-fetch.ts';
import { bedrockDialect } from './bedrock-dialect.ts';
import { firstOf, misconfigured, optionalText } from './settings.ts';

interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export const bedrock = defineNative({
  settings: z.looseObject({
    aws_access_key_id: optionalText, aws_secret_access_key: optionalText, aws_session_token: optionalText,
    aws_region_name: optionalText, aws_profile_name: optionalText, aws_role_name: optionalText, aws_bedrock_runtime_endpoint: optionalText,
  }),
  async load(settings, deployment, { fetch, env }) {
    const { createAmazonBedrock } = await import('@ai-sdk/amazon-bedrock');
    if (settings.aws_role_name !== undefined) throw misconfigured(deployment, 'has aws_role_name, which is not supported: give the pod the role (IRSA, pod identity) or name an aws_profile_name that assumes it');
    const { model, region: modelRegion } = modelAndRegion(deployment.model);
    const region = settings.aws_region_name ?? modelRegion ?? firstOf(env, 'AWS_REGION_NAME', 'AWS_REGION', 'AWS_DEFAULT_REGION');
    if (region === undefined) throw misconfigured(deployment, 'has no aws_region_name, and AWS_REGION_NAME is not set');
    if (!/^[a-z0-9-]+$/.test(region)) throw misconfigured(deployment, 'has an aws_region_name that is not a region');
    const baseURL = (settings.aws_bedrock_runtime_endpoint ?? deployment.apiBase ?? firstOf(env, 'AWS_BEDROCK_RUNTIME_ENDPOINT') ?? `https://bedrock-runtime.${region}.amazonaws.com`).replace(/\/+$/, '');
    const hasKeys = settings.aws_access_key_id !== undefined && settings.aws_secret_access_key !== undefined;
    const bearer = deployment.apiKey ?? (hasKeys ? undefined : firstOf(env, 'AWS_BEARER_TOKEN_BEDROCK'));
    // The SDK signs before its fetch is called, so a body that is changed there would no longer match: signing is done after the change instead.
    const provider = createAmazonBedrock({ region, baseURL, apiKey: bearer ?? 'signed-below', fetch });
    const common = {
      dialect: bedrockDialect,
      language: provider.languageModel(model),
      embedding: provider.embeddingModel(model),
    };
    if (bearer !== undefined) return { ...common, passthrough: { baseUrl: baseURL, headers: () => ({ authorization: `Bearer ${bearer}` }) }, secrets: [bearer] };

    const { AwsV4Signer } = await import('aws4fetch');
    const credentials = hasKeys
      ? () => Promise.resolve<AwsCredentials>({ accessKeyId: settings.aws_access_key_id ?? '', secretAccessKey: settings.aws_secret_access_key ?? '', sessionToken: settings.aws_session_token })
      : await defaultChain(settings.aws_profile_name, region);
    const sign = async ({ url, headers, body }: UnsignedRequest): Promise<Record<string, string>> => {
      const { accessKeyId, secretAccessKey, sessionToken } = await credentials().catch((cause: unknown) => {
        throw new ProviderError('auth', deployment.provider, 'No AWS credentials could be had for this deployment.', { cause });
      });
      const { authorization: _placeholder, ...signable } = headers;
      const signer = new AwsV4Signer({ url, method: 'POST', headers: signable, body, region, service: 'bedrock', accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) });
      return Object.fromEntries((await signer.sign()).headers);
    };
    return { ...common, passthrough: undefined, sign, secrets: [settings.aws_secret_access_key, settings.aws_session_token].filter((one) => one !== undefined) };
  },
});

/** LiteLLM's spellings: `bedrock/converse/MODEL`, `bedrock/REGION/MODEL`. */
function modelAndRegion(name: string): { readonly model: string; readonly region: string | undefined } {
  const model = name.replace(/^(?:converse|invoke)\//, '');
  const match = /^([a-z]{2}(?:-[a-z]+)+-\d)\/(.+)$/.exec(model);
  return { model: match?.[2] ?? model, region: match?.[1] };
}

/** Environment, profiles, web identity, container and instance credentials, in the AWS SDK's own order; it caches and renews them. */
async function defaultChain(profile: string | undefined, region: string): Promise<() => Promise<AwsCredentials>> {
  const { defaultProvider } = await import('@aws-sdk/credential-provider-node');
  return defaultProvider({ ...(profile === undefined ? {} : { profile }), clientConfig: { region } });
}
