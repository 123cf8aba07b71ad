import { AppError } from '@pointsman/errors';
import { Option, type Command } from 'commander';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';
import { printable } from '../printable.ts';

/** Longest wait for an answer. */
const TIMEOUT_MS = 30_000;
const DEFAULT_URL = 'http://127.0.0.1:4000';

interface Connection {
  readonly url: string;
  readonly masterKey?: string;
  readonly json?: true;
}

/** A key as the gateway's replies show it; only what is printed. */
interface ShownKey {
  readonly token?: string;
  readonly key_name?: string | null;
  readonly key_alias?: string | null;
  readonly spend?: number;
  readonly max_budget?: number | null;
  readonly budget_duration?: string | null;
  readonly rpm_limit?: number | null;
  readonly tpm_limit?: number | null;
  readonly max_parallel_requests?: number | null;
  readonly models?: readonly string[];
  readonly team_id?: string | null;
  readonly user_id?: string | null;
  readonly expires?: string | null;
  readonly blocked?: boolean;
}

interface KeySettings extends Connection {
  readonly alias?: string;
  readonly models?: string;
  readonly maxBudget?: string;
  readonly budgetDuration?: string;
  readonly duration?: string;
  readonly rpm?: string;
  readonly tpm?: string;
  readonly parallel?: string;
  readonly team?: string;
  readonly user?: string;
  readonly budget?: string;
  readonly tags?: string;
  readonly metadata?: string;
}

const HELP = `
Talks to a running gateway as its administrator. A key is named by itself (sk-…) or by its hash, as "keys list" shows it.
The master key is better kept in LITELLM_MASTER_KEY: command lines can be seen by other users of the machine.

Examples:
  $ pointsman keys generate --alias ci --models gpt-4o,auto --max-budget 5 --budget-duration 30d
  $ pointsman keys list --team research
  $ pointsman keys update 3f79…  --rpm none            # takes the limit away
  $ pointsman keys regenerate 3f79… --grace-period 24h   # the old key works for one more day`;

/** `pointsman keys …` */
export const addKeys: AddCommand = (program, context) => {
  const keys = program.command('keys').summary('make, show, change and revoke virtual keys').description('Makes, shows, changes and revokes virtual keys of a running gateway.').addHelpText('after', HELP);

  connected(keys.command('list').description('Lists keys, newest first.'), context)
    .option('--team <id>', 'only keys of this team').option('--user <id>', 'only keys of this user').option('--alias <alias>', 'only the key of this alias')
    .option('--page <number>', 'from 1', '1').option('--size <number>', 'keys per page, at most 500', '100')
    .action(async (options: Connection & { readonly team?: string; readonly user?: string; readonly alias?: string; readonly page: string; readonly size: string }) => {
      const query = new URLSearchParams({ return_full_object: 'true', page: options.page, size: options.size });
      for (const [name, value] of [['team_id', options.team], ['user_id', options.user], ['key_alias', options.alias]] as const) if (value !== undefined) query.set(name, value);
      const reply = await ask(options, `/key/list?${query.toString()}`);
      context.print(options.json === true ? asJson(reply) : listText(reply, context.columns));
    });

  settable(connected(keys.command('generate').description('Makes a key and prints it: this is the only time it is shown.'), context))
    .option('--key <key>', 'a key of your own choice (sk-…, 16 to 512 characters)')
    .action(async (options: KeySettings & { readonly key?: string }) => {
      const reply = await ask(options, '/key/generate', { ...fieldsOf(options), ...(options.key === undefined ? {} : { key: options.key }) });
      context.print(options.json === true ? asJson(reply) : newKeyText(reply, context.columns));
    });

  connected(keys.command('info').description('Shows one key.').argument('<key>', 'the key or its hash'), context).action(async (key: string, options: Connection) => {
    // By its hash where possible: query strings end up in logs of proxies.
    const reply = await ask(options, `/key/info?key=${await hashOf(key)}`);
    context.print(options.json === true ? asJson(reply) : detailText({ ...(reply['info'] as ShownKey), token: await hashOf(key) }, context.columns));
  });

  settable(connected(keys.command('update').description('Changes a key; "none" takes a limit away.').argument('<key>', 'the key or its hash'), context)).action(async (key: string, options: KeySettings) => {
    const fields = fieldsOf(options);
    if (Object.keys(fields).length === 0) throw new AppError('invalid_request', 'nothing_to_do', 'nothing to change: name at least one setting, see "pointsman keys update --help"');
    const reply = await ask(options, '/key/update', { key, ...fields });
    context.print(options.json === true ? asJson(reply) : `Changed.\n${detailText(reply, context.columns)}`);
  });

  for (const [word, done] of [['block', 'Blocked: the key is refused from now on.'], ['unblock', 'Unblocked: the key is accepted again.']] as const) {
    connected(keys.command(word).description(word === 'block' ? 'Refuses a key until it is unblocked.' : 'Accepts a blocked key again.').argument('<key>', 'the key or its hash'), context).action(async (key: string, options: Connection) => {
      const reply = await ask(options, `/key/${word}`, { key });
      context.print(options.json === true ? asJson(reply) : `${done}\n${detailText(reply, context.columns)}`);
    });
  }

  connected(keys.command('delete').description('Deletes keys: all that are named or none.').argument('[keys...]', 'keys or hashes'), context)
    .option('--alias <aliases>', 'keys by alias, divided by commas')
    .action(async (named: readonly string[], options: Connection & { readonly alias?: string }) => {
      const aliases = listOf(options.alias);
      if (named.length + aliases.length === 0) throw new AppError('invalid_request', 'nothing_to_do', 'which keys? Name them by key, by hash ("pointsman keys list" shows it) or with --alias');
      const reply = await ask(options, '/key/delete', { ...(named.length === 0 ? {} : { keys: named }), ...(aliases.length === 0 ? {} : { key_aliases: aliases }) });
      const count = named.length + aliases.length;
      context.print(options.json === true ? asJson(reply) : `Deleted ${String(count)} ${count === 1 ? 'key' : 'keys'}.`);
    });

  connected(keys.command('regenerate').description('Gives a key a new secret; settings and spend stay.').argument('<key>', 'the key or its hash'), context)
    .option('--grace-period <duration>', 'how long the old secret goes on working, e.g. 24h; without it, it ends now')
    .action(async (key: string, options: Connection & { readonly gracePeriod?: string }) => {
      const reply = await ask(options, '/key/regenerate', { key, ...(options.gracePeriod === undefined ? {} : { grace_period: options.gracePeriod }) });
      context.print(options.json === true ? asJson(reply) : newKeyText(reply, context.columns));
    });
};

function connected(command: Command, { env }: CommandContext): Command {
  const masterKey = env['LITELLM_MASTER_KEY'];
  return command
    .option('--url <url>', 'where the gateway listens', DEFAULT_URL)
    // The value from the environment is not a default of the option: help prints defaults.
    .addOption(new Option('--master-key <key>', 'the master key or an admin key; else LITELLM_MASTER_KEY').argParser((value: string) => value))
    .option('--json', 'the gateway\'s reply as JSON')
    .hook('preAction', (_program, action) => {
      if (action.getOptionValue('masterKey') === undefined && masterKey !== undefined && masterKey !== '') action.setOptionValue('masterKey', masterKey);
    });
}

function settable(command: Command): Command {
  return command
    .option('--alias <alias>', 'a name, unique among all keys')
    .option('--models <groups>', 'model groups the key may use, divided by commas; none: all')
    .option('--max-budget <usd>', 'what may be spent, in USD')
    .option('--budget-duration <duration>', 'the period of the budget: 1d, 7d, 1mo')
    .option('--duration <duration>', 'time until the key expires: 12h, 30d')
    .option('--rpm <number>', 'requests per minute')
    .option('--tpm <number>', 'tokens per minute')
    .option('--parallel <number>', 'requests at a time')
    .option('--team <id>', 'the team it belongs to')
    .option('--user <id>', 'the user it belongs to')
    .option('--budget <id>', 'a shared budget')
    .option('--tags <tags>', 'tags that every request of the key carries, divided by commas')
    .option('--metadata <json>', 'a JSON object');
}

/** What is set, by the gateway's names; "none" is null. */
function fieldsOf(options: KeySettings): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const set = (field: string, value: string | undefined, read: (text: string) => unknown): void => {
    if (value !== undefined) fields[field] = value === 'none' ? null : read(value);
  };
  const text = (value: string): string => value;
  set('key_alias', options.alias, text);
  set('models', options.models, listOf);
  set('max_budget', options.maxBudget, numberOf('--max-budget'));
  set('budget_duration', options.budgetDuration, text);
  set('duration', options.duration, text);
  set('rpm_limit', options.rpm, numberOf('--rpm'));
  set('tpm_limit', options.tpm, numberOf('--tpm'));
  set('max_parallel_requests', options.parallel, numberOf('--parallel'));
  set('team_id', options.team, text);
  set('user_id', options.user, text);
  set('budget_id', options.budget, text);
  set('tags', options.tags, listOf);
  set('metadata', options.metadata, objectOf);
  return fields;
}

function numberOf(option: string): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (text.trim() === '' || !Number.isFinite(number)) throw new AppError('invalid_request', 'not_a_number', `${option} expects a number or "none", not "${text}"`);
    return number;
  };
}

function listOf(text: string | undefined): string[] {
  return (text ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '');
}

function objectOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError('invalid_request', 'not_json', '--metadata expects a JSON object, such as \'{"owner": "ops"}\'');
  }
}

async function hashOf(key: string): Promise<string> {
  if (!key.startsWith('sk-')) return encodeURIComponent(key);
  return Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(key))).toString('hex');
}

/** One question to the gateway. @throws AppError whose message says what to do next. */
async function ask({ url, masterKey }: Connection, path: string, body?: object): Promise<Record<string, unknown>> {
  if (masterKey === undefined) throw new AppError('unauthenticated', 'no_master_key', 'no master key: set LITELLM_MASTER_KEY or pass --master-key ("npm start" prints the key and keeps it in .pointsman/master_key)');
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new AppError('invalid_request', 'invalid_url', `--url expects http://host:port, not "${url}"`);
  const address = url.replace(/\/+$/, '') + path;
  let reply: Response;
  let text: string;
  try {
    reply = await fetch(address, {
      method: body === undefined ? 'GET' : 'POST', redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { authorization: `Bearer ${masterKey}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    text = await reply.text();
  } catch (error) {
    throw new AppError('unavailable', 'gateway_unreachable', `cannot reach a gateway at ${url} (${reasonOf(error)}): is it running there? "npm start" starts one, --url names another address`, { cause: error });
  }
  const answer = parsed(text);
  if (reply.ok && answer !== undefined) return answer;
  throw new AppError('invalid_request', 'refused', refusal(reply.status, answer, url));
}

function refusal(status: number, answer: Record<string, unknown> | undefined, url: string): string {
  const error = answer?.['error'] as { readonly message?: unknown; readonly type?: unknown } | undefined;
  if (typeof error?.message !== 'string') return `${url} answered ${String(status)} and not as a gateway does: check --url`;
  const said = printable(error.message);
  if (error.type === 'no_db_connection') return 'the gateway has no database, so it knows only its master key: give it DATABASE_URL and start it again';
  switch (status) {
    case 401: return `the gateway does not know the master key that was sent: check LITELLM_MASTER_KEY or --master-key`;
    case 403: return `${said} (the key of --master-key must be the master key or belong to a proxy_admin)`;
    case 404: return said === 'Not Found' ? `${url} has no such route: is it a Pointsman gateway of this version?` : `${said} "pointsman keys list" shows the keys there are`;
    case 503: return `${said} Try again in a moment`;
    default: return said;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  if (error.name === 'TimeoutError') return `no answer within ${String(TIMEOUT_MS / 1000)} s`;
  const cause = error.cause as { readonly code?: unknown } | undefined;
  return typeof cause?.code === 'string' ? cause.code : error.message;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : undefined;
  } catch {
    return undefined;
  }
}

function asJson(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}

function listText(reply: Record<string, unknown>, columns: number | undefined): string {
  const keys = (reply['keys'] ?? []) as readonly ShownKey[];
  if (keys.length === 0) return 'No keys. "pointsman keys generate" makes one.';
  const rows = keys.map((key) => [cell(key.key_alias), cell(key.key_name), spendText(key), limitText(key), cell(key.team_id), cell(key.user_id), stateOf(key), cell(key.token)]);
  const pages = Number(reply['total_pages']);
  const footer = pages > 1 ? `\n\nPage ${String(reply['current_page'])} of ${String(pages)}, ${String(reply['total_count'])} keys in all: --page shows the others.` : '';
  return `${formatTable([['ALIAS', 'KEY', 'SPENT', 'LIMITS', 'TEAM', 'USER', 'STATE', 'HASH'], ...rows], columns)}${footer}`;
}

function newKeyText(reply: Record<string, unknown>, columns: number | undefined): string {
  return `${String(reply['key'])}\n\nKeep it now: it is not shown again.\n${detailText(reply, columns)}`;
}

function detailText(key: ShownKey, columns: number | undefined): string {
  const rows: [string, string][] = [
    ['alias', cell(key.key_alias)], ['key', cell(key.key_name)], ['hash', cell(key.token)], ['spent', spendText(key)], ['limits', limitText(key)],
    ['models', (key.models ?? []).length === 0 ? 'all' : (key.models ?? []).map(printable).join(', ')], ['team', cell(key.team_id)], ['user', cell(key.user_id)], ['state', stateOf(key)],
  ];
  return formatTable(rows, columns);
}

function spendText({ spend = 0, max_budget: budget, budget_duration: period }: ShownKey): string {
  const most = typeof budget === 'number' ? ` of $${String(budget)}${typeof period === 'string' ? ` per ${period}` : ''}` : '';
  return `$${spend.toFixed(4)}${most}`;
}

function limitText({ rpm_limit: rpm, tpm_limit: tpm, max_parallel_requests: parallel }: ShownKey): string {
  const parts = [[rpm, 'rpm'], [tpm, 'tpm'], [parallel, 'parallel']].flatMap(([value, unit]) => (typeof value === 'number' ? [`${String(value)} ${String(unit)}`] : []));
  return parts.length === 0 ? '-' : parts.join(', ');
}

function stateOf({ blocked, expires }: ShownKey): string {
  if (blocked === true) return 'blocked';
  if (typeof expires !== 'string') return 'active';
  return Date.parse(expires) < Date.now() ? `expired ${expires.slice(0, 10)}` : `active until ${expires.slice(0, 16).replace('T', ' ')}`;
}

function cell(value: string | null | undefined): string {
  return value === undefined || value === null || value === '' ? '-' : printable(value);
}
