import { describe, expect, test } from 'vitest';
import { createSealer } from '../../src/lib/seal.ts';
import { BEAT } from '../../src/replicas/sealed-format.ts';
import { SealedMessages } from '../../src/replicas/sealed-messages.ts';

const CHANNEL = 'metahub:site';
const SEALER = createSealer('metahub shared state', Buffer.alloc(32, 1));

const replica = () => new SealedMessages(SEALER, CHANNEL, () => 0);
const replicas = (count: number) => Array.from({ length: count }, replica);

/** Two replicas hear each other's beats, so that each accepts the other's messages. */
function meet(one: SealedMessages, other: SealedMessages): void {
  expect(other.open(one.seal(BEAT, null)).kind).toBe('stranger');
  expect(one.open(other.seal(BEAT, null)).kind).toBe('accepted');
  expect(other.open(one.seal(BEAT, null)).kind).toBe('accepted');
}

describe('a replica', () => {
  test('knows 64 others, those heard last', () => {
    const [one, others] = [replica(), replicas(65)];
    for (const other of others) meet(one, other);
    const message = one.seal('t', 1);
    const kinds = others.map((other) => other.open(message).kind);
    expect(kinds).toEqual(['invalid', ...Array(64).fill('accepted')]);
  });

  test('answers the beats of 64 strangers, those heard last', () => {
    const [one, strangers] = [replica(), replicas(65)];
    for (const stranger of strangers) expect(one.open(stranger.seal(BEAT, null)).kind).toBe('stranger');
    const beat = one.seal(BEAT, null);
    const kinds = strangers.map((stranger) => stranger.open(beat).kind);
    expect(kinds).toEqual(['stranger', ...Array(64).fill('accepted')]);
  });

  test('lets no stranger push out a replica that it knows', () => {
    const [one, known, strangers] = [replica(), replica(), replicas(65)];
    meet(one, known);
    for (const stranger of strangers) one.open(stranger.seal(BEAT, null));
    expect(known.open(one.seal('t', 1)).kind).toBe('accepted');
  });
});

describe('a message', () => {
  test.each([
    ['256 KiB', 0, 'accepted'],
    ['a byte more', 1, 'invalid'],
  ])('of %s when sealed', (_, more, kind) => {
    const [one, other] = [replica(), replica()];
    meet(one, other);
    const bytesOf = (sealed: string) => Buffer.from(sealed, 'base64url').length;
    const overheadBytes = bytesOf(one.seal('t', ''));
    const maxBytes = (256 * 1024 * 3) / 4;
    const sealed = one.seal('t', 'x'.repeat(maxBytes - overheadBytes + more));
    expect(bytesOf(sealed)).toBe(maxBytes + more);
    expect(other.open(sealed).kind).toBe(kind);
  });

  test.each([
    ['an id of 32 characters', { id: 'i'.repeat(32) }, 'accepted'],
    ['an id of 33', { id: 'i'.repeat(33) }, 'invalid'],
    ['a sender of 32 characters', { from: 'f'.repeat(32) }, 'accepted'],
    ['a sender of 33', { from: 'f'.repeat(33) }, 'invalid'],
    ['a topic of 64 characters', { topic: 't'.repeat(64) }, 'accepted'],
    ['a topic of 65', { topic: 't'.repeat(65) }, 'invalid'],
    ['the beats of 128 replicas', { others: 127 }, 'accepted'],
    ['the beats of 129', { others: 128 }, 'invalid'],
    ['the beat of no replica that the receiver is', { own: [] }, 'invalid'],
  ])('with %s', (_, { others = 0, own, ...fields }: Readonly<Record<string, unknown>>, kind) => {
    const receiver = replica();
    const beat = JSON.parse(SEALER.open(receiver.seal(BEAT, null), CHANNEL) ?? '').id;
    const heard = [...((own as string[] | undefined) ?? [beat]), ...Array(others).fill('another')];
    const message = { id: 'id', from: 'sender', topic: 't', body: 1, heard, ...fields };
    expect(receiver.open(SEALER.seal(JSON.stringify(message), CHANNEL)).kind).toBe(kind);
  });

  test('is accepted once, and on its own channel', () => {
    const [one, other] = [replica(), replica()];
    meet(one, other);
    const sealed = one.seal('t', 1);
    expect(new SealedMessages(SEALER, 'another', () => 0).open(sealed).kind).toBe('invalid');
    expect(one.open(sealed).kind).toBe('own');
    expect([other.open(sealed).kind, other.open(sealed).kind]).toEqual(['accepted', 'invalid']);
  });
});
