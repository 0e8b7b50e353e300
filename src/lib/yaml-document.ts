import * as library from 'yaml';
import { parseBoundedYaml, type YamlDocument } from './bounded-yaml.ts';

export {
  Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Pair,
  stringify,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';

/** Parses the YAML of a file, within limits. @throws {ConfigError} with the position */
export function parseYamlDocument(file: string, text: string): YamlDocument {
  return parseBoundedYaml(library, file, text);
}
