import { expect, test } from 'vitest';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { parseGatewayConfig } from './parse-gateway-config.ts';

function read(yaml: string, env: Readonly<Record<string, string>> = {}): { readonly settings: unknown; readonly warnings: readonly string[]; readonly problems: readonly string[]; readonly honoured: readonly string[] } {
  const show = ({ path, message, suggestion }: { readonly path: string; readonly message: string; readonly suggestion?: string }): string => `${path.replace('litellm_settings.', '')}: ${message}${suggestion === undefined ? '' : ` → ${suggestion}`}`;
  try {
    const { config, warnings, honoured } = parseGatewayConfig({ files: `litellm_settings:\n${yaml}`, env: { LITELLM_MASTER_KEY: 'sk-a-long-enough-key', ...env }, providerIds: new Set(['openai']) });
    return { settings: config.litellmSettings, warnings: warnings.filter(({ path }) => path.includes('params')).map(show), problems: [], honoured: honoured.map((path) => path.replace('litellm_settings.', '')) };
  } catch (error) {
    if (!(error instanceof ConfigRejectedError)) throw error;
    return { settings: undefined, warnings: [], problems: error.problems.map(show), honoured: [] };
  }
}

test('defaults and bounds of new keys are honoured, field by field', () => {
  const { settings, warnings, honoured } = read(`  default_key_generate_params: { max_budget: 2, models: [chat], duration: "-1", budget_duration: 30d, metadata: { from: config }, tpm_limit: }
  upperbound_key_generate_params: { max_budget: 10, rpm_limit: 100, duration: 30d }`);
  expect(warnings).toEqual([]);
  expect(honoured).toEqual(expect.arrayContaining(['default_key_generate_params', 'default_key_generate_params.models', 'upperbound_key_generate_params', 'upperbound_key_generate_params.rpm_limit']));
  expect(settings).toEqual({ default_key_generate_params: { max_budget: 2, models: ['chat'], duration: '-1', budget_duration: '30d', metadata: { from: 'config' } }, upperbound_key_generate_params: { max_budget: 10, rpm_limit: 100, duration: '30d' } });
});

test('a field without effect here is a warning among the defaults', () => {
  expect(read('  default_key_generate_params: { guardrails: [x] }').warnings).toEqual([expect.stringMatching(/^default_key_generate_params\.guardrails: LiteLLM knows this key/)]);
});

test.each([
  ['default_key_generate_params: 5', 'default_key_generate_params: expected a mapping such as'],
  ['default_key_generate_params: [5]', 'default_key_generate_params: expected a mapping such as'],
  ['default_key_generate_params: { max_budgt: 5 }', 'default_key_generate_params.max_budgt: nobody knows this key → max_budget'],
  ['default_key_generate_params: { key: sk-one-for-everybody }', 'default_key_generate_params.key: nobody knows this key'],
  ['default_key_generate_params: { max_budget: much }', 'default_key_generate_params.max_budget: expected number, received string'],
  ['default_key_generate_params: { duration: soon }', 'default_key_generate_params.duration: '],
  ['default_key_generate_params: { models: chat }', 'default_key_generate_params.models: expected array'],
  ['default_key_generate_params: { metadata: { a: "\\0" } }', "default_key_generate_params: Invalid value for 'metadata.a': contains a NUL character."],
  ['upperbound_key_generate_params: { duration: "-1" }', 'upperbound_key_generate_params.duration: expected a duration'],
  ['upperbound_key_generate_params: { rpm_limit: 1.5 }', 'upperbound_key_generate_params.rpm_limit: expected int'],
  ['upperbound_key_generate_params: { max_budget: -1 }', 'upperbound_key_generate_params.max_budget: '],
  ['upperbound_key_generate_params: { models: [chat] }', 'upperbound_key_generate_params.models: nobody knows this key'],
])('%s is refused with its place', (yaml, problem) => {
  expect(read(`  ${yaml}`).problems).toEqual([expect.stringContaining(problem)]);
});

test('a slip in one does not hide those of the other, and no value is shown', () => {
  const { problems } = read('  default_key_generate_params: { max_budget: sk-hidden, rpm_limt: sk-hidden }\n  upperbound_key_generate_params: { tpm_limit: sk-hidden }');
  expect(problems.map((problem) => problem.split(':')[0]).toSorted()).toEqual(['default_key_generate_params.max_budget', 'default_key_generate_params.rpm_limt', 'upperbound_key_generate_params.tpm_limit']);
  expect(problems.join()).not.toContain('sk-hidden');
});
