/**
 * The syntax of dpvs.conf, as a peggy grammar with error productions: whatever the text, parsing goes on to its end, and
 * every syntax error is reported with its place.
 *
 * A file is a list of statements. A statement is a line of words (keyword first) and, when a `{` follows on the same or a
 * later line, a block of statements up to `}`. `!` and `#` at the start of a word begin a comment to the end of the line;
 * `<…>` (the original's `<init>` and its inline comments) is ignored anywhere; `"…"` is one word with spaces in it.
 */
import peggy from 'peggy';
import type { Diagnostic, Place } from './diagnostics.js';
import type { SourceFile } from './source.js';

/** Deeper blocks are refused: the format itself needs six levels, and the parser is recursive. */
export const MAX_DEPTH = 32;

export interface Word {
  text: string;
  quoted: boolean;
  place: Place;
}

/** `words` is empty only for a block without a keyword (which is an error of its own). */
export interface Statement {
  words: Word[];
  block?: Statement[];
}

/** Message and hint of each syntax error. */
const PROBLEMS = {
  orphan: ['a block without a keyword', "write the keyword in front of the '{'"],
  stray: ["this '}' closes nothing", "remove it, or look for a '{' missing above"],
  tooDeep: [`blocks nested deeper than ${MAX_DEPTH}`, 'the rest of the file was not read'],
  unclosed: ["this '{' is never closed", "add the missing '}'"],
  quote: ["a quoted word without its closing '\"'", 'quotes end on the line they begin on'],
  attribute: ["a '<' without its '>'", '<…> is a comment within one line'],
} as const;

/** Braces in its code must balance, in strings too: that is how peggy finds the end of an action. */
const GRAMMAR = String.raw`
{
  // word(offset, length, text, quoted) makes a word, problem(offset, length, kind) notes an error.
  const { word, problem, maxDepth } = options;
  let depth = 0;
}

File = "\uFEFF"? Space items:(@Item Space)* { return items.filter((i) => i !== null); }

Item
  = Stray
  / TooDeep
  / Statement
  / block:Block {
      problem(block.open, 1, "orphan");
      return { words: [], block: block.items };
    }

Stray = &{ return depth === 0; } "}" {
    problem(offset(), 1, "stray");
    return null;
  }

TooDeep = &{ return depth >= maxDepth; } "{" [^]* {
    problem(offset(), 1, "tooDeep");
    return null;
  }

Statement = words:Line block:(Space @Block)? {
    return block === null ? { words } : { words, block: block.items };
  }

Line = first:Word rest:(Blank @Word)* Blank { return [first, ...rest]; }

Block = open:Open Space items:(@Item Space)* close:"}"? {
    depth--;
    if (close === null) problem(open, 1, "unclosed");
    return { open, items: items.filter((i) => i !== null) };
  }

Open = &{ return depth < maxDepth; } "{" { depth++; return offset(); }

Word = Quoted / Bare

Quoted
  = '"' text:$[^"\r\n]* '"' { return word(offset(), text.length + 2, text, true); }
  / '"' text:$[^"\r\n]* {
      problem(offset(), text.length + 1, "quote");
      return word(offset(), text.length + 1, text.trim(), true);
    }

Bare = text:$([^!#<{}" \t\r\n\v\f] [^<{}" \t\r\n\v\f]*) { return word(offset(), text.length, text, false); }

Blank = ([ \t\r\v\f]+ / Attribute / Comment)*
Space = ([ \t\r\v\f\n]+ / Attribute / Comment)*

Attribute
  = "<" [^>\n]* ">"
  / "<" rest:$[^>\n]* {
      problem(offset(), rest.trimEnd().length + 1, "attribute");
    }

Comment = [!#] [^\n]*
`;

type Parse = (text: string, options: object) => Statement[];
let parser: Parse | undefined;

/** Generating the parser takes about 20 ms: done once, when the first file is read. */
function compile(): Parse {
  const generated = peggy.generate(GRAMMAR);
  return (text, options) => generated.parse(text, options) as Statement[];
}

/** The statements of a file; syntax errors go to `problems`. Never throws. */
export function parse(source: SourceFile, problems: Diagnostic[]): Statement[] {
  const reported = new Set<number>();
  parser ??= compile();
  return parser(source.text, {
    maxDepth: MAX_DEPTH,
    word: (offset: number, length: number, text: string, quoted: boolean): Word => ({
      text,
      quoted,
      place: source.place(offset, length),
    }),
    problem: (offset: number, length: number, kind: keyof typeof PROBLEMS): void => {
      // White space is looked at twice (is there a block behind it?): one report per place.
      if (reported.has(offset)) return;
      reported.add(offset);
      const [message, hint] = PROBLEMS[kind];
      problems.push({ severity: 'error', place: source.place(offset, length), message, hint });
    },
  });
}
