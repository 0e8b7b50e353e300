import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Seals texts that other parties keep and send back. Only the holder of the key can read, change or make one. */
export interface Sealer {
  /** Returns base64url. `open` needs the same `context`. */
  seal(text: string, context: string): string;
  /** Undefined for a text that was not sealed with this key and context. */
  open(sealed: string, context: string): string | undefined;
}

/**
 * Seals with AES-256-GCM, with a key that is derived from `secret` for this purpose; without a secret, a random
 * key.
 */
export function createSealer(purpose: string, secret?: Uint8Array): Sealer {
  const key =
    secret === undefined
      ? randomBytes(KEY_BYTES)
      : Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), purpose, KEY_BYTES));
  return {
    seal: (text, context) => {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context));
      const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return sealed.toString('base64url');
    },
    open: (sealed, context) => {
      const bytes = Buffer.from(sealed, 'base64url');
      // Base64url has several spellings for the same bytes. Only the canonical one was written here.
      if (bytes.length < IV_BYTES + TAG_BYTES || bytes.toString('base64url') !== sealed) return undefined;
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES), {
        authTagLength: TAG_BYTES,
      })
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        const text = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch {
        // Not sealed with this key and context, or changed.
        return undefined;
      }
    },
  };
}
