import { useEffect, useState } from "preact/hooks";

/** Milliseconds after which what the farm keeps is fetched again while it is looked at. */
const REFRESH = 10000;

/** What a procedure of the farm returns, fetched again from time to time: {past, problem}. */
export function usePast(live, connected, procedure, fields) {
  const [state, setState] = useState({ past: null, problem: null });
  const key = JSON.stringify(fields);
  useEffect(() => {
    if (!connected) return undefined;
    let timer = null;
    let over = false;
    const fetch = async () => {
      if (document.visibilityState === "visible") {
        const next = await live.call(procedure, fields).then(
          (past) => ({ past, problem: null }),
          (error) => ({ problem: `${error.name}: ${error.message}` }),
        );
        if (!over) setState((before) => ({ ...before, ...next }));
      }
      if (!over) timer = setTimeout(fetch, REFRESH);
    };
    fetch();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [connected, procedure, key]);
  return state;
}
