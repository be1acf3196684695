import { wholeName } from "../experiments.ts";
import { keyOf } from "../pages.ts";
import type { ExperimentSeries, ReportedFigures } from "../records.ts";
import { grown, NO_REPORTS, type Reports, reported } from "../series.ts";
import { type PastState, useRepeated } from "./past.ts";

/** Milliseconds after which an experiment is asked for again. */
export const REFRESH = 5000;
/** Steps of a plot: about one for each pixel or two. */
const STEPS = 400;
const REPORTS_AT_ONCE = 5000;

/** Which results of an experiment. */
export interface Part {
  readonly serials?: readonly string[];
  readonly since?: number;
  readonly until?: number;
}

/** An experiment's results over time; after the first answer, only what arrived since is asked for. */
export function useSeries(experiment: string | null, part: Part = {}): PastState<ExperimentSeries> {
  const key = experiment === null ? null : JSON.stringify({ ...fieldsOf(experiment), ...part, points: STEPS });
  const state = useRepeated<ExperimentSeries>(REFRESH, key, async (live, known, text) => {
    const after = known === null ? {} : { after: known.next };
    const more = await live.call<ExperimentSeries>("experiment_series", { ...JSON.parse(text), ...after });
    return known === null ? more : grown(known, more);
  });
  // While another part of it is fetched, the one before is shown; never another experiment.
  return state.key !== null && wholeName(JSON.parse(state.key)) === experiment ? state : { ...state, past: null };
}

/** What the owner of an experiment reported. */
export function useReports(experiment: string): PastState<Reports> {
  return useRepeated<Reports>(REFRESH, JSON.stringify(fieldsOf(experiment)), async (live, known, text) => {
    let reports = known ?? NO_REPORTS;
    for (let more = true; more; ) {
      const fields = { ...JSON.parse(text), after: reports.next, limit: REPORTS_AT_ONCE };
      const answer = await live.call<ReportedFigures>("experiment_figures", fields);
      if (answer.figures.length > 0) reports = reported(reports, answer);
      ({ more } = answer);
    }
    return reports;
  });
}

/** The fields that name an experiment in a call. */
export function fieldsOf(whole: string): { account: string; name: string } {
  const [account, name] = keyOf(whole);
  return { account, name };
}
