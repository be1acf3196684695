import { useEffect, useState } from "preact/hooks";

import { farmError } from "../link.ts";
import { usePage } from "../page.ts";

/** Milliseconds after which what the farm keeps is fetched again while the reader looks at it. */
const REFRESH = 10000;

interface PastState<Past> {
  past: Past | null;
  problem: string | null;
}

/** What a procedure of the farm returns, fetched again from time to time. */
export function usePast<Past>(procedure: string, fields: Record<string, unknown>): PastState<Past> {
  const { live } = usePage();
  const [state, setState] = useState<PastState<Past>>({ past: null, problem: null });
  const key = JSON.stringify(fields);
  const connected = live.connected.value;
  useEffect(() => {
    if (!connected) return undefined;
    let timer: number | undefined;
    let over = false;
    const fetchOnce = async () => {
      try {
        const past = await live.call<Past>(procedure, JSON.parse(key));
        if (!over) setState({ past, problem: null });
      } catch (failure) {
        const { name, message } = farmError(failure);
        if (!over) setState((before) => ({ ...before, problem: `${name}: ${message}` }));
      }
    };
    const fetchAgain = async () => {
      if (document.visibilityState === "visible") await fetchOnce();
      if (!over) timer = window.setTimeout(fetchAgain, REFRESH);
    };
    fetchAgain();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [live, connected, procedure, key]);
  return state;
}
