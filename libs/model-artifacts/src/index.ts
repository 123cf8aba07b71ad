export { ArtifactRejectedError, type ArtifactFault } from './artifact-rejected-error.ts';
export { checkFileNames } from './file-names.ts';
export { artifactRevision, isRevisionOf, manifestDigest, MANIFEST_FILE, MAX_MANIFEST_BYTES, modelFolder, READY_FILE, readManifest, SIGNATURE_FILE } from './manifest.ts';
export { checkSignature, generateSigningKeys, loadPublicKeys, publicKeyOf, readPublicKeys, SIGNATURE_BYTES, signManifest, type PublicKey } from './signature.ts';
export { verifyArtifactDirectory, type VerifyArtifactOptions } from './verify-artifact-directory.ts';
export { verifyManifest, type ManifestDemands, type VerifiedManifest, type VerifyMode } from './verify-manifest.ts';
export { manifestBytesOf, signDirectory, writeArtifact, type ArtifactFile, type WrittenArtifact } from './write-artifact.ts';
