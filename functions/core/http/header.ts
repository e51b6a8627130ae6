/** The pieces of a header's value between separators, none of which counts inside of a quoted string (RFC 9110 5.6.4). */
export function cutOutsideQuotes(value: string, separator: ',' | ';'): string[] {
  const pieces: string[] = [];
  let from = 0;
  let isQuoted = false;
  for (let i = 0; i < value.length; i += 1) {
    const character = value[i];
    if (isQuoted && character === '\\') i += 1;
    else if (character === '"') isQuoted = !isQuoted;
    else if (character === separator && !isQuoted) {
      pieces.push(value.slice(from, i));
      from = i + 1;
    }
  }
  pieces.push(value.slice(from));
  return pieces;
}

/** The name of NAME=VALUE in lower case and the value as it is meant; '' where there is none, undefined where its quotes are broken. */
export function readPair(piece: string): readonly [name: string, value: string | undefined] {
  const [name = ''] = piece.split('=', 1);
  return [name.trim().toLowerCase(), unquote(piece.slice(name.length + 1).trim())];
}

function unquote(word: string): string | undefined {
  if (!word.startsWith('"')) return word;
  return /^"((?:[^"\\]|\\.)*)"$/.exec(word)?.[1]?.replaceAll(/\\(.)/g, '$1');
}
