import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

const ruleSchema = z.union([
  z.strictObject({ record: z.string(), expr: z.string() }),
  z.strictObject({ alert: z.string(), expr: z.string(), for: z.string(), labels: z.record(z.string(), z.string()), annotations: z.record(z.string(), z.string()) }),
]);
const fileSchema = z.strictObject({ groups: z.array(z.strictObject({ name: z.string(), interval: z.string().optional(), rules: z.array(ruleSchema) })) });

export interface Recording { readonly record: string; readonly expr: string }
export interface AlertRule { readonly alert: string; readonly expr: string; readonly for: string; readonly labels: Readonly<Record<string, string>>; readonly annotations: Readonly<Record<string, string>> }

/** All rules of a folder's `*.rules.yaml`, in the order of the files. */
export function readRules(folder: string): { readonly recordings: readonly Recording[]; readonly alerts: readonly AlertRule[] } {
  // slo.rules.yaml records what others may use.
  const files = readdirSync(folder).filter((name) => name.endsWith('.rules.yaml')).sort();
  const rules = files.flatMap((name) => fileSchema.parse(parse(readFileSync(join(folder, name), 'utf8'))).groups.flatMap((group) => group.rules));
  return { recordings: rules.filter((rule) => 'record' in rule), alerts: rules.filter((rule) => 'alert' in rule) };
}
