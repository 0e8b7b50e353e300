import * as v from 'valibot';
import { NOTHING } from '../host/assumed-features.ts';
import { checking } from '../lib/schema.ts';
import { problemWithFeature } from './check-feature.ts';

/** A feature that an author or operator wrote. It must be able to hold on some host. */
export const FeatureText = v.pipe(
  v.string(),
  checking(problemWithFeature),
  v.examples(['cpu:zen4', 'x86-64-v3', 'nvcap:9.0', 'avx2']),
);

const Assumed = v.pipe(
  v.string(),
  checking((text) => (text.endsWith(`:${NOTHING}`) ? undefined : problemWithFeature(text))),
  v.examples(['cpu:broadwell', 'nvcap:9.0', `gpu:${NOTHING}`]),
);

/** Features that a host is assumed to have: one or several. `KIND:none` means none of that kind. */
export const AssumedFeatures = v.pipe(
  v.union([Assumed, v.array(Assumed)]),
  v.transform((read): readonly string[] => (typeof read === 'string' ? [read] : read)),
);
