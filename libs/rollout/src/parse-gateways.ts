import { AppError } from '@pointsman/errors';

/** Where the replicas are: each by itself, or whatever a name resolves to at the moment. */
export type GatewayPlaces = { readonly kind: 'list'; readonly urls: readonly string[] } | { readonly kind: 'dns'; readonly host: string; readonly port: number };

const EXPECTED = 'expected the URL of every replica, as http://10.0.0.7:4000,http://10.0.0.8:4000, or the name of a headless service, as dns://gateway-headless:4000';

/** Reads `URL,URL…` or `dns://host:port` (port 4000 by default). @throws AppError `invalid_request` that does not repeat what may hold credentials. */
export function parseGateways(text: string, option = '--gateways'): GatewayPlaces {
  const parts = text.split(',').map((part) => part.trim()).filter((part) => part !== '');
  const refuse = (why: string): AppError => new AppError('invalid_request', 'invalid_gateways', `${option}: ${why}`);
  const [only] = parts;
  if (only === undefined) throw refuse(EXPECTED);
  if (parts.some((part) => part.startsWith('dns:'))) {
    const parsed = URL.parse(only);
    if (parts.length > 1 || parsed === null || parsed.hostname === '' || !/^\/?$/.test(parsed.pathname) || parsed.search !== '' || parsed.username !== '') throw refuse(EXPECTED);
    return { kind: 'dns', host: parsed.hostname, port: parsed.port === '' ? 4000 : Number(parsed.port) };
  }
  const urls = parts.map((part) => {
    const parsed = URL.parse(part);
    if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.search !== '' || parsed.hash !== '') throw refuse(EXPECTED);
    if (parsed.username !== '' || parsed.password !== '') throw refuse('credentials do not belong into a URL');
    return parsed.href.replace(/\/+$/, '');
  });
  return { kind: 'list', urls: [...new Set(urls)] };
}
