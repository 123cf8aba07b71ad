import manifest from '../package.json' with { type: 'json' };

/** Version of this app, as its package.json says. */
export const version: string = manifest.version;
