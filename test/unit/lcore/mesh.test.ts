import { expect, test } from 'vitest';
import { MASTER, Mesh, type ToLcore } from '../../../src/lcore/mesh.js';

test('every pair of members has a ring of its own', () => {
  const mesh = Mesh.create(3);
  for (let from = 0; from < 3; from++) {
    for (let to = 0; to < 3; to++) mesh.ring(from, to).sendJson({ from, to });
  }
  const other = new Mesh(mesh.buffer, 3);
  for (let to = 0; to < 3; to++) {
    for (let from = 0; from < 3; from++) {
      const ring = other.ring(from, to);
      expect(ring.receiveJson()).toEqual({ from, to });
      expect(ring.isEmpty).toBe(true);
    }
  }
});

test('a ring opened again goes on where the one before ended', () => {
  const mesh = Mesh.create(2);
  const send = (seq: number): void => void mesh.ring(MASTER, 1).sendJson({ t: 'query', seq, name: 'neigh' });
  send(1);
  send(2);
  expect(mesh.ring(MASTER, 1).receiveJson<ToLcore>()).toMatchObject({ seq: 1 });
  send(3);
  const reader = mesh.ring(MASTER, 1);
  expect(reader.receiveJson<ToLcore>()).toMatchObject({ seq: 2 });
  expect(reader.receiveJson<ToLcore>()).toMatchObject({ seq: 3 });
});
