import { describe, expect, it } from 'vitest';
import { explicit, optionLabel, type OptionSpec } from '../../../src/cli/options.js';
import { words } from './support.js';

const specs: OptionSpec[] = [
  { name: 'add', chars: 'A', doc: '' },
  { name: 'persistent', chars: 'p', value: 'SEC', assumed: '360', doc: '' },
  { name: 'ops', chars: 'o', doc: '' },
  { name: 'host', chars: 't', value: 'HOST', doc: '' },
];

describe('options whose value may be left out', () => {
  it.each([
    ['-p', '--persistent=360'],
    ['-p 10', '--persistent=10'],
    ['-p10', '--persistent=10'],
    ['-p -o', '--persistent=360 -o'],
    ['-op', '-o --persistent=360'],
    ['-Ao -op 7 -t a', '-Ao -o --persistent=7 -t a'],
    ['--persistent -o', '--persistent=360 -o'],
    ['--persistent 10 -o', '--persistent=10 -o'],
    ['--persistent=10 -o', '--persistent=10 -o'],
    // values of other options are no options
    ['-t -p', '-t -p'],
    ['-At -p -p', '-At -p --persistent=360'],
    ['--host -p 5', '--host -p 5'],
    ['-tp 5', '-tp 5'],
    ['-- -p', '-- -p'],
  ])('%s is %s', (line, same) => {
    expect(explicit(specs, words(line))).toEqual(words(same));
  });

  it('shows that it may be left out', () => {
    expect(specs.map(optionLabel)).toEqual([
      '-A, --add',
      '-p, --persistent [SEC]',
      '-o, --ops',
      '-t, --host HOST',
    ]);
  });
});
