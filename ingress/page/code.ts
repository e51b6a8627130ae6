import { type Call, headersOf } from './ask.ts';

/** The call in three languages; each text runs as it stands, with the file in the current folder. */
export function writeCalls(
  call: Call,
  origin: string,
  file: string,
): Readonly<Record<'curl' | 'Python' | 'fetch', string>> {
  const url = `${origin}${call.path}`;
  const headers = Object.entries(headersOf(call));
  return {
    curl: writeCurl(url, headers, file),
    Python: writePython(url, headers, file),
    fetch: writeFetch(url, headers),
  };
}

type Headers = readonly (readonly [name: string, value: string])[];

// A form's file name is quoted for curl itself, then the whole for the shell.
function writeCurl(url: string, headers: Headers, file: string): string {
  const path = /[,;"\\]/.test(file) ? `"${file.replace(/["\\]/g, '\\$&')}"` : file;
  const lines = [`-F ${quoteShell(`image=@${path}`)}`, ...headers.map((pair) => `-H ${quoteShell(pair.join(': '))}`)];
  return ['curl', ...lines, quoteShell(url)].join(headers.length === 0 ? ' ' : ' \\\n  ');
}

function quoteShell(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function writePython(url: string, headers: Headers, file: string): string {
  const pairs = [['Content-Type', 'application/octet-stream'], ...headers].map(
    ([name, value]) => `    ${quote(name)}: ${quote(value)},`,
  );
  return `import json
from pathlib import Path
from urllib.request import Request, urlopen

upload = Path(${quote(file)}).read_bytes()
request = Request(${quote(url)}, upload, {
${pairs.join('\n')}
})
with urlopen(request) as response:
    print(json.load(response))`;
}

function writeFetch(url: string, headers: Headers): string {
  const lines = headers.map(([name, value]) => `    ${quote(name)}: ${quote(value)},`);
  const sent = lines.length === 0 ? '' : `\n  headers: {\n${lines.join('\n')}\n  },`;
  return `const body = new FormData();
body.append("image", file);
const response = await fetch(${quote(url)}, {
  method: "POST",${sent}
  body,
});
console.log(await response.json());`;
}

// A JSON string is one of Python and JavaScript, too.
function quote(text: string | undefined): string {
  return JSON.stringify(text);
}
