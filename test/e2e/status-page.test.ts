import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { profileOfFeatures } from '../../src/host/assumed-features.ts';
import { PULL_VERDICTS, type StatusFacts } from '../../src/server/status-facts.ts';
import { type Chromium, startChromium } from '../support/chromium.ts';
import { LOW_CONTRAST, OVERFLOW } from '../support/page-checks.ts';
import { describeWith } from '../support/required-programs.ts';
import { serve } from '../support/served.ts';

const LONG =
  'registry.example.org:5000/a-team/with-long-names/and-an-image-whose-name-does-not-break:2026.11.26';

const FACTS: StatusFacts = {
  version: '1.2.3',
  startedAt: new Date('2026-01-02T03:04:05Z'),
  hostName: 'node-17.rack-4.datacentre.example.org',
  warnings: ['anyone who reaches 0.0.0.0 can pull through this mirror without a login'],
  profile: profileOfFeatures(['cpu:zen4', 'nvcap:9.0']),
  decisions: PULL_VERDICTS.map((verdict, at) => ({
    at: new Date(Date.UTC(2026, 0, 2, 3, at)),
    image: at === 0 ? LONG : `docker.io/library/image-${at}:latest`,
    verdict,
    digest: `sha256:${String(at).repeat(64)}`,
    entry: 'cpu:zen4, nvcap:9.0',
    reason:
      'demands cpu:sapphirerapids (platform.features): this host is zen4 and lacks amx_bf16, amx_int8 and amx_tile',
  })),
  pulls: { fitted: 367, generic: 39, unchanged: 1200, refused: 6, failed: 2 },
  cache: {
    usedBytes: 33_715_193_446,
    limitBytes: 53_687_091_200,
    trouble: 'the disk is full',
    results: { hit: 900, miss: 12, stale: 1 },
  },
  registries: [
    { registry: 'docker.io', requests: 90, failures: 0, meanMs: 38 },
    {
      registry: LONG.slice(0, 25),
      requests: 9,
      failures: 9,
      failing: `${LONG} refused the connection`,
      meanMs: 0,
    },
  ],
  reload: { at: new Date('2026-01-02T04:00:00Z'), refused: '/etc/metahub/config.yaml:3:7: unknown setting' },
  figures: [['lists of images', '3']],
};

describeWith(['chromium'], 'the status page in a browser', () => {
  let chromium: Chromium;
  beforeAll(async () => {
    chromium = await startChromium();
  });
  afterAll(() => chromium?.close());

  test.each([
    [1280, false],
    [1280, true],
    [390, false],
    [390, true],
  ])('has enough contrast and no overflow at %i px (dark: %s)', async (width, isDark) => {
    const { port } = await serve({ status: () => FACTS });
    await chromium.open(`http://127.0.0.1:${port}/`, { width, isDark });
    const contrast = await chromium.evaluate<{ seen: number; found: string[] }>(LOW_CONTRAST);
    expect(contrast.seen).toBeGreaterThan(50);
    expect(contrast.found).toEqual([]);
    expect(await chromium.evaluate(OVERFLOW)).toEqual({ page: 0, elements: [] });
    const background = await chromium.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    expect(background).toBe(isDark ? 'rgb(20, 23, 28)' : 'rgb(245, 246, 248)');
    const picture = await chromium.screenshot();
    expect(picture.subarray(1, 4).toString()).toBe('PNG');
    const folder = process.env['METAHUB_SCREENSHOTS'];
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `status-${width}-${isDark ? 'dark' : 'light'}.png`), picture);
  });

  test('shows the same without scripts, and its form filters', async () => {
    const { port } = await serve({ status: () => FACTS });
    await chromium.open(`http://127.0.0.1:${port}/?verdict=refused`, {
      width: 1280,
      isDark: false,
      scripts: false,
    });
    const rows = await chromium.evaluate<string[]>(
      "[...document.querySelectorAll('.whole tbody tr .chip')].map((chip) => chip.textContent)",
    );
    expect(rows).toEqual(['refused']);
  });

  test('loads new pulls by itself with scripts', async () => {
    let facts: StatusFacts = { ...FACTS, decisions: FACTS.decisions.slice(1) };
    const { port } = await serve({ status: () => facts });
    await chromium.open(`http://127.0.0.1:${port}/`, { width: 1280, isDark: false });
    const rows = () => chromium.evaluate<number>("document.querySelectorAll('.whole tbody tr').length");
    expect(await rows()).toBe(FACTS.decisions.length - 1);
    facts = FACTS;
    await expect.poll(rows, { interval: 500 }).toBe(FACTS.decisions.length);
  });
});
