import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { generateSigningKeys, MANIFEST_FILE, publicKeyOf, readManifest, signDirectory, verifyArtifactDirectory } from '@pointsman/model-artifacts';
import type { AddCommand, CommandContext } from '../command-context.ts';

interface Options {
  readonly key?: string;
  readonly generateKeys?: string;
  readonly json?: true;
}

const PRIVATE_FILE = 'model-signing.private.pem';
const PUBLIC_FILE = 'model-signing.public.pem';

const HELP = `
Checks that the folder holds exactly what its manifest names, then writes manifest.json.sig: the Ed25519 signature over the exact bytes of
manifest.json. model-sync takes the model where MODEL_SIGNING_PUBLIC_KEYS has the public half.

Examples:
  $ pointsman sign-model --generate-keys ./keys
  $ pointsman sign-model ./knn-router-v42 --key ./keys/${PRIVATE_FILE}`;

/** `pointsman sign-model DIR --key FILE`, `pointsman sign-model --generate-keys DIR` */
export const addSignModel: AddCommand = (program, context) => {
  program.command('sign-model')
    .summary('sign a router model, or make the keys for that')
    .description('Signs a router model, or makes the keys for that.')
    .argument('[directory]', 'the folder with manifest.json')
    .option('--key <file>', 'the private key (PEM, PKCS #8, Ed25519)')
    .option('--generate-keys <directory>', `write a new key pair there: ${PRIVATE_FILE} and ${PUBLIC_FILE}`)
    .option('--json', 'one JSON object instead of text')
    .addHelpText('after', HELP)
    .action(async (directory: string | undefined, options: Options) => {
      if (options.generateKeys !== undefined) {
        if (directory !== undefined || options.key !== undefined) throw usage('--generate-keys stands alone: it signs nothing');
        return generate(options.generateKeys, options, context);
      }
      if (directory === undefined) throw usage('the folder of the model is missing');
      if (options.key === undefined) throw usage('--key is missing: the file with the private key');
      return sign(directory, options.key, options, context);
    });
};

async function generate(directory: string, { json }: Options, { print }: CommandContext): Promise<void> {
  const pair = generateSigningKeys();
  const [privateFile, publicFile] = [join(directory, PRIVATE_FILE), join(directory, PUBLIC_FILE)];
  await mkdir(directory, { recursive: true });
  // Never over a key that models are signed with.
  await creating(privateFile, writeFile(privateFile, pair.privateKeyPem, { flag: 'wx', mode: 0o600 }));
  await creating(publicFile, writeFile(publicFile, pair.publicKeyPem, { flag: 'wx' }));
  if (json === true) print(JSON.stringify({ key_id: pair.keyId, private_key_file: privateFile, public_key_file: publicFile }, undefined, 2));
  else print(`Key ${pair.keyId}\n  ${privateFile}   keep it secret: whoever has it can sign models\n  ${publicFile}   for MODEL_SIGNING_PUBLIC_KEYS`);
}

async function sign(directory: string, keyFile: string, { json }: Options, { print }: CommandContext): Promise<void> {
  const privateKeyPem = await reading(keyFile, readFile(keyFile, 'utf8'));
  const key = publicKeyOf(privateKeyPem);
  const path = join(directory, MANIFEST_FILE);
  const bytes = await reading(path, readFile(path));
  const { name, version } = readManifest(bytes);
  // What is signed is what is there: a signature over a manifest that its files do not match only moves the failure to every gateway.
  await verifyArtifactDirectory(directory, { expect: { name, version }, publicKeys: [], mode: 'off', maxBytes: Infinity });
  await signDirectory(directory, bytes, privateKeyPem);
  const { revision, manifest } = await verifyArtifactDirectory(directory, { expect: { name, version }, publicKeys: [key], mode: 'require', maxBytes: Infinity });
  const total = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  if (json === true) print(JSON.stringify({ name, version, revision, key_id: key.keyId, files: manifest.files.length, bytes: total }, undefined, 2));
  else print(`Signed ${name} ${version} (revision ${revision}, ${manifest.files.length} files, ${total} bytes) with key ${key.keyId}.`);
}

function usage(problem: string): AppError {
  return new AppError('invalid_request', 'bad_arguments', `${problem} (see pointsman sign-model --help)`);
}

async function creating(path: string, promise: Promise<void>): Promise<void> {
  return promise.catch((error: unknown) => {
    const code = codeOf(error);
    throw new AppError('conflict', 'file_not_written', code === 'EEXIST' ? `${path} is there already: it is not replaced` : `cannot write ${path} (${code})`, { cause: error });
  });
}

async function reading<T>(path: string, promise: Promise<T>): Promise<T> {
  return promise.catch((error: unknown) => {
    throw new AppError('not_found', 'file_unreadable', `cannot read ${path} (${codeOf(error)})`, { cause: error });
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
