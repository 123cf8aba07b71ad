import { describe, expect, test } from 'vitest';
import { replaceModel } from './replace-model.ts';

describe('replaceModel', () => {
  test.each([
    ['{"id":"1","model":"gpt-4o","choices":[]}', '{"id":"1","model":"auto","choices":[]}'],
    ['{"id":"1","model": "gpt-4o","choices":[]}', '{"id":"1","model": "auto","choices":[]}'],
    ['{"type":"message_start","message":{"model":"gpt-4o"}}', '{"type":"message_start","message":{"model":"auto"}}'],
  ])('splices %s', (text, expected) => {
    expect(replaceModel(text, 'gpt-4o', 'auto')).toBe(expected);
  });

  test('never touches the words of a message that quotes the field', () => {
    const value = { choices: [{ delta: { content: 'the body was {"model":"gpt-4o"} and "model": "gpt-4o"' } }], model: 'gpt-4o' };
    expect(JSON.parse(replaceModel(JSON.stringify(value), 'gpt-4o', 'auto'))).toEqual({ ...value, model: 'auto' });
  });

  test('a key that only ends in a quoted "model" is not the field', () => {
    const value = { 'say "model': 'gpt-4o', model: 'gpt-4o' };
    expect(JSON.parse(replaceModel(JSON.stringify(value), 'gpt-4o', 'auto'))).toEqual({ ...value, model: 'auto' });
  });

  test('escapes what it puts in', () => {
    expect(JSON.parse(replaceModel('{"model":"a\\"b"}', 'a"b', 'c"$&\\d'))).toEqual({ model: 'c"$&\\d' });
  });

  test.each([
    ['{"model" : "gpt-4o"}', { model: 'auto' }],
    ['{"model":"gpt-4o-2024-11-20"}', { model: 'auto' }],
    ['{"type":"message_start","message":{"model":"dated"}}', { type: 'message_start', message: { model: 'auto' } }],
    ['{"type":"response.created","response":{"model":"dated"}}', { type: 'response.created', response: { model: 'auto' } }],
  ])('parses %s where the splice finds nothing', (text, expected) => {
    expect(JSON.parse(replaceModel(text, 'gpt-4o', 'auto'))).toEqual(expected);
  });

  test.each(['{"type":"ping"}', 'not json "model"', '[DONE]', '{"model":7}', '["model"]'])('leaves %s as it is', (text) => {
    expect(replaceModel(text, 'gpt-4o', 'auto')).toBe(text);
  });

  test('the same name changes nothing', () => {
    expect(replaceModel('{"model":"a"}', 'a', 'a')).toBe('{"model":"a"}');
  });
});
