/** Where Redis is, as its url says it. */
export interface RedisTarget {
  readonly topology: 'single' | 'sentinel' | 'cluster';
  readonly hosts: readonly RedisHost[];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Database number; always 0 on a cluster. */
  readonly database: number;
  /** Name of the master that the sentinels watch; only for `sentinel`. */
  readonly masterName: string | undefined;
  /** What the sentinels themselves ask for, when it is not nothing: `?sentinel_username=…&sentinel_password=…`. */
  readonly sentinelUsername: string | undefined;
  readonly sentinelPassword: string | undefined;
}

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

const SCHEMES = new Map([
  ['redis', { tls: false, topology: undefined }],
  ['rediss', { tls: true, topology: undefined }],
  ['redis+sentinel', { tls: false, topology: 'sentinel' }],
  ['rediss+sentinel', { tls: true, topology: 'sentinel' }],
  ['redis+cluster', { tls: false, topology: 'cluster' }],
  ['rediss+cluster', { tls: true, topology: 'cluster' }],
] as const);

/**
 * Reads `redis://[user:password@]host[:port][/database]`, `rediss://` (TLS), `redis+sentinel://[user:password@]host:port,host:port/master-name[/database]`,
 * and a comma list of `redis://` urls (or `redis+cluster://host:port`) for a cluster, where user and password may stand in any one of them.
 * Throws a plain Error that names what is wrong and never shows a part of the url: a misplaced character can make any part the password.
 */
export function parseRedisUrl(url: string): RedisTarget {
  const text = url.trim();
  const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/is.exec(text) ?? [];
  const facts = SCHEMES.get(scheme.toLowerCase() as Parameters<typeof SCHEMES.get>[0]);
  if (facts === undefined) fail(`it must begin with one of ${[...SCHEMES.keys()].map((name) => `${name}://`).join(', ')}`);
  if (facts.topology === 'sentinel') return parseSentinel(rest, facts.tls);
  const parts = text.split(',').map((part) => part.trim()).filter((part) => part !== '');
  if (facts.topology === undefined && parts.length === 1) return parseSingle(rest, facts.tls);
  return parseCluster(parts, facts.tls);
}

function parseSingle(rest: string, tls: boolean): RedisTarget {
  const { user, authority, path } = split(rest);
  return { ...blank(tls), topology: 'single', ...user, hosts: [hostOf(authority, 6_379, 'the host')], database: databaseOf(path) };
}

function parseSentinel(rest: string, tls: boolean): RedisTarget {
  const { user, authority, path, query } = split(rest);
  const [masterName = '', ...more] = path.split('/');
  if (masterName === '') fail('the name of the master is missing: redis+sentinel://host:port,host:port/master-name');
  if (more.length > 1) fail('only a database number may follow the name of the master');
  const hosts = authority.split(',').map((host, index) => hostOf(host, 26_379, `sentinel ${index + 1}`));
  return {
    ...blank(tls), topology: 'sentinel', ...user, hosts, database: databaseOf(more[0] ?? ''), masterName: decode(masterName, 'the name of the master'),
    sentinelUsername: query.get('sentinel_username') ?? undefined, sentinelPassword: query.get('sentinel_password') ?? undefined,
  };
}

function parseCluster(parts: readonly string[], tls: boolean): RedisTarget {
  const nodes = parts.map((part, index) => {
    const [, scheme, rest = ''] = /^(?:(rediss?(?:\+cluster)?):\/\/)?(.*)$/is.exec(part) ?? [];
    const name = `node ${index + 1}`;
    if (rest.includes('://')) fail(`${name} of the cluster must begin with redis:// or rediss://, or with its host`);
    if (scheme !== undefined && scheme.toLowerCase().startsWith('rediss') !== tls) fail(`${name} of the cluster differs from the first in using TLS`);
    const { user, authority, path } = split(rest);
    if (databaseOf(path) !== 0) fail('a cluster has no databases other than 0');
    return { user, host: hostOf(authority, 6_379, name) };
  });
  const user = nodes.find((node) => node.user.password !== undefined)?.user ?? {};
  return { ...blank(tls), topology: 'cluster', ...user, hosts: nodes.map(({ host }) => host) };
}

function blank(tls: boolean): Omit<RedisTarget, 'topology' | 'hosts'> {
  return { tls, username: undefined, password: undefined, database: 0, masterName: undefined, sentinelUsername: undefined, sentinelPassword: undefined };
}

interface UrlParts {
  readonly user: { readonly username?: string | undefined; readonly password?: string | undefined };
  readonly authority: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** `user:password@authority/path?query` */
function split(rest: string): UrlParts {
  const [, full = '', path = '', query = ''] = /^([^/?#]*)\/?([^?#]*)\??([^#]*)/.exec(rest) ?? [];
  if (`${path}${query}`.includes('@') || rest.includes('#')) fail('the characters / ? # @ of a password must be percent-encoded');
  const at = full.lastIndexOf('@');
  const search = new URLSearchParams(query);
  if (at < 0) return { user: {}, authority: full, path, query: search };
  const userinfo = full.slice(0, at);
  const colon = userinfo.indexOf(':');
  // Redis before version 6 knew only passwords, and `redis://secret@host` is a user without one everywhere.
  const username = decode(colon < 0 ? userinfo : userinfo.slice(0, colon), 'the user name');
  const password = colon < 0 ? undefined : decode(userinfo.slice(colon + 1), 'the password');
  if (username !== '' && password === undefined) fail('a user name stands there without a password: user:password@host, or :password@host');
  return { user: { username: username === '' ? undefined : username, password: password === '' ? undefined : password }, authority: full.slice(at + 1), path, query: search };
}

function hostOf(text: string, defaultPort: number, name: string): RedisHost {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.%]+)\]|([^\s:@[\]]+))(?::(.*))?$/i.exec(text.trim()) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) fail(`${name} is missing or not a host name or address (IPv6 goes in brackets)`);
  const port = digits === undefined ? defaultPort : /^\d{1,5}$/.test(digits) ? Number(digits) : 0;
  if (port < 1 || port > 65_535) fail(`the port of ${name} is not a number from 1 to 65535`);
  return { host, port };
}

function databaseOf(path: string): number {
  const text = path.replace(/\/$/, '');
  if (text === '') return 0;
  if (!/^\d{1,4}$/.test(text)) fail('the database after the slash is not a number');
  return Number(text);
}

function decode(text: string, name: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fail(`${name} is not properly percent-encoded`);
  }
}

function fail(problem: string): never {
  throw new Error(`The Redis url is not valid: ${problem}.`);
}
