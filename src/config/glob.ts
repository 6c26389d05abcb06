/** File names by pattern, for `include`: `*`, `?` and `[…]` within a path component. Node 20 has no glob of its own. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

export const isPattern = (path: string): boolean => /[*?[]/.test(path);

/** Absolute paths that match the absolute `pattern`, sorted. A name that begins with a dot needs a dot in the pattern. */
export function glob(pattern: string): string[] {
  let found = ['/'];
  for (const part of pattern.split('/').filter((p) => p !== '')) {
    if (!isPattern(part)) {
      found = found.map((dir) => join(dir, part)).filter(exists);
      continue;
    }
    const match = toRegExp(part);
    found = found.flatMap((dir) =>
      list(dir)
        .filter((name) => match.test(name) && (part.startsWith('.') || !name.startsWith('.')))
        .map((name) => join(dir, name)),
    );
  }
  return found.sort();
}

function toRegExp(part: string): RegExp {
  const source = part.replace(
    /\[(!?)([^\]]+)\]|[*?]|[^*?]/g,
    (m, not: string | undefined, set: string | undefined) => {
      if (m === '*') return '.*';
      if (m === '?') return '.';
      if (set !== undefined) return `[${not ? '^' : ''}${set.replace(/[\\\]^]/g, '\\$&')}]`;
      return m.replace(/[.+^${}()|[\]\\]/g, '\\$&');
    },
  );
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    return /(?!)/; // a range such as [z-a] matches nothing
  }
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false; // a name too long, a folder that may not be searched
  }
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
