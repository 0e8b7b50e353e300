import type { Section } from './table.ts';

const [WIDTH, ROW, LABEL, GAP] = [860, 22, 330, 26];
const COLOURS = ['#2f6fb0', '#7a8b99', '#a5b1bb', '#c3ccd3', '#d5dbe0', '#e3e7ea'];

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function bars({ title, unit, measured }: Section, top: number): string {
  const greatest = Math.max(...measured.outcomes.map(({ rate }) => rate));
  const scale = (WIDTH - LABEL - 120) / greatest;
  const rows = measured.outcomes.map(({ name, rate }, position) => {
    const y = top + 18 + position * ROW;
    const width = Math.max(1, rate * scale);
    const value = rate >= 100 ? Math.round(rate).toLocaleString('en-US') : rate.toPrecision(3);
    return [
      `<text x="${LABEL - 8}" y="${y + 14}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="${LABEL}" y="${y + 2}" width="${width.toFixed(1)}" height="${ROW - 6}" fill="${COLOURS[position] ?? '#eee'}"/>`,
      `<text x="${(LABEL + width + 6).toFixed(1)}" y="${y + 14}">${value} ${unit}</text>`,
    ].join('');
  });
  return `<text x="0" y="${top + 10}" font-weight="bold">${escaped(title)}</text>${rows.join('\n')}`;
}

/** A bar chart of every section, each with its own scale, as SVG. */
export function toSvg(sections: readonly Section[]): string {
  let top = 8;
  const parts = sections.map((section) => {
    const part = bars(section, top);
    top += 18 + section.measured.outcomes.length * ROW + GAP;
    return part;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" font-family="sans-serif" font-size="13">
<title>MetaHub beside nginx and docker-registry</title>
<rect width="${WIDTH}" height="${top}" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
