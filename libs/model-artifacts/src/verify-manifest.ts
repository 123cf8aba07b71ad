import type { ModelManifest } from '@pointsman/schemas';
import { ArtifactRejectedError, shown } from './artifact-rejected-error.ts';
import { checkFileNames } from './file-names.ts';
import { artifactRevision, manifestDigest, MANIFEST_FILE, readManifest, SIGNATURE_FILE } from './manifest.ts';
import { checkSignature, SIGNATURE_BYTES, type PublicKey } from './signature.ts';

/** `require`: nothing without a good signature. `warn`: says so and goes on. `off`: signatures are not looked at. Sizes, digests and names are always checked. */
export type VerifyMode = 'require' | 'warn' | 'off';

export interface ManifestDemands {
  /** What was asked for: a good manifest of another model or version in its place is refused. */
  readonly expect: { readonly name: string; readonly version: string };
  readonly publicKeys: readonly PublicKey[];
  readonly mode: VerifyMode;
  /** Of all files together. */
  readonly maxBytes: number;
}

export interface VerifiedManifest {
  readonly manifest: ModelManifest;
  /** `{version}-{first 12 hex digits of the digest}` */
  readonly revision: string;
  /** SHA-256 of the manifest's bytes, hex. */
  readonly digest: string;
  /** The key that signed it; undefined when that was not looked at, or did not hold in mode `warn`. */
  readonly keyId: string | undefined;
  readonly warnings: readonly string[];
}

/** Everything that can be known before the files are there. @throws ArtifactRejectedError */
export function verifyManifest(bytes: Uint8Array, signature: Uint8Array | undefined, { expect, publicKeys, mode, maxBytes }: ManifestDemands): VerifiedManifest {
  const warnings: string[] = [];
  let keyId: string | undefined;
  if (mode !== 'off') {
    // Before anything in it is believed.
    try {
      keyId = signedBy(bytes, signature, publicKeys);
    } catch (error) {
      if (mode === 'require' || !(error instanceof ArtifactRejectedError)) throw error;
      warnings.push(error.message);
    }
  }
  const manifest = readManifest(bytes);
  if (manifest.name !== expect.name || manifest.version !== expect.version) {
    throw new ArtifactRejectedError('wrong_model', `The manifest is that of ${shown(manifest.name)} ${manifest.version}, not of ${shown(expect.name)} ${expect.version}.`, { path: MANIFEST_FILE });
  }
  checkFileNames(manifest, { maxBytes });
  return { manifest, revision: artifactRevision(manifest, bytes), digest: manifestDigest(bytes), keyId, warnings };
}

function signedBy(bytes: Uint8Array, signature: Uint8Array | undefined, keys: readonly PublicKey[]): string {
  if (signature === undefined) throw new ArtifactRejectedError('signature_missing', 'The manifest is not signed: manifest.json.sig is not there.', { path: SIGNATURE_FILE });
  if (signature.length !== SIGNATURE_BYTES) throw new ArtifactRejectedError('signature_invalid', `manifest.json.sig has ${signature.length} bytes; an Ed25519 signature has ${SIGNATURE_BYTES}.`, { path: SIGNATURE_FILE });
  const found = checkSignature(bytes, signature, keys);
  if (found !== undefined) return found.keyId;
  throw new ArtifactRejectedError('signature_invalid', `The signature of the manifest is not that of ${keys.length === 0 ? 'any key: none is configured' : `a known key (${keys.map(({ keyId }) => keyId).join(', ')})`}.`, { path: SIGNATURE_FILE });
}
