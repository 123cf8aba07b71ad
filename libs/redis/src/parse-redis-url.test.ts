import { expect, test } from 'vitest';
import { parseRedisUrl } from './parse-redis-url.ts';

test.each([
  ['redis://localhost', { topology: 'single', hosts: [{ host: 'localhost', port: 6379 }], tls: false, database: 0, password: undefined }],
  ['rediss://me:p%40ss@cache.example:6380/3', { topology: 'single', hosts: [{ host: 'cache.example', port: 6380 }], tls: true, username: 'me', password: 'p@ss', database: 3 }],
  ['redis://:secret@[::1]:7000', { topology: 'single', hosts: [{ host: '::1', port: 7000 }], username: undefined, password: 'secret' }],
  ['redis+sentinel://:secret@a:1,b:2,c/main', { topology: 'sentinel', hosts: [{ host: 'a', port: 1 }, { host: 'b', port: 2 }, { host: 'c', port: 26379 }], masterName: 'main', password: 'secret', database: 0 }],
  ['redis+sentinel://a:1/main/2?sentinel_password=other', { topology: 'sentinel', masterName: 'main', database: 2, sentinelPassword: 'other' }],
  ['redis://a:1,redis://u:p@b:2', { topology: 'cluster', hosts: [{ host: 'a', port: 1 }, { host: 'b', port: 2 }], username: 'u', password: 'p' }],
  ['rediss://a:1,b:2', { topology: 'cluster', tls: true, hosts: [{ host: 'a', port: 1 }, { host: 'b', port: 2 }] }],
  ['redis+cluster://a:1', { topology: 'cluster', hosts: [{ host: 'a', port: 1 }] }],
])('%s is understood', (url, expected) => {
  expect(parseRedisUrl(url)).toMatchObject(expected);
});

test.each([
  ['http://:hunter2@host', /must begin with one of redis:\/\//],
  ['hunter2', /must begin with/],
  ['redis://:hunter2@', /the host is missing/],
  ['redis://:hunter2', /the host is missing/],
  ['redis://:hun/ter2@host', /percent-encoded/],
  ['redis://:hun#ter2@host', /percent-encoded/],
  ['redis://:hunter2%@host', /the password is not properly percent-encoded/],
  ['redis://hunter2@host', /a user name stands there without a password/],
  ['redis://:hunter2@host:port', /the port of the host is not a number from 1 to 65535/],
  ['redis://:hunter2@host:70000', /the port of the host/],
  ['redis://:hunter2@host/zero', /the database after the slash is not a number/],
  ['redis+sentinel://:hunter2@a:1,b:x/main', /the port of sentinel 2/],
  ['redis+sentinel://:hunter2@a:1', /the name of the master is missing/],
  ['redis+sentinel://:hunter2@a:1/main/0/1', /only a database number may follow/],
  ['redis://:hunter2@a:1,redis://b:2/3', /a cluster has no databases/],
  ['redis://:hunter2@a:1,rediss://b:2', /node 2 of the cluster differs from the first in using TLS/],
  ['redis://:hunter2@a:1,http://b:2', /node 2 of the cluster must begin with/],
])('%s is refused in words that name the problem and not the password', (url, problem) => {
  expect(() => parseRedisUrl(url)).toThrow(problem);
  expect(() => parseRedisUrl(url)).not.toThrow(/hun|ter2/);
});
