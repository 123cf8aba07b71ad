import type { LanguageModelV4CallOptions, LanguageModelV4FilePart, LanguageModelV4Prompt } from '@ai-sdk/provider';
import { downloadBlob, isUrlSupported } from '@ai-sdk/provider-utils';
import { badRequest } from './bad-request.ts';

/** The largest file fetched on behalf of a client. */
const MAX_FILE_BYTES = 20 * 1024 * 1024;
const MAX_FILES = 20;

export type FetchRemoteFile = (url: string, signal: AbortSignal | undefined) => Promise<{ readonly bytes: Uint8Array; readonly mediaType: string | undefined }>;

/**
 * Fetches a file whose address a client chose. The AI SDK's own downloader refuses private and loopback addresses, pins DNS for the
 * connection and checks every redirect again, so that a prompt cannot make the gateway read from inside the network.
 */
export const fetchRemoteFile: FetchRemoteFile = async (url, signal) => {
  const blob = await downloadBlob(url, { maxBytes: MAX_FILE_BYTES, ...(signal === undefined ? {} : { abortSignal: signal }) });
  return { bytes: new Uint8Array(await blob.arrayBuffer()), mediaType: blob.type === '' ? undefined : blob.type.split(';')[0] };
};

type SupportedUrls = Record<string, RegExp[]>;

/**
 * Replaces the URLs that the provider does not fetch itself by their bytes.
 * @throws UnmappableRequestError when a file cannot be had.
 */
export async function inlineRemoteFiles(options: LanguageModelV4CallOptions, supportedUrls: SupportedUrls, fetchFile: FetchRemoteFile): Promise<LanguageModelV4CallOptions> {
  let files = 0;
  const inlined = async (part: LanguageModelV4FilePart): Promise<LanguageModelV4FilePart> => {
    if (part.data.type !== 'url') return part;
    const url = part.data.originalUrl ?? part.data.url.href;
    if (isUrlSupported({ url, mediaType: part.mediaType, supportedUrls }) && !needsExactType(part, supportedUrls)) return part;
    files += 1;
    if (files > MAX_FILES) throw badRequest('messages', `at most ${MAX_FILES} files given by URL`);
    if (!url.startsWith('http')) throw badRequest('messages', `files by https: URL or data: URL; this provider does not read ${part.data.url.protocol} addresses`);
    try {
      const { bytes, mediaType } = await fetchFile(url, options.abortSignal);
      return { ...part, mediaType: mediaType ?? part.mediaType, data: { type: 'data', data: bytes } };
    } catch (error) {
      options.abortSignal?.throwIfAborted();
      throw badRequest('messages', `files that the gateway can fetch; ${part.data.url.host} did not deliver (${error instanceof Error ? error.name : 'failed'})`);
    }
  };

  if (!hasUrl(options.prompt)) return options;
  const prompt: LanguageModelV4Prompt = [];
  for (const message of options.prompt) {
    if (message.role !== 'user') {
      prompt.push(message);
      continue;
    }
    const content: typeof message.content = [];
    for (const part of message.content) content.push(part.type === 'file' ? await inlined(part) : part);
    prompt.push({ ...message, content });
  }
  return { ...options, prompt };
}

/** Google wants the exact media type of a file that it fetches; an address without an extension does not tell it. */
function needsExactType(part: LanguageModelV4FilePart, supportedUrls: SupportedUrls): boolean {
  return part.mediaType.endsWith('/*') && Object.hasOwn(supportedUrls, '*');
}

function hasUrl(prompt: LanguageModelV4Prompt): boolean {
  return prompt.some((message) => message.role === 'user' && message.content.some((part) => part.type === 'file' && part.data.type === 'url'));
}
