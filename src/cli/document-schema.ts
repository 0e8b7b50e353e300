import * as v from 'valibot';

/** Parts of the schemas of the documents that commands print. */

/** Gives a member its text in the JSON Schema. */
export function described<const Member extends v.GenericSchema>(member: Member, text: string) {
  return v.pipe(member, v.description(text));
}

export const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** RFC 3339, in UTC. */
export const Time = v.pipe(v.string(), v.isoTimestamp());
export const Texts = v.array(v.string());

export const SizeBytes = described(Count, 'the size in bytes');
export const MediaType = described(v.string(), 'the media type');
export const DigestText = described(v.string(), 'the digest: sha256:…');
