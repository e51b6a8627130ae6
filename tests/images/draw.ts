/**
 * Draws the test images into the folder tests/images, and the page's into ingress/page/samples: `npm run build && node dist/tests/images/draw.js` from the root.
 * Everything in them is drawn here; the same numbers give the same pictures.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';

const folder = join('tests', 'images');
const samples = join('ingress', 'page', 'samples');
const [width, height] = [480, 360];

interface Drawing {
  /** SVG gradients. */
  readonly paints: string;
  readonly shapes: string;
}

/** Numbers from 0 to 1, the same in every run (a linear congruential generator). */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function repeat(count: number, shape: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => shape(index)).join('');
}

function drawGoldfish(): Drawing {
  const scale = (i: number) => {
    const x = 150 + (i % 10) * 17 + (Math.floor(i / 10) % 2) * 8;
    const y = 138 + Math.floor(i / 10) * 17;
    return `<path d="M${x} ${y} q 9 8 0 16" stroke="#c94f0a" stroke-opacity=".4" stroke-width="2" fill="none"/>`;
  };
  const tailRay = (i: number) =>
    `<path d="M325 184 Q 380 ${130 + i * 14} 440 ${100 + i * 19}" stroke="#e8650f" stroke-opacity=".5" stroke-width="2" fill="none"/>`;
  return {
    paints: `
      <linearGradient id="water" x1="0" y1="0" x2="0" y2="1">
        <stop offset="0" stop-color="#9fd0cf"/><stop offset="1" stop-color="#2b5d5a"/>
      </linearGradient>
      <linearGradient id="body" x1="0" y1="0" x2="0" y2="1">
        <stop offset="0" stop-color="#e0560c"/><stop offset=".5" stop-color="#ff8c1a"/><stop offset="1" stop-color="#ffd27a"/>
      </linearGradient>
      <linearGradient id="fin" x1="0" y1="0" x2="1" y2="0">
        <stop offset="0" stop-color="#ff7a10"/><stop offset="1" stop-color="#ffc27a" stop-opacity=".75"/>
      </linearGradient>`,
    shapes: `
      <rect width="480" height="360" fill="url(#water)"/>
      <g filter="url(#far)">
        <ellipse cx="80" cy="300" rx="60" ry="120" fill="#2f6b2c"/><ellipse cx="420" cy="320" rx="70" ry="110" fill="#2a5f33"/>
        <ellipse cx="250" cy="360" rx="260" ry="40" fill="#6b5a3c"/>
      </g>
      <path d="M318 178 C 360 120 410 96 445 92 C 432 130 428 150 424 172 C 436 200 440 230 448 262 C 404 258 352 232 318 190Z" fill="url(#fin)"/>
      ${repeat(9, tailRay)}
      <path d="M175 128 C 200 84 260 76 300 96 C 290 116 280 126 270 136Z" fill="#f0690f"/>
      <path d="M190 236 C 180 268 200 284 226 290 C 228 268 224 250 222 238Z" fill="url(#fin)"/>
      <path d="M272 226 C 280 250 296 262 312 264 C 310 246 304 230 296 218Z" fill="url(#fin)"/>
      <path d="M70 186 C 90 130 170 108 240 118 C 290 126 325 160 334 182 C 320 212 280 240 220 246 C 150 250 90 232 70 186Z" fill="url(#body)"/>
      ${repeat(60, scale)}
      <path d="M140 128 Q 166 180 142 236" stroke="#c24a08" stroke-width="4" fill="none" stroke-opacity=".8"/>
      <path d="M168 190 C 200 196 216 214 208 232 C 190 232 172 216 168 190Z" fill="#ffa64a" stroke="#d9660f" stroke-width="2"/>
      <circle cx="108" cy="168" r="13" fill="#fff3d6"/><circle cx="107" cy="168" r="8" fill="#111"/><circle cx="104" cy="165" r="2.5" fill="#fff"/>
      <path d="M72 190 Q 84 196 92 192" stroke="#a33d05" stroke-width="3" fill="none"/>
      <path d="M110 140 Q 200 116 290 142" stroke="#fff" stroke-opacity=".35" stroke-width="10" fill="none" filter="url(#gloss)"/>`,
  };
}

function drawSchoolBus(): Drawing {
  const random = seededRandom(7);
  const tree = (i: number) =>
    `<ellipse cx="${i * 45}" cy="${165 + random() * 20}" rx="40" ry="${45 + random() * 25}" fill="${['#3f6b2e', '#56823a', '#2f5724'][i % 3]}"/>`;
  const window = (i: number) => `
      <rect x="${98 + i * 43}" y="120" width="34" height="36" rx="3" fill="#2b3a48"/>
      <path d="M${100 + i * 43} 150 l 26 -28" stroke="#8fa7b8" stroke-width="4" opacity=".7"/>`;
  const wheel = (i: number) => `
      <circle cx="${128 + i * 244}" cy="258" r="27" fill="#15130f"/>
      <circle cx="${128 + i * 244}" cy="258" r="13" fill="#8d8a80"/><circle cx="${128 + i * 244}" cy="258" r="5" fill="#333"/>`;
  return {
    paints: `
      <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">
        <stop offset="0" stop-color="#8fbbe6"/><stop offset=".55" stop-color="#dbe8ef"/>
      </linearGradient>
      <linearGradient id="yellow" x1="0" y1="0" x2="0" y2="1">
        <stop offset="0" stop-color="#ffc928"/><stop offset=".7" stop-color="#f5a700"/><stop offset="1" stop-color="#b87400"/>
      </linearGradient>`,
    shapes: `
      <rect width="480" height="360" fill="url(#sky)"/>
      <g filter="url(#far)">${repeat(12, tree)}</g>
      <rect y="248" width="480" height="112" fill="#6d6d6b"/><rect y="240" width="480" height="12" fill="#9c9a92"/>
      <path d="M0 318 H480" stroke="#d8d3b0" stroke-width="4" stroke-dasharray="50 34"/>
      <ellipse cx="235" cy="286" rx="200" ry="12" fill="#222" opacity=".6" filter="url(#gloss)"/>
      <path d="M52 258 V112 Q52 92 74 92 H352 Q364 92 368 106 L378 168 L424 176 Q438 180 438 194 V258 Z" fill="url(#yellow)"/>
      <path d="M60 96 Q64 86 80 86 H340 Q352 86 358 94Z" fill="#ffd95c"/>
      ${repeat(6, window)}
      <path d="M356 118 L366 118 L374 164 L356 164Z" fill="#2b3a48"/>
      <path d="M52 176 H378 M52 190 H420 M52 226 H436" stroke="#1a1608" stroke-width="4"/>
      <rect x="150" y="102" width="124" height="7" fill="#1a1608"/>
      <rect x="60" y="98" width="12" height="8" fill="#c22"/><rect x="344" y="96" width="12" height="8" fill="#c22"/>
      <rect x="424" y="206" width="16" height="32" fill="#2c2a26"/><circle cx="432" cy="196" r="7" fill="#fff6cf"/>
      <polygon points="56,184 64,176 76,176 84,184 84,196 76,204 64,204 56,196" fill="#c4191b"/>
      <rect x="40" y="244" width="404" height="12" fill="#1d1a14"/>
      ${repeat(2, wheel)}`,
  };
}

function drawMonarch(): Drawing {
  const random = seededRandom(11);
  const colors = ['#e48bb6', '#7fb04f', '#2f5a20', '#c7dc8a'];
  const blossom = (i: number) =>
    `<circle cx="${random() * 480}" cy="${random() * 360}" r="${20 + random() * 35}" fill="${colors[i % 4]}"/>`;
  const dots = '70,88 72,104 78,122 88,138 104,152 116,258 120,272 134,284 152,291 172,292'.split(' ');
  const dot = (i: number) => {
    const [x, y] = (dots[i] as string).split(',');
    return `<circle cx="${x}" cy="${y}" r="3.5"/>`;
  };
  const wing = `
      <path d="M240 170 C 200 90 110 50 60 80 C 60 140 120 190 236 186Z" fill="url(#wing)" stroke="#120c08" stroke-width="10"/>
      <path d="M236 188 C 150 190 100 230 110 270 C 140 310 210 290 238 212Z" fill="url(#wing)" stroke="#120c08" stroke-width="10"/>
      <g stroke="#120c08" stroke-width="5" fill="none">
        <path d="M236 178 C 190 130 130 100 74 92"/><path d="M236 180 C 180 150 120 140 74 122"/>
        <path d="M236 184 C 180 172 140 170 100 152"/><path d="M236 196 C 190 210 150 240 122 262"/>
        <path d="M236 200 C 200 230 180 260 168 288"/><path d="M140 96 C 130 120 140 140 150 160"/>
      </g>
      <g fill="#fff">${repeat(dots.length, dot)}</g>`;
  return {
    paints: `
      <linearGradient id="meadow" x1="0" y1="0" x2="1" y2="1">
        <stop offset="0" stop-color="#9cc466"/><stop offset="1" stop-color="#3c6a2a"/>
      </linearGradient>
      <radialGradient id="wing" cx="80%" cy="70%" r="90%">
        <stop offset="0" stop-color="#d95a08"/><stop offset=".6" stop-color="#f58a1c"/><stop offset="1" stop-color="#e87010"/>
      </radialGradient>`,
    shapes: `
      <rect width="480" height="360" fill="url(#meadow)"/>
      <g filter="url(#far)">${repeat(14, blossom)}</g>
      ${wing}<g transform="translate(480 0) scale(-1 1)">${wing}</g>
      <path d="M240 140 C 250 160 250 230 240 262 C 230 230 230 160 240 140Z" fill="#15100c"/>
      <circle cx="240" cy="138" r="9" fill="#15100c"/>
      <path d="M238 132 Q 222 104 206 96 M242 132 Q 258 104 274 96" stroke="#15100c" stroke-width="3" fill="none"/>`,
  };
}

function drawSeven(): Drawing {
  const line = (i: number) => `<path d="M0 ${40 + i * 62} L480 ${30 + i * 62}" stroke="#9db4d6" stroke-width="2"/>`;
  return {
    paints: `
      <linearGradient id="paper" x1="0" y1="0" x2="1" y2=".4">
        <stop offset="0" stop-color="#f3efe2"/><stop offset="1" stop-color="#a9a396"/>
      </linearGradient>`,
    shapes: `
      <rect width="480" height="360" fill="url(#paper)"/>
      <path d="M0 250 L190 360 H0Z" fill="#000" opacity=".25" filter="url(#gloss)"/>
      ${repeat(6, line)}
      <path d="M165 92 Q 180 78 210 84 T 306 78 Q 262 180 236 286 M196 180 L 300 170" stroke="#1f2f8f" stroke-width="13" fill="none" stroke-linecap="round" stroke-linejoin="round"/>`,
  };
}

/** The drawing as a camera might have taken it: slightly out of focus, with the noise of a sensor. */
function photograph({ paints, shapes }: Drawing): Sharp {
  const svg = `
    <svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
      <defs>
        <filter id="far" x="-30%" y="-30%" width="160%" height="160%"><feGaussianBlur stdDeviation="10"/></filter>
        <filter id="gloss" x="-30%" y="-30%" width="160%" height="160%"><feGaussianBlur stdDeviation="6"/></filter>
        ${paints}
      </defs>
      ${shapes}
    </svg>`;
  const random = seededRandom(1);
  const noise = Buffer.from(Array.from({ length: width * height * 3 }, () => 108 + 40 * random()));
  return sharp(Buffer.from(svg))
    .flatten()
    .composite([{ input: noise, raw: { width, height, channels: 3 }, blend: 'soft-light' }])
    .blur(0.7);
}

const page = `Notes on a page that is no picture

This file carries the name of a photo and holds plain text. Some programs go by the name of a file, others by the type
that came with it; both would try to show a picture here. The bytes themselves say what they are, and they are letters.
`;

await photograph(drawGoldfish()).jpeg({ quality: 85 }).toFile(join(folder, 'test_image_1.jpg'));
await photograph(drawSchoolBus()).jpeg({ quality: 85 }).toFile(join(folder, 'test_image_2.jpg'));
await photograph(drawMonarch()).jpeg({ quality: 85 }).toFile(join(folder, 'test_image_3.jpg'));
await writeFile(join(folder, 'test_image_4.jpg'), page);
await sharp(await photograph(drawSeven()).png().toBuffer())
  .resize(240)
  .png({ palette: true })
  .toFile(join(folder, 'digit.png'));

/** A photo that loads in no time. */
const small = async (drawing: Drawing): Promise<Sharp> =>
  sharp(await photograph(drawing).png().toBuffer()).resize(360, 270);
const drawings = {
  goldfish: drawGoldfish(),
  'school-bus': drawSchoolBus(),
  butterfly: drawMonarch(),
  digit: drawSeven(),
};
for (const [name, drawing] of Object.entries(drawings)) {
  await (await small(drawing)).jpeg({ quality: 80 }).toFile(join(samples, `${name}.jpg`));
}
// At dusk, out of focus, and only a part of it.
await (await small(drawGoldfish()))
  .extract({ left: 190, top: 30, width: 160, height: 120 })
  .resize(360, 270)
  .blur(6)
  .modulate({ brightness: 0.45, saturation: 0.5 })
  .jpeg({ quality: 80 })
  .toFile(join(samples, 'hard.jpg'));
