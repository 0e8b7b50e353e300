import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** A headless browser with one page, driven by the DevTools protocol. */
export interface Chromium {
  /** Loads a URL in a window of this size, in light or dark mode. */
  open(
    url: string,
    view: { readonly width: number; readonly isDark: boolean; readonly scripts?: boolean },
  ): Promise<void>;
  /** The value of an expression in the page, as JSON. */
  evaluate<T>(expression: string): Promise<T>;
  /** Presses keys one after the other: `Tab`, `Enter`, or a text that is typed. */
  press(...keys: readonly string[]): Promise<void>;
  /** Runs an action that leads to another page, and waits until that is loaded. */
  leaving(action: () => Promise<unknown>): Promise<void>;
  /** A PNG of the whole page. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

async function stop(browser: ChildProcess): Promise<void> {
  if (browser.exitCode !== null) return;
  const ended = new Promise((resolve) => browser.once('exit', resolve));
  browser.kill('SIGKILL');
  await ended;
}

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly result?: Record<string, unknown>;
  readonly error?: unknown;
}

/** Speaks the DevTools protocol over the browser's descriptors 3 and 4: JSON, each message ended by a NUL. */
function connect(browser: ChildProcess) {
  const [, , , toBrowser, fromBrowser] = browser.stdio as unknown as [null, null, null, Writable, Readable];
  const waiting = new Map<number, (reply: Reply) => void>();
  const events = new Map<string, () => void>();
  let pending = '';
  let sessionId: string | undefined;
  fromBrowser.setEncoding('utf8').on('data', (chunk: string) => {
    const messages = (pending + chunk).split('\0');
    pending = messages.pop() ?? '';
    for (const message of messages) {
      const reply = JSON.parse(message) as Reply;
      if (reply.id !== undefined) waiting.get(reply.id)?.(reply);
      else events.get(reply.method ?? '')?.();
    }
  });
  let calls = 0;
  const call = (method: string, params: object = {}): Promise<Record<string, unknown>> => {
    calls += 1;
    const id = calls;
    return new Promise((resolve, reject) => {
      waiting.set(id, ({ result = {}, error }) => {
        waiting.delete(id);
        if (error === undefined) resolve(result);
        else reject(new Error(`${method}: ${JSON.stringify(error)}`));
      });
      toBrowser.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  };
  const once = (method: string) => new Promise<void>((resolve) => events.set(method, resolve));
  const attach = async () => {
    const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
    const attached = await call('Target.attachToTarget', { targetId, flatten: true });
    sessionId = attached['sessionId'] as string;
  };
  return { call, once, attach };
}

const KEY_CODES: Readonly<Record<string, number>> = { Tab: 9, Enter: 13, Space: 32 };

export async function startChromium(): Promise<Chromium> {
  const folder = await mkdtemp(join(tmpdir(), 'chromium-'));
  const browser = spawn(
    'chromium',
    [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
      ...['--remote-debugging-pipe', `--user-data-dir=${folder}`, 'about:blank'],
    ],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  );
  const { call, once, attach } = connect(browser);
  await attach();
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
    press: async (...keys) => {
      for (const key of keys) {
        const code = KEY_CODES[key];
        if (code === undefined) {
          await call('Input.insertText', { text: key });
          continue;
        }
        const event = {
          key,
          code: key,
          windowsVirtualKeyCode: code,
          ...(key === 'Enter' ? { text: '\r' } : {}),
        };
        await call('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
        await call('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
      }
    },
    leaving: async (action) => {
      const loaded = once('Page.loadEventFired');
      await action();
      await loaded;
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
