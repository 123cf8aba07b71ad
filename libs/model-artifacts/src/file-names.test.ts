import { expect, test } from 'vitest';
import { checkFileNames } from './file-names.ts';

const check = (...paths: string[]) => () => checkFileNames({ files: paths.map((path) => ({ path, sha256: '', bytes: 10 })) }, { maxBytes: 100 });

test('plain names and folders pass', () => {
  expect(check('model.onnx', 'tables/vectors.bin', 'tables/a/b.json', '..a', 'a..b', 'ü.bin')).not.toThrow();
});

test.each([
  ['/etc/passwd', 'is absolute'], ['../a', 'segment ..'], ['a/../b', 'segment ..'], ['./a', 'segment .'], ['a/.', 'segment .'], ['a//b', 'empty segment'], ['a/', 'empty segment'], ['', 'empty segment'],
  ['a\\b', 'backslash'], ['..\\b', 'backslash'], ['a\0b', 'control'], ['a\nb', 'control'], ['a\u0085b', 'control'], ['C:/a', 'colon'], ['C:a', 'colon'], ['a:stream', 'colon'], ['\ud800', 'Unicode'], ['x'.repeat(256), '255 bytes'],
  ['manifest.json', 'reserved'], ['manifest.json.sig', 'reserved'], ['ready.json', 'reserved'], ['MANIFEST.JSON', 'reserved'], ['manifest.json/a', 'folder'],
])('the name %j is refused: %s', (path, reason) => {
  expect(check(path)).toThrow(expect.objectContaining({ code: 'file_name', message: expect.stringContaining(reason) as string }));
});

test('names that hide each other are refused', () => {
  expect(check('a', 'a')).toThrow(/twice/);
  expect(check('Model.onnx', 'model.onnx')).toThrow(/same name/);
  expect(check('e\u0301', '\u00e9')).toThrow(/same name/);
  expect(check('a', 'a/b')).toThrow(/folder/);
  expect(check('a/b/c', 'A/B')).toThrow(/folder/);
});

test('more bytes together than allowed are refused', () => {
  expect(() => checkFileNames({ files: [{ path: 'a', sha256: '', bytes: 60 }, { path: 'b', sha256: '', bytes: 41 }] }, { maxBytes: 100 })).toThrow(expect.objectContaining({ code: 'too_large' }));
  expect(() => checkFileNames({ files: [{ path: 'a', sha256: '', bytes: 60 }, { path: 'b', sha256: '', bytes: 40 }] }, { maxBytes: 100 })).not.toThrow();
});
