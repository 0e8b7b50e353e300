import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'undici';

/** A headless browser with one page, driven by the DevTools protocol. */
export interface Chromium {
  /** Loads a URL in a window of this size, in light or dark mode. */
  open(
    url: string,
    view: { readonly width: number; readonly isDark: boolean; readonly scripts?: boolean },
  ): Promise<void>;
  /** The value of an expression in the page, as JSON. */
  evaluate<T>(expression: string): Promise<T>;
  /** A PNG of the whole page. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;

/** The first line of this file names the port that the browser chose. */
async function devToolsPort(folder: string): Promise<number> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const text = await readFile(join(folder, 'DevToolsActivePort'), 'utf8').catch(() => '');
    const port = Number(text.split('\n')[0]);
    if (port > 0) return port;
    if (Date.now() > deadline) throw new Error('chromium did not start');
    await delay(50);
  }
}

async function stop(browser: ChildProcess): Promise<void> {
  if (browser.exitCode !== null) return;
  const ended = new Promise((resolve) => browser.once('exit', resolve));
  browser.kill('SIGKILL');
  await ended;
}

type Reply = {
  readonly id?: number;
  readonly method?: string;
  readonly result?: unknown;
  readonly error?: unknown;
};

async function connect(url: string) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', reject);
  });
  const waiting = new Map<number, (reply: Reply) => void>();
  const events = new Map<string, () => void>();
  socket.addEventListener('message', ({ data }) => {
    const reply = JSON.parse(String(data)) as Reply;
    if (reply.id !== undefined) waiting.get(reply.id)?.(reply);
    else events.get(reply.method ?? '')?.();
  });
  let calls = 0;
  const call = (method: string, params: object = {}): Promise<Record<string, unknown>> => {
    calls += 1;
    const id = calls;
    return new Promise((resolve, reject) => {
      waiting.set(id, ({ result, error }) => {
        waiting.delete(id);
        if (error === undefined) resolve(result as Record<string, unknown>);
        else reject(new Error(`${method}: ${JSON.stringify(error)}`));
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
  };
  const once = (method: string) => new Promise<void>((resolve) => events.set(method, resolve));
  return { call, once };
}

export async function startChromium(): Promise<Chromium> {
  const folder = await mkdtemp(join(tmpdir(), 'chromium-'));
  const browser = spawn(
    'chromium',
    [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
      ...['--remote-debugging-port=0', `--user-data-dir=${folder}`, 'about:blank'],
    ],
    { stdio: 'ignore' },
  );
  const port = await devToolsPort(folder);
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
    readonly type: string;
    readonly webSocketDebuggerUrl: string;
  }[];
  const { call, once } = await connect(
    targets.find(({ type }) => type === 'page')?.webSocketDebuggerUrl ?? '',
  );
  await call('Page.enable');
  return {
    open: async (url, { width, isDark, scripts = true }) => {
      await call('Emulation.setDeviceMetricsOverride', {
        width,
        height: 900,
        deviceScaleFactor: 1,
        mobile: false,
      });
      const features = [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }];
      await call('Emulation.setEmulatedMedia', { features });
      await call('Emulation.setScriptExecutionDisabled', { value: !scripts });
      const loaded = once('Page.loadEventFired');
      await call('Page.navigate', { url });
      await loaded;
    },
    evaluate: async <T>(expression: string) => {
      const { result, exceptionDetails } = await call('Runtime.evaluate', {
        expression,
        returnByValue: true,
      });
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
      return (result as { readonly value: T }).value;
    },
    screenshot: async () => {
      const { data } = await call('Page.captureScreenshot', { captureBeyondViewport: true });
      return Buffer.from(data as string, 'base64');
    },
    close: async () => {
      await stop(browser);
      await rm(folder, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}
