import { AppError } from '@pointsman/errors';

/**
 * What each untouched route of the OpenAI surface takes, in OpenAI's own spelling. Anything else below it would be another route of the provider, asked with
 * the operator's credentials: `/v1/images//chat/completions`.
 */
const SHAPES: Readonly<Record<string, RegExp>> = {
  '/v1/moderations': /^\/moderations$/,
  '/v1/rerank': /^\/rerank$/,
  '/v1/images': /^\/images\/(?:generations|edits|variations)$/,
  '/v1/audio': /^\/audio\/(?:transcriptions|translations|speech)$/,
  '/v1/files': /^\/files(?:\/[^/]+(?:\/content)?)?$/,
  '/v1/batches': /^\/batches(?:\/[^/]+(?:\/cancel)?)?$/,
};

/** The characters of RFC 3986 for a path, but for `;`: servers that read parameters of segments there take `..;` for `..`. */
const PATH = /^\/[\w\-.~!$&'()*+,=:@%/]*$/;
/** Characters that servers behind this one may decode again or read as the end of a path or segment. */
const TREACHEROUS = /[%;\\?#\p{Cc}]/u;

/** Paths of a provider's own surface that this gateway serves itself, whatever the version or resource before them; some providers do not look at case. */
const OWN_FORMAT = /\/(chat\/completions|completions|embeddings|responses|messages)\/?$/i;

function refused(): AppError {
  return new AppError('invalid_request', 'invalid_path', 'The path is not acceptable.', { param: 'path' });
}

/**
 * The rest of a request's path below a provider's base URL, with its query. Every server on the way has to read it as the same path: no dot segments, no empty
 * segments, no encoded separators, nothing encoded twice.
 * @throws AppError `invalid_request` for any other.
 */
export function safeSuffix(suffix: string): string {
  const whole = suffix === '' ? '/' : suffix;
  const path = pathOf(whole);
  const decoded = decodeSafely(path);
  if (!PATH.test(path) || decoded === undefined || TREACHEROUS.test(decoded) || decoded.includes('//')) throw refused();
  const segments = decoded.split('/');
  if (segments.length !== path.split('/').length || segments.includes('.') || segments.includes('..')) throw refused();
  return whole;
}

/** A safe suffix of an untouched route of the OpenAI surface, below `/v1`. @throws AppError 404 for what OpenAI has not there. */
export function suffixOfRoute(route: string, suffix: string): string {
  const safe = safeSuffix(suffix);
  if (SHAPES[route]?.test(pathOf(safe)) !== true) throw new AppError('not_found', 'not_found', 'Not Found');
  return safe;
}

/** The route of this gateway that serves what a safe suffix of a provider asks for; undefined where there is none. */
export function ownRouteFor(suffix: string): string | undefined {
  const format = OWN_FORMAT.exec(decodeURIComponent(pathOf(suffix)))?.[1];
  return format === undefined ? undefined : `/v1/${format.toLowerCase()}`;
}

/** A path without its query. */
export function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? '';
}

function decodeSafely(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
