import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const nothing = fileURLToPath(new URL("src/shims/nothing.cjs", import.meta.url));

export default defineConfig({
  // The page works under whatever path a proxy puts before it.
  base: "./",
  // Autobahn JS asks for what only old browsers, Node.js or other serializers and transports need.
  resolve: {
    alias: [
      { find: /^(when|when\/monitor\/console|cbor|msgpack5|tweetnacl|crypto-js|fs|net|events)$/, replacement: nothing },
      { find: /^\.\/polyfill\.js$/, replacement: nothing },
      { find: /^\.\/transport\/(longpoll|rawsocket)\.js$/, replacement: nothing },
    ],
  },
  define: { global: "globalThis" },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../icefarm/dashboard/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    // No data: URLs, so that the Content-Security-Policy can stay strict.
    assetsInlineLimit: 0,
    license: { fileName: "licenses.md" },
  },
});
