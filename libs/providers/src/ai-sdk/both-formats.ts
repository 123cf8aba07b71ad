import type { Provider } from '../provider.ts';

/** One deployment behind two adapters: `messages` on the wire as it is, everything else through the SDK. */
export function bothFormats(sdk: Provider, wire: Provider): Provider {
  return {
    id: sdk.id,
    formats: new Set([...sdk.formats, ...wire.formats]),
    passthrough: wire.passthrough,
    start: (request, sink) => (wire.formats.has(request.format) ? wire : sdk).start(request, sink),
    ...(wire.countTokens === undefined ? {} : { countTokens: wire.countTokens }),
    close() {
      sdk.close();
      wire.close();
    },
  };
}
