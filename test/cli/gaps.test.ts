import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { parse } from 'yaml';
import { rankGaps } from '../../src/cli/commands/gaps/rank.ts';
import {
  renderBake,
  renderGithubMatrix,
  renderGitlab,
  renderText,
} from '../../src/cli/commands/gaps/render.ts';
import { readGaps, writeGaps } from '../../src/cli/gap-file.ts';
import { openGapRecord } from '../../src/cli/serve/gap-record.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseTag, type Tag } from '../../src/oci/reference.ts';
import type { Fit } from '../../src/selection/assessment.ts';
import type { Gap } from '../../src/selection/gap-schema.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import { hostOf } from '../support/host-of.ts';
import { runCli, runCliWith } from '../support/run-cli.ts';
import { hashed } from '../support/site.ts';
import { serveSite } from '../support/site-server.ts';
import { dataDirectory } from '../support/store.ts';
import { repository } from '../support/upstream.ts';

const GAP: Gap = {
  image: 'docker.io/qnib/bench:latest',
  fit: 'older',
  platform: 'linux/amd64',
  wanted: ['cpu:zen4', 'nvcap:9.0'],
  isMarked: true,
  served: 'cpu:broadwell, nvcap:8.0',
  pulls: 2,
  hosts: ['a', 'b'],
  firstAt: '2026-11-26T10:00:00.000Z',
  lastAt: '2026-11-26T11:00:00.000Z',
};
const DIGEST = digestOf(Buffer.from('an index'));
const NOBODY = { image: undefined, all: false };

function decisionFor(host: string, tag: string, fit: Fit | undefined) {
  return {
    repository: repository('qnib/bench', 'docker.io'),
    tag: parseTag(tag) as Tag,
    answer: 'derived' as const,
    reason: 'a reason',
    upstreamDigest: DIGEST,
    servedDigest: DIGEST,
    chosen: { digest: DIGEST, demands: 'cpu:broadwell' },
    notes: [],
    fit,
    profile: hostOf(host),
    host: 'zen4',
    durationMs: 1,
    isCheck: false,
  };
}

const OLDER: Fit = { kind: 'older', wanted: ['cpu:zen4'], isMarked: true };

async function openRecord(data: string, lines: string[] = []) {
  const metrics = createMetrics();
  let seconds = 0;
  const record = await openGapRecord({
    data,
    metrics,
    log: (_level, event) => lines.push(event),
    now: () => {
      seconds += 1;
      return new Date(seconds * 1000);
    },
  });
  return { record, metrics };
}

describe('the record of gaps', () => {
  test('adds up the pulls of one image, one kind of fit and one wanted build, and the kinds of hosts', async () => {
    const { record } = await openRecord(await dataDirectory());
    record.note(decisionFor('cpu:zen4', 'latest', OLDER));
    record.note(decisionFor('cpu:zen4', 'latest', OLDER));
    record.note(decisionFor('cpu:zen4 nvcap:9.0', 'latest', OLDER));
    record.note(decisionFor('cpu:zen4', 'v2', OLDER));
    expect(
      record
        .gaps()
        .map(({ image, pulls, hosts, firstAt, lastAt }) => [image, pulls, hosts.length, firstAt, lastAt]),
    ).toEqual([
      ['docker.io/qnib/bench:latest', 3, 2, '1970-01-01T00:00:01.000Z', '1970-01-01T00:00:03.000Z'],
      ['docker.io/qnib/bench:v2', 1, 1, '1970-01-01T00:00:04.000Z', '1970-01-01T00:00:04.000Z'],
    ]);
  });

  const one = decisionFor('cpu:zen4', 'latest', OLDER);
  const others: Readonly<Record<string, typeof one>> = {
    registries: { ...one, repository: repository('qnib/bench', 'ghcr.io') },
    repositories: { ...one, repository: repository('qnib/other', 'docker.io') },
    tags: decisionFor('cpu:zen4', 'v2', OLDER),
    'kinds of fit': decisionFor('cpu:zen4', 'latest', { ...OLDER, kind: 'generic' }),
    'wanted builds': decisionFor('cpu:zen4', 'latest', { ...OLDER, wanted: ['cpu:zen5'] }),
    platforms: decisionFor('cpu:neoverse_n1', 'latest', OLDER),
  };

  test.each(Object.entries(others))('never adds up two %s', async (_, other) => {
    const { record } = await openRecord(await dataDirectory());
    for (const decision of [one, other, one]) record.note(decision);
    expect(record.gaps().map(({ pulls }) => pulls)).toEqual([1, 2]);
  });

  test('counts how every pull fitted, and records none that is exact or has nothing to choose from', async () => {
    const { record, metrics } = await openRecord(await dataDirectory());
    record.note(decisionFor('cpu:zen4', 'a', { kind: 'exact', wanted: [], isMarked: true }));
    record.note(decisionFor('cpu:zen4', 'b', undefined));
    record.note(decisionFor('cpu:zen4', 'c', { kind: 'refused', wanted: ['cpu:zen4'], isMarked: true }));
    expect(record.gaps().map(({ image }) => image)).toEqual(['docker.io/qnib/bench:c']);
    expect(metrics.text()).toContain('metahub_pull_fit_total{fit="exact"} 1');
    expect(metrics.text()).toContain('metahub_pull_fit_total{fit="refused"} 1');
    expect(metrics.text()).toContain('metahub_pull_fit_total{fit="generic"} 0');
  });

  test('continues after a restart', async () => {
    const data = await dataDirectory();
    const { record } = await openRecord(data);
    record.note(decisionFor('cpu:zen4', 'latest', OLDER));
    await record.close();
    const { record: again } = await openRecord(data);
    again.note(decisionFor('cpu:zen4', 'latest', OLDER));
    expect(again.gaps()).toMatchObject([{ pulls: 2, hosts: [expect.any(String)] }]);
  });

  test('is saved a minute after a pull, and a second after an event was delivered', async () => {
    const data = await dataDirectory();
    let deliver = () => {};
    const webhook = {
      offer: (_: Gap, done: () => void) => {
        deliver = done;
      },
      remember: () => {},
      close: async () => {},
    };
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const metrics = createMetrics();
    const record = await openGapRecord({ data, webhook, log: () => {}, metrics, now: () => new Date() });
    record.announce();
    record.note(decisionFor('cpu:zen4', 'latest', OLDER));
    vi.advanceTimersByTime(59_999);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1);
    expect(vi.getTimerCount()).toBe(0);
    await expect.poll(async () => (await readGaps(data)).length).toBe(1);
    deliver();
    vi.advanceTimersByTime(999);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1);
    expect(vi.getTimerCount()).toBe(0);
    await expect.poll(async () => (await readGaps(data))[0]?.notifiedAt).toBeDefined();
    await record.close();
  });

  test('writes nothing when nothing was recorded', async () => {
    const data = await dataDirectory();
    const { record } = await openRecord(data);
    await record.close();
    expect(await readGaps(data)).toEqual([]);
  });

  test('stores 1,000 gaps, and evicts the least recently seen one', async () => {
    const { record } = await openRecord(await dataDirectory());
    for (let at = 0; at < 1_000; at += 1) record.note(decisionFor('cpu:zen4', `v${at}`, OLDER));
    record.note(decisionFor('cpu:zen4', 'v0', OLDER));
    record.note(decisionFor('cpu:zen4', 'v1000', OLDER));
    const tags = record.gaps().map(({ image }) => image.split(':')[1]);
    expect(tags).toHaveLength(1_000);
    expect(tags).not.toContain('v1');
    expect(tags.slice(-2)).toEqual(['v0', 'v1000']);
  });

  test('counts up to 64 kinds of hosts', async () => {
    const { record } = await openRecord(await dataDirectory());
    for (let at = 0; at < 70; at += 1) record.note(decisionFor(`cpu:zen4 site:${at}`, 'latest', OLDER));
    expect(record.gaps()).toMatchObject([{ pulls: 70 }]);
    expect(record.gaps()[0]?.hosts).toHaveLength(64);
  });

  test('logs an unreadable file, and starts again from zero', async () => {
    const data = await dataDirectory();
    writeFileSync(join(data, 'gaps.json'), '{"version": 2}');
    const lines: string[] = [];
    const { record } = await openRecord(data, lines);
    expect(lines).toEqual(['gaps-unreadable']);
    record.note(decisionFor('cpu:zen4', 'latest', OLDER));
    await record.close();
    expect(await readGaps(data)).toMatchObject([{ pulls: 1 }]);
  });
});

describe('rankGaps()', () => {
  test('orders by pulls times kinds of hosts, and leaves out images without variants unless asked', () => {
    const gaps: readonly Gap[] = [
      { ...GAP, image: 'a:1', pulls: 3, hosts: ['a', 'b'] },
      { ...GAP, image: 'b:1', pulls: 7, hosts: ['a'] },
      { ...GAP, image: 'c:1', pulls: 100, isMarked: false },
    ];
    expect(rankGaps(gaps, [], NOBODY).map(({ image }) => image)).toEqual(['b:1', 'a:1']);
    expect(rankGaps(gaps, [], { image: undefined, all: true }).map(({ image }) => image)).toEqual([
      'c:1',
      'b:1',
      'a:1',
    ]);
    expect(rankGaps(gaps, [], { image: 'c:1', all: false }).map(({ image }) => image)).toEqual(['c:1']);
  });

  test('shows the measured speed of a build for the same hardware', () => {
    const result = {
      image: 'docker.io/qnib/bench:test',
      entry: DIGEST,
      demands: 'cpu:zen4, nvcap:9.0',
      permutation: '',
      metric: 'seconds',
      better: 'lower',
      median: 1,
      min: 1,
      max: 1,
      rounds: 5,
      timesGeneric: 1.8,
      cpu: 'zen4',
      measuredAt: '2026-11-26T10:00:00.000Z',
    } as const;
    expect(rankGaps([GAP], [result], NOBODY)[0]?.timesGeneric).toBe(1.8);
    expect(rankGaps([GAP], [{ ...result, demands: 'cpu:zen4' }], NOBODY)[0]?.timesGeneric).toBe(null);
    expect(
      rankGaps([GAP], [{ ...result, image: 'docker.io/qnib/other:test' }], NOBODY)[0]?.timesGeneric,
    ).toBe(null);
  });
});

describe('formats of metahub gaps', () => {
  const ranked = rankGaps(
    [
      GAP,
      { ...GAP, fit: 'refused', served: null },
      { ...GAP, image: 'docker.io/qnib/levels:latest', wanted: ['variant:v4'], pulls: 1 },
    ],
    [],
    NOBODY,
  );
  const BUILDS = [
    {
      image: 'docker.io/qnib/bench:latest-zen4-nvcap9.0',
      list: 'docker.io/qnib/bench:latest',
      platform: 'linux/amd64',
      features: 'cpu:zen4,nvcap:9.0',
      variant: '',
      cflags: '-march=znver4 -mtune=znver4',
      cudaArchitectures: '90',
      hipArchitectures: '',
    },
    {
      image: 'docker.io/qnib/levels:latest-v4',
      list: 'docker.io/qnib/levels:latest',
      platform: 'linux/amd64',
      features: '',
      variant: 'v4',
      cflags: '-march=x86-64-v4',
      cudaArchitectures: '',
      hipArchitectures: '',
    },
  ];

  test('github-matrix is one line with each build once', () => {
    const text = renderGithubMatrix(ranked);
    expect(text.trim()).not.toContain('\n');
    expect(JSON.parse(text)).toEqual({ include: BUILDS });
  });

  test('gitlab is a parallel matrix of strings', async () => {
    const { '.metahub-gaps': job } = parse(await renderGitlab(ranked));
    expect(job.parallel.matrix).toHaveLength(2);
    expect(job.parallel.matrix[0]).toMatchObject({
      IMAGE: 'docker.io/qnib/bench:latest-zen4-nvcap9.0',
      CUDA_ARCHITECTURES: '90',
    });
  });

  test('bake has a target for each build, with the arguments that it needs', () => {
    const { group, target } = JSON.parse(renderBake(ranked));
    expect(group.default.targets).toEqual(['bench_latest-zen4-nvcap9_0', 'levels_latest-v4']);
    expect(target['levels_latest-v4']).toEqual({
      inherits: ['metahub'],
      args: { CFLAGS: '-march=x86-64-v4' },
      platforms: ['linux/amd64'],
      tags: ['docker.io/qnib/levels:latest-v4'],
    });
  });

  test('text says what was served, what is wanted, and how much is hidden', () => {
    const text = renderText(ranked, 3);
    expect(text).toMatch(
      /^2 +2 +docker\.io\/qnib\/bench:latest +linux\/amd64 cpu:zen4 nvcap:9\.0 +cpu:broadwell, nvcap:8\.0 +-$/m,
    );
    expect(text).toMatch(/^2 +2 +docker\.io\/qnib\/bench:latest .* refused +-$/m);
    expect(text).toContain('3 more gaps belong to images without hardware demands');
    expect(renderText([], 0)).toBe('Every pull got the best build that its host could use.\n');
  });
});

describe('metahub gaps', () => {
  test('--offline reads what a mirror wrote', async () => {
    const data = await dataDirectory();
    await writeGaps(data, [GAP]);
    const { stdout, status } = await runCli('gaps', '--offline', '--data', data, '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      gaps: [{ image: GAP.image, hosts: 2, build: { cflags: '-march=znver4 -mtune=znver4' } }],
    });
  });

  test.each([
    [['--format', 'xml'], "argument 'xml' is invalid. Allowed choices are text, json,", 2],
    [['--format', 'manifest'], '--format manifest is about one image', 2],
    [
      ['--offline', '--site', 'hub.example'],
      "option '--offline' cannot be used with option '--site <url>'",
      2,
    ],
    [['--offline', '--mirror', 'http://127.0.0.1:1'], "option '--offline' cannot be used with", 2],
    [['--json', '--format', 'bake'], "cannot be used with option '--json'", 2],
    [['--offline', '--data', '/nowhere'], 'there is no directory /nowhere', 1],
    [['--mirror', 'http://127.0.0.1:1'], 'no mirror answers at http://127.0.0.1:1', 1],
  ])('fails with %j', async (words, message, expected) => {
    const { stderr, status } = await runCli('gaps', ...words);
    expect(stderr).toContain(message);
    expect(status).toBe(expected);
  });

  test('--offline names a file of another format', async () => {
    const data = await dataDirectory();
    writeFileSync(join(data, 'gaps.json'), '[]');
    const { stderr, status } = await runCli('gaps', '--offline', '--data', data);
    expect(stderr).toContain(`the record of gaps in ${data} cannot be read`);
    expect(status).toBe(1);
  });
});

describe('metahub gaps --site', () => {
  const gaps: readonly Gap[] = [
    ...Array.from({ length: 600 }, (_, at) => ({ ...GAP, image: `docker.io/qnib/bench:v${at}` })),
    { ...GAP, image: 'ghcr.io/other/app:v1' },
  ];

  async function site() {
    const { url } = await serveSite(
      {
        'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
        'qnib.yaml': `user: qnib\npassword: "${await hashed('qnib')}"\npush: [qnib/*]\n`,
        'guest.yaml': `user: guest\npassword: "${await hashed('guest')}"\n`,
      },
      { gaps: () => gaps },
    );
    return (user: string, password = user, ...words: readonly string[]) =>
      runCliWith(
        { input: password },
        ...['gaps', '--site', url, '--user', user, '--password-file', '-', '--json', ...words],
      );
  }

  test('shows an administrator all gaps of a site, others those of images that they may push', async () => {
    const ask = await site();
    const imagesOf = async (user: string) => {
      const { stdout, stderr } = await ask(user);
      expect(stderr).toBe('');
      return (JSON.parse(stdout) as { gaps: readonly Gap[] }).gaps.map(({ image }) => image).sort();
    };
    expect(await imagesOf('root')).toEqual(gaps.map(({ image }) => image).sort());
    expect(await imagesOf('qnib')).toEqual(
      gaps
        .slice(0, 600)
        .map(({ image }) => image)
        .sort(),
    );
    expect(await imagesOf('guest')).toEqual([]);
  });

  test('says that a login is refused', async () => {
    const { stderr, status } = await (await site())('root', 'wrong');
    expect(stderr).toContain('refuses the login of root');
    expect(status).toBe(1);
  });

  test('needs an account', async () => {
    const { stderr, status } = await runCli('gaps', '--site', '127.0.0.1:1');
    expect(stderr).toContain('--user ACCOUNT, or METAHUB_SITE_ACCOUNT');
    expect(status).toBe(2);
  });

  test('says which options ask a site that the mirror of this host is', async () => {
    const { url } = await serveSite({ 'qnib.yaml': 'user: qnib\n' });
    const { stderr, status } = await runCli('gaps', '--mirror', url);
    expect(stderr).toContain(`--site ${url} --user ACCOUNT`);
    expect(status).toBe(1);
  });

  test('takes the account from METAHUB_SITE_ACCOUNT, and says how to pass the password without a terminal', async () => {
    const env = { METAHUB_SITE_ACCOUNT: 'root' };
    const { stderr, status } = await runCliWith({ env, input: '' }, 'gaps', '--site', '127.0.0.1:1');
    expect(stderr).toBe(
      'metahub: there is no terminal to ask for the password of root at 127.0.0.1:1 on\n' +
        '  Name the file with it: --password-file FILE (-: stdin).\n',
    );
    expect(status).toBe(2);
  });
});
