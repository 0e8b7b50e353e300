import { type Demand, formatDemand } from '../../selection/demands.ts';

/** A demand for programs, with the field that said so. */
export function demandJson(demand: Demand): { readonly demand: string; readonly source: string } {
  return { demand: formatDemand(demand), source: demand.source };
}
