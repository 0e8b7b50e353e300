import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startMetahub } from '../support/metahub.ts';
import { attempt } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const GRAFANA = fileURLToPath(new URL('../../deploy/grafana', import.meta.url));
const RULES = join(GRAFANA, 'metahub.rules.yml');
const DASHBOARD = join(GRAFANA, 'dashboard.json');

describeWith(['promtool'], 'alert rules, dashboard and metrics', () => {
  let workplace: Workplace;
  let metrics: string;
  beforeAll(async () => {
    workplace = openWorkplace();
    const metahub = await startMetahub(workplace, { upstream: 'http://127.0.0.1:1' });
    metrics = await (await fetch(`${metahub.url}/metrics`)).text();
  });
  afterAll(() => workplace?.close());

  test('promtool check metrics reports nothing', async () => {
    const { status, stdout, stderr } = await attempt('promtool', ['check', 'metrics'], { input: metrics });
    expect({ status, complaints: stdout + stderr }).toEqual({ status: 0, complaints: '' });
  });

  test('promtool reads the rules, and each alert fires when it should and not otherwise', async () => {
    const checked = await attempt('promtool', ['check', 'rules', RULES]);
    expect(checked).toMatchObject({ status: 0, stderr: '' });
    const tested = await attempt('promtool', ['test', 'rules', join(GRAFANA, 'metahub.rules.test.yml')]);
    expect(tested.status, tested.stdout + tested.stderr).toBe(0);
  });

  test('every alert has a test', () => {
    const tests = readFileSync(join(GRAFANA, 'metahub.rules.test.yml'), 'utf8');
    const alerts = [...readFileSync(RULES, 'utf8').matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    expect(alerts.length).toBeGreaterThan(5);
    expect(alerts.filter((name) => !tests.includes(`alertname: ${name}`))).toEqual([]);
  });

  test.each([
    ['the alert rules', RULES],
    ['the dashboard', DASHBOARD],
  ])('%s use metrics that the mirror has', (_, path) => {
    const known = new Set([...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    const used = [...readFileSync(path, 'utf8').matchAll(/\bmetahub_\w+/g)].map(([name]) =>
      name.replace(/_(bucket|sum|count)$/, ''),
    );
    expect(used.length).toBeGreaterThan(5);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });

  test('every panel of the dashboard has a title, a query and a place of its own', () => {
    const { panels } = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as {
      readonly panels: readonly {
        readonly title: string;
        readonly targets: readonly unknown[];
        readonly gridPos: object;
      }[];
    };
    expect(panels.every(({ title, targets }) => title !== '' && targets.length > 0)).toBe(true);
    const places = panels.map(({ gridPos }) => JSON.stringify(gridPos));
    expect(new Set(places).size).toBe(places.length);
  });
});
