import { useEffect, useRef, useState } from "preact/hooks";

import { farmError } from "../link.ts";
import type { Live } from "../live.ts";
import { usePage } from "../page.ts";

const NOTHING = { past: null, problem: null, key: null };

/** Milliseconds after which what the farm keeps is fetched again while the reader looks at it. */
const REFRESH = 10000;
/** Milliseconds until a question that failed is asked again. */
const RETRY = 2000;

export interface PastState<Past> {
  past: Past | null;
  problem: string | null;
  /** What it was asked for, which may be what was wanted a moment ago. */
  key: string | null;
}

/** What a procedure of the farm returns, fetched again from time to time. */
export function usePast<Past>(
  procedure: string,
  fields: Record<string, unknown>,
  refresh: number = REFRESH,
): PastState<Past> {
  return useRepeated<Past>(refresh, JSON.stringify([procedure, fields]), (live, _, key) =>
    live.call<Past>(...(JSON.parse(key) as [string, Record<string, unknown>])),
  );
}

/** Asks the farm, once more with what is known; `key` is what is asked for. */
export type Ask<Past> = (live: Live, known: Past | null, key: string) => Promise<Past>;

/** What the farm answers, asked for again from time to time. Another key begins from nothing; null asks for nothing. */
export function useRepeated<Past>(refresh: number, key: string | null, ask: Ask<Past>): PastState<Past> {
  const { live } = usePage();
  const [state, setState] = useState<PastState<Past>>(NOTHING);
  const known = useRef<{ key: string | null; past: Past | null }>({ key: null, past: null });
  const asking = useRef(ask);
  asking.current = ask;
  const connected = live.connected.value;
  useEffect(() => {
    if (key === null) setState(NOTHING);
    if (!connected || key === null) return undefined;
    if (known.current.key !== key) known.current = { key, past: null };
    let timer: number | undefined;
    let over = false;
    const fetchOnce = async (): Promise<boolean> => {
      try {
        const past = await asking.current(live, known.current.past, key);
        if (over) return true;
        known.current = { key, past };
        setState({ past, problem: null, key });
        return true;
      } catch (failure) {
        const { name, message } = farmError(failure);
        if (!over) setState((before) => ({ ...before, problem: `${name}: ${message}` }));
        return false;
      }
    };
    const fetchAgain = async () => {
      const answered = document.visibilityState !== "visible" || (await fetchOnce());
      // A sign-in may just have changed what this session may ask.
      if (!over) timer = window.setTimeout(fetchAgain, answered ? refresh : Math.min(refresh, RETRY));
    };
    fetchAgain();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [live, connected, refresh, key]);
  return state;
}
