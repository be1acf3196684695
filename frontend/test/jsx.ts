// Node.js runs TypeScript as it is, but no JSX: views are translated as the build translates them, when a test imports them.

import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

import { transformSync } from "rolldown/experimental";

registerHooks({
  load(url, context, next) {
    if (!url.endsWith(".tsx")) return next(url, context);
    const path = fileURLToPath(url);
    const { code, errors } = transformSync(path, readFileSync(path, "utf8"), {
      jsx: { runtime: "automatic", importSource: "preact" },
      sourcemap: false,
    });
    if (errors.length > 0) throw new SyntaxError(`${path}: ${JSON.stringify(errors)}`);
    return { format: "module", source: code, shortCircuit: true };
  },
});
