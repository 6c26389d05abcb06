import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeMessage,
  FrameReader,
  MAX_MESSAGE_BYTES,
  type FramingErrorKind,
} from '../../../src/control/framing.js';

function reader(max?: number): { frames: FrameReader; messages: unknown[]; errors: FramingErrorKind[] } {
  const messages: unknown[] = [];
  const errors: FramingErrorKind[] = [];
  const handlers = {
    message: (value: unknown): void => void messages.push(value),
    error: (error: { kind: FramingErrorKind }): void => void errors.push(error.kind),
  };
  return { frames: new FrameReader(handlers, max), messages, errors };
}

/** Cuts bytes at the given places. */
function cut(bytes: Buffer, places: number[]): Buffer[] {
  const at = [...new Set(places.map((p) => p % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, [...at, bytes.length][i]));
}

describe('framing', () => {
  it('delivers what was encoded, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.array(fc.nat()), (values, places) => {
        const { frames, messages, errors } = reader();
        const bytes = Buffer.from(values.map((v) => encodeMessage(v)).join(''));
        for (const part of cut(bytes, places)) frames.push(part);
        frames.end();
        expect(errors).toEqual([]);
        // JSON has no negative zero
        expect(JSON.stringify(messages)).toBe(JSON.stringify(values));
      }),
    );
  });

  it('survives any bytes: what is a JSON line is delivered, the rest reported', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat()), (noise, places) => {
        const { frames, messages } = reader();
        const bytes = Buffer.concat([Buffer.from(noise), Buffer.from('\n{"a":1}\n')]);
        for (const part of cut(bytes, places)) frames.push(part);
        expect(messages.at(-1)).toEqual({ a: 1 });
      }),
    );
  });

  it('reports a line that is not JSON and goes on with the next', () => {
    const { frames, messages, errors } = reader();
    frames.push(Buffer.from('{"a":\n[1]\r\n\n\r\n'));
    expect({ messages, errors }).toEqual({ messages: [[1]], errors: ['not-json'] });
  });

  it('reports text that is not UTF-8', () => {
    const { frames, messages, errors } = reader();
    frames.push(Buffer.from([0x22, 0xff, 0x22, 0x0a]));
    expect({ messages, errors }).toEqual({ messages: [], errors: ['not-json'] });
  });

  it('gives up on a line over the maximum, whether or not its end has come', () => {
    for (const text of ['"1234567"', '"1234567"\n[1]\n']) {
      const { frames, messages, errors } = reader(8);
      frames.push(Buffer.from(text));
      frames.push(Buffer.from('\n[2]\n'));
      frames.end();
      expect({ messages, errors, done: frames.done }).toEqual({
        messages: [],
        errors: ['too-long'],
        done: true,
      });
    }
  });

  it('accepts a line of exactly the maximum', () => {
    const { frames, messages } = reader(9);
    for (const byte of Buffer.from('"1234567"\n')) frames.push(Buffer.from([byte]));
    expect(messages).toEqual(['1234567']);
  });

  it('reports a message that the end of the stream cut off', () => {
    const { frames, errors } = reader();
    frames.push(Buffer.from('[1]\n{'));
    frames.end();
    expect(errors).toEqual(['truncated']);
  });

  it('stops when told to in the middle of a chunk', () => {
    const messages: unknown[] = [];
    const frames: FrameReader = new FrameReader({
      message: (value) => {
        messages.push(value);
        frames.stop();
      },
      error: () => expect.unreachable(),
    });
    frames.push(Buffer.from('1\n2\n'));
    expect(messages).toEqual([1]);
  });

  it('does not encode a message over the maximum', () => {
    expect(encodeMessage('x'.repeat(MAX_MESSAGE_BYTES - 2))).toHaveLength(MAX_MESSAGE_BYTES + 1);
    expect(() => encodeMessage('x'.repeat(MAX_MESSAGE_BYTES - 1))).toThrow('over the maximum of 1048576');
  });
});
